"""The agent's memory of its newest reports."""

import json
from typing import Any

from monitoring_agent.recall import Recall, Report


def document(sequence: int, padding: int = 200) -> dict[str, Any]:
    return {"sequence": sequence, "values": {str(n): n * sequence for n in range(padding)}}


def report(sequence: int, padding: int = 200) -> Report:
    documents = (document(sequence - 1), document(sequence, padding)) if sequence > 1 else None
    body = json.dumps(document(sequence, padding)).encode()
    return Report(sequence, 0.0, body, documents)


def filled(count: int, **limits: int) -> Recall:
    recall = Recall(**limits)
    for sequence in range(1, count + 1):
        recall.add(report(sequence))
    return recall


def remembered(recall: Recall, first: int) -> list[int]:
    """The sequences from this one on; each report is as it was."""
    found = []
    for sequence, one in recall.documents(first):
        assert one == document(sequence)
        found.append(sequence)
    return found


def test_what_was_remembered_comes_back_as_it_was() -> None:
    recall = filled(150)
    assert remembered(recall, 1) == list(range(1, 151))
    assert remembered(recall, 148) == [148, 149, 150]
    assert remembered(recall, 151) == []
    newest = recall.newest()
    assert newest is not None
    assert json.loads(newest.body) == document(150)


def test_ten_minutes_are_remembered_and_little_more() -> None:
    recall = filled(1000)
    oldest = recall.oldest()
    assert oldest is not None
    assert 600 <= 1000 - oldest + 1 <= 660
    assert next(recall.documents(0))[0] == oldest


def test_the_bytes_are_limited_and_the_newest_stays_whatever_its_size() -> None:
    recall = filled(500, size=30_000)
    assert len(remembered(recall, 0)) <= 120
    assert remembered(recall, 500) == [500]
    recall.add(report(501, 20_000))
    assert [(sequence, one) for sequence, one in recall.documents(501)] == [(501, document(501, 20_000))]


def test_an_empty_memory_remembers_nothing() -> None:
    recall = Recall()
    assert (recall.newest(), recall.oldest(), list(recall.documents(0))) == (None, None, [])


def test_members_that_changed_are_remembered_whole() -> None:
    documents: list[dict[str, Any]] = [
        {"sequence": 1, "cpu": {"a": 1, "b": 2}, "slow": {"c": 3}},
        {"sequence": 2, "cpu": {"a": 2}, "slow": {"c": 3}},
        {"sequence": 3, "cpu": {"a": 3}},
        {"sequence": 4, "cpu": {"a": 3}, "slow": {"d": 4}},
    ]
    members = [
        b"",
        b'{"sequence":2,"cpu":{"a":2}}',
        b'{"sequence":3,"cpu":{"a":3},"slow":null}',
        b'{"sequence":4,"slow":{"d":4}}',
    ]
    recall = Recall()
    for before, after, text in zip([None, *documents], documents, members, strict=False):
        body = json.dumps(after).encode()
        recall.add(Report(after["sequence"], 0.0, body, (before, after) if before else None, text))
    assert [json.loads(json.dumps(one)) for _, one in recall.documents(0)] == documents
