"""An agent's newest report, kept up to date by what changed."""

import copy
import json
from typing import Any

import pytest

from monitoring_agent.shared import wire
from monitoring_supervisor.latest import MAX_LEFT, MAX_LEFT_BYTES, MAX_TAKEN_BYTES, Latest, Unusable

REPORT: dict[str, Any] = {
    "schema": 1,
    "sequence": 7,
    "collected_at": 5.5,
    "agent": {"started_at": 1000.125},
    "load": {"load_1m": 0.5, "load_5m": 0.25},
}


def change(sequence: int, **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "collected_at": 6.5, **more}


def changes(since: int, *some: Any) -> dict[str, Any]:
    return {"schema": 1, "since": since, "changes": list(some)}


@pytest.fixture
def latest() -> Latest:
    """One that holds a whole report."""
    latest = Latest()
    latest.take_document(copy.deepcopy(REPORT), 100)
    return latest


def test_a_report_is_asked_for_whole_once_and_then_what_changed(latest: Latest) -> None:
    assert Latest().query(1) == ""
    assert latest.query(1) == "?changes=7&life=1000.125"
    assert latest.query(10) == "?changes=7&life=1000.125&step=10"


def test_what_changed_is_taken_in(latest: Latest) -> None:
    latest.take_document(changes(7, change(8, load={"load_1m": 0.75}), change(9, disks={"sda": {"reads": 1}})), 50)
    assert latest.document == {
        **REPORT,
        "sequence": 9,
        "collected_at": 6.5,
        "load": {"load_1m": 0.75, "load_5m": 0.25},
        "disks": {"sda": {"reads": 1}},
    }
    assert latest.query(1) == "?changes=9&life=1000.125"
    latest.take_document(changes(9, change(10, disks=None)), 50)
    assert latest.document is not None
    assert "disks" not in latest.document


def test_the_newest_report_in_place_of_changes_is_taken_too(latest: Latest) -> None:
    other = {**REPORT, "sequence": 3, "agent": {"started_at": 2000.5}}
    latest.take_document({"schema": 1, "report": other, "changes": []}, 100)
    assert latest.query(1) == "?changes=3&life=2000.5"


def test_what_is_held_after_a_restart_is_gone_on_from(latest: Latest) -> None:
    restored = Latest(json.loads(wire.encode(latest.document or {})))
    assert restored.query(1) == "?changes=7&life=1000.125"


@pytest.mark.parametrize(
    "answer",
    [
        changes(6, change(7)),
        changes(7, change(7)),
        changes(7, change(8), change(8)),
        changes(7, {"sequence": 8, "collected_at": "noon"}),
        changes(7, {"sequence": "8", "collected_at": 1}),
        changes(7, {"sequence": 8.5, "collected_at": 1}),
        changes(7, change(8, agent={"started_at": 1})),
        changes(7, change(8, load={"load_1m": float("inf")})),
        changes(7, change(8, top=[{"load": float("inf")}])),
        changes(7, [8]),
        {"schema": 1, "since": 7},
        {"schema": 1, "since": True, "changes": []},
        {"schema": 2, "since": 7, "changes": []},
        {"schema": 1, "report": [], "changes": []},
        {"schema": 1},
        {**REPORT, "collected_at": None},
        {**REPORT, "load": {"x": [[float("inf")]]}},
        {},
    ],
)
def test_what_is_no_report_is_refused_and_the_next_one_is_wanted_whole(latest: Latest, answer: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        latest.take_document(answer, 50)
    assert latest.query(1) == ""
    assert latest.document is not None
    assert latest.document["load"] == REPORT["load"]


def test_an_agent_that_says_not_when_its_life_began_is_asked_for_whole_reports() -> None:
    latest = Latest()
    latest.take_document({"schema": 1, "sequence": 7, "collected_at": 5.5}, 100)
    assert latest.query(1) == ""


def test_what_an_agent_adds_and_adds_does_not_grow_for_ever(latest: Latest) -> None:
    latest.take_document(changes(7, change(8, **{str(n): n for n in range(1000)})), MAX_TAKEN_BYTES)
    assert latest.query(1) == ""
    latest.take_document(copy.deepcopy(REPORT), 100)
    assert latest.document == REPORT


def test_changes_that_go_on_although_a_whole_report_is_asked_for_are_refused(latest: Latest) -> None:
    for sequence in (7, 8, 9):  # some of it may have been under way
        latest.take_document(changes(sequence, change(sequence + 1)), MAX_TAKEN_BYTES - 100)
    for _ in range(2):
        with pytest.raises(Unusable, match="although a whole report was asked for"):
            latest.take_document(changes(10, change(11, more=1)), 300)
    assert latest.document == {**REPORT, "sequence": 10, "collected_at": 6.5}
    latest.take_document(copy.deepcopy(REPORT), 100)
    latest.take_document(changes(7, change(8)), 100)


def test_keys_are_shared_by_all_reports() -> None:
    one, other = Latest(), Latest()
    for latest in (one, other):
        latest.take_document(json.loads(json.dumps(REPORT)), 100)
    assert one.document is not None
    assert other.document is not None
    for key, same in zip(one.document["load"], other.document["load"], strict=True):
        assert key is same


def one_change(sequence: int, **more: Any) -> bytes:
    """What an agent says a second later."""
    head = {"schema": 1, "since": sequence - 1, "until": sequence}
    return wire.encode({**head, "changes": [{"sequence": sequence, "collected_at": sequence + 0.5, **more}]})


def test_what_changed_is_taken_apart_later_and_whoever_looks_sees_it_all(latest: Latest) -> None:
    for sequence in range(8, 8 + 3 * MAX_LEFT):
        latest.take(one_change(sequence, load={"load_1m": sequence}))
        assert (latest.sequence, latest.collected_at) == (sequence, sequence + 0.5)
        assert (latest.taken, latest.whole) == (1, False)
    latest.catch_up()
    latest.take(one_change(sequence + 1, load={"load_1m": -1}))
    assert not latest.is_caught_up
    assert latest.document == {**REPORT, "sequence": 32, "collected_at": 32.5, "load": {"load_1m": -1, "load_5m": 0.25}}
    assert latest.is_caught_up
    assert json.loads(latest.encoded() or b"") == latest.document


def test_little_is_left_for_later_in_number_and_in_bytes(latest: Latest) -> None:
    left = 0
    for sequence in range(8, 40):
        latest.take(one_change(sequence))
        left = 0 if latest.is_caught_up else left + 1
        assert left < MAX_LEFT
    latest.catch_up()
    latest.take(one_change(40, text="x" * MAX_LEFT_BYTES))
    assert latest.is_caught_up


@pytest.mark.parametrize(
    "body",
    [
        one_change(9),
        one_change(7),
        wire.encode({"schema": 1, "since": 7, "until": 9, "changes": [change(8), change(9), change(9)]}),
        b"{}",
        b"[1",
    ],
)
def test_what_does_not_look_like_the_next_change_is_taken_apart_at_once(latest: Latest, body: bytes) -> None:
    with pytest.raises(Unusable):
        latest.take(body)
    assert latest.query(1) == ""


@pytest.mark.parametrize("end", [b"", b"]", b"{}]}", b"]}]}", b'"agent":{}}]}', b'"load":{"load_1m":1e999}}]}'])
def test_an_answer_that_turns_out_later_to_be_of_no_use_is_said_with_the_next_one(latest: Latest, end: bytes) -> None:
    latest.catch_up()
    latest.take(one_change(8, load={"load_1m": 8}))
    latest.take(b'{"schema":1,"since":8,"until":9,"changes":[{"sequence":9,"collected_at":9.5,' + end)
    assert latest.document is not None
    assert latest.document["load"]["load_1m"] == 8
    assert latest.faults == 1
    assert latest.query(1) == ""
    with pytest.raises(Unusable, match="some seconds ago"):
        latest.take(wire.encode(REPORT))
    latest.take(wire.encode(REPORT))
    assert latest.document == REPORT
    assert latest.faults == 1


def test_an_answer_that_says_its_sequence_twice_is_found_out_when_it_is_taken_apart(latest: Latest) -> None:
    twice = b'{"schema":1,"since":7,"until":8,"changes":[{"sequence":8,"collected_at":6.5,"sequence":99}]}'
    latest.take(twice)
    latest.catch_up()
    assert (latest.sequence, latest.faults) == (None, 1)
    with pytest.raises(Unusable, match="it has two sequences"):
        latest.take(twice)
    latest.take_document(copy.deepcopy(REPORT), 100)
    assert latest.document == REPORT


def test_large_answers_with_everything_new_in_them_do_not_take_all_the_time() -> None:
    def body(number: int) -> bytes:
        more = {f"{number} {key}": key for key in range(50_000)}
        return wire.encode({**REPORT, "sequence": number, "more": more})

    bodies = [body(number) for number in range(1, 6)]
    latest, taken = Latest(), 0
    for one in bodies:
        try:
            latest.take(one)
            taken += 1
        except Unusable as error:
            assert str(error) == "the answers are so large, and so different, that only some of them are read"
            assert latest.query(1) == ""
    assert taken < len(bodies)
    assert latest.document is not None
    latest.take(wire.encode(REPORT))  # a small one is always taken
    assert latest.document == REPORT


def test_large_changes_with_everything_new_in_them_do_not_either(latest: Latest) -> None:
    more = [{f"{number} {key}": key for key in range(20_000)} for number in range(2)]
    latest.take(wire.encode(changes(7, change(8, more=more[0])) | {"until": 8}))
    assert latest.sequence == 8
    with pytest.raises(Unusable, match="only some of them are read"):
        latest.take(wire.encode(changes(8, change(9, more=more[1])) | {"until": 9}))
