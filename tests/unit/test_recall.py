"""The agent's memory of its newest reports."""

import json

from monitoring_agent.recall import Recall, Report

ROOM = 1 << 30


def body(sequence: int, padding: int = 200) -> bytes:
    return json.dumps({"sequence": sequence, "values": {str(n): n * sequence for n in range(padding)}}).encode()


def filled(count: int, **limits: int) -> Recall:
    recall = Recall(**limits)
    for sequence in range(1, count + 1):
        recall.add(Report(sequence, 0.0, body(sequence)))
    return recall


def test_what_was_remembered_comes_back_to_the_letter() -> None:
    recall = filled(150)
    assert recall.since(0, ROOM) == [body(sequence) for sequence in range(1, 151)]
    assert recall.since(147, ROOM) == [body(148), body(149), body(150)]
    assert recall.since(150, ROOM) == []
    newest = recall.newest()
    assert newest is not None
    assert newest.body == body(150)


def test_ten_minutes_are_remembered_and_little_more() -> None:
    recall = filled(1000)
    oldest = recall.oldest()
    assert oldest is not None
    assert 600 <= 1000 - oldest + 1 <= 660
    assert recall.since(0, ROOM)[0] == body(oldest)


def test_the_bytes_are_limited_and_the_newest_stays_whatever_its_size() -> None:
    recall = filled(500, size=30_000)
    assert len(recall.since(0, ROOM)) <= 120
    assert recall.since(499, ROOM) == [body(500)]
    large = body(501, 20_000)
    recall.add(Report(501, 0.0, large))
    assert recall.since(500, ROOM) == [large]


def test_an_answer_has_no_more_than_its_room() -> None:
    recall = filled(100)
    room = sum(len(body(sequence)) for sequence in (11, 12, 13))
    assert recall.since(10, room) == [body(11), body(12), body(13)]
    assert recall.since(10, room - 1) == [body(11), body(12)]


def test_an_empty_memory_remembers_nothing() -> None:
    recall = Recall()
    assert (recall.newest(), recall.oldest(), recall.since(0, ROOM)) == (None, None, [])
