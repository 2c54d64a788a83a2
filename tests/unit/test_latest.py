"""An agent's newest report, kept up to date by what changed."""

import copy
import json
from typing import Any

import pytest

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from monitoring_supervisor.large import LargeAnswers
from monitoring_supervisor.latest import LARGE_PLACES, MAX_LEFT, MAX_LEFT_BYTES, MAX_TAKEN_BYTES, Latest, Unusable

REPORT: dict[str, Any] = {
    "schema": 1,
    "sequence": 7,
    "collected_at": 5.5,
    "agent": {"started_at": 1000.125},
    "load": {"load_1m": 0.5, "load_5m": 0.25},
}


WHOLE = "?layout=0-0"  # asks for a whole report


def layout() -> Layout:
    """The agent's, with all of the report's values in it."""
    layout = Layout()
    layout.values(REPORT)
    return layout


def whole(report: dict[str, Any], by: Layout, identity: int = 3) -> dict[str, Any]:
    """What the agent says to who holds nothing."""
    return {"schema": 1, "report": copy.deepcopy(report), "layout": [identity, by.count], "numbers": by.beyond(0)}


def move(sequence: int, at: Any, to: Any) -> dict[str, Any]:
    return {"sequence": sequence, "collected_at": sequence + 0.5, "at": at, "to": to}


def moves(since: int, *some: Any, **more: Any) -> dict[str, Any]:
    """What the agent says to who holds a report."""
    until = some[-1]["sequence"] if some and isinstance(some[-1], dict) else since
    return {"schema": 1, "since": since, "until": until, "moves": list(some), **more}


# In the layout of the report.
LOAD_1M = 2


def change(sequence: int, **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "collected_at": 6.5, **more}


def changes(since: int, *some: Any) -> dict[str, Any]:
    return {"schema": 1, "since": since, "changes": list(some)}


@pytest.fixture
def latest() -> Latest:
    """One that holds a whole report, and the agent's layout."""
    latest = Latest()
    latest.take_document(whole(REPORT, layout()), 100)
    return latest


def test_a_report_is_asked_for_whole_once_and_then_what_moved(latest: Latest) -> None:
    assert Latest().query(1) == WHOLE
    assert latest.query(1) == "?changes=7&life=1000.125&layout=3-4"
    assert latest.query(10) == "?changes=7&life=1000.125&layout=3-4&step=10"


def test_what_moved_is_taken_in(latest: Latest) -> None:
    numbers = {"disks": {"sda": {"reads": 4}}}
    latest.take_document(moves(7, move(8, [LOAD_1M], [0.75]), move(9, [4], [1]), layout=[3, 5], numbers=numbers), 50)
    assert latest.document == {
        **REPORT,
        "sequence": 9,
        "collected_at": 9.5,
        "load": {"load_1m": 0.75, "load_5m": 0.25},
        "disks": {"sda": {"reads": 1}},
    }
    assert latest.query(1) == "?changes=9&life=1000.125&layout=3-5"
    latest.take_document(moves(9, move(10, [3, 1], [0.5, None])), 50)
    assert latest.document is not None
    assert latest.document["load"] == {"load_1m": 0.75, "load_5m": 0.5}
    assert "disks" not in latest.document


def test_moves_that_are_refused_for_one_number_count_as_far_as_their_others_were_taken(latest: Latest) -> None:
    latest.close_minute()
    new = {"layout": [3, 6], "numbers": {"load": {"new": 4, "large": 5}}}
    latest.take_document(moves(7, move(8, [4], [1]), **new), 50)
    for value in (5, 9):
        with pytest.raises(Unusable, match="too large"):
            latest.take_document(moves(8, move(9, [4, 1], [value, 1e301])), 50)
    assert latest.close_minute()["load.new"] == [1, 5.0, 9]


def test_of_machines_of_a_kind_the_layout_is_there_once(latest: Latest) -> None:
    other = Latest()
    other.take_document(whole({**REPORT, "load": {"load_1m": 9, "load_5m": 8}}, layout()), 100)
    assert other._held._form is latest._held._form
    numbers = {"disks": 4}
    for one in (latest, other):
        one.take_document(moves(7, move(8, [4], [1]), layout=[3, 5], numbers=numbers), 50)
    assert other._held._form is latest._held._form
    assert latest.document is not None
    assert latest.document["load"] == REPORT["load"]


def test_a_whole_report_in_place_of_what_moved_is_taken_too(latest: Latest) -> None:
    other = {**REPORT, "sequence": 3, "agent": {"started_at": 2000.5}}
    latest.take_document(whole(other, layout(), 1), 100)
    assert latest.query(1) == "?changes=3&life=2000.5&layout=1-4"
    assert latest.document == other


def test_after_a_restart_the_report_is_asked_for_whole_since_its_numbers_are_not_known(latest: Latest) -> None:
    restored = Latest(json.loads(wire.encode(latest.document or {})))
    assert restored.document == latest.document
    assert restored.query(1) == WHOLE


def test_what_opens_a_chain_is_what_the_agent_would_say(latest: Latest) -> None:
    latest.take_document(moves(7, move(8, [LOAD_1M], [0.75])), 50)
    again = Latest()
    again.take(latest.opening())
    assert again.document == latest.document
    assert again.query(1) == latest.query(1)
    assert Latest().opening() == b""


def test_an_agent_of_before_says_whole_reports_and_they_are_taken() -> None:
    latest = Latest()
    for sequence, load in ((7, {"load_1m": 1}), (8, {"load_1m": 2, "more": {}}), (9, {"load_1m": {"now": "object"}})):
        report = {**REPORT, "sequence": sequence, "load": load}
        latest.take(wire.encode(report))
        assert latest.document == report
        assert latest.query(1) == WHOLE
    latest.take_document(changes(9, change(10, load={"load_1m": 5}), change(11, disks={"sda": {"reads": 1}})), 50)
    after = {"load": {"load_1m": 5}, "disks": {"sda": {"reads": 1}}}
    assert latest.document == {**REPORT, "sequence": 11, "collected_at": 6.5, **after}


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
        moves(6, move(7, [], [])),
        moves(7, move(7, [], [])),
        moves(7, move(8, [], []), move(8, [], [])),
        moves(7, {**move(8, [], []), "collected_at": "noon"}),
        moves(7, {**move(8, [], []), "sequence": "8"}),
        moves(7, {**move(8, [], []), "sequence": 8.5}),
        moves(7, {"sequence": 8, "collected_at": 8.5}),
        moves(7, move(8, [1], [])),
        moves(7, move(8, 1, 2)),
        moves(7, move(8, [1.0], [1])),
        moves(7, move(8, [True], [1])),
        moves(7, move(8, [-1], [1])),
        moves(7, move(8, [3, -1], [1, 1])),
        moves(7, move(8, [4], [1])),
        moves(7, move(8, [3, 1], [1, 1])),
        moves(7, move(8, [10**30], [1])),
        moves(7, move(8, [3], [float("inf")])),
        moves(7, move(8, [3], [[{"load": float("inf")}]])),
        moves(7, move(8, [4], [1]), numbers={"a": 4}),
        moves(7, move(8, [4], [1]), numbers={"a": 4}, layout=[4, 5]),
        moves(7, move(8, [4], [1]), numbers={"a": 4}, layout=[3, 6]),
        moves(7, move(8, [4], [1]), numbers={"a": 4}, layout=["3", 5]),
        moves(7, move(8, [4], [1]), numbers={"a": 5}, layout=[3, 5]),
        moves(7, move(8, [4], [1]), numbers={"a": 3}, layout=[3, 5]),
        moves(7, move(8, [4], [1]), numbers={"a": "4"}, layout=[3, 5]),
        moves(7, move(8, [4], [1]), numbers={"load": 4}, layout=[3, 5]),
        moves(7, move(8, [4], [1]), numbers={"load": {"load_1m": {"a": 4}}}, layout=[3, 5]),
        moves(7, move(8, [4], [1]), numbers=[4], layout=[3, 5]),
        moves(7, [8]),
        {**moves(7), "moves": {}},
        {**whole(REPORT, layout()), "layout": [3, 5]},
        {**whole(REPORT, layout()), "numbers": {"load": {"load_1m": 0}}, "layout": [3, 1]},
        {**whole(REPORT, layout()), "numbers": None},
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
    assert latest.query(1) == WHOLE
    assert latest.document is not None
    assert set(latest.document["load"]) == set(REPORT["load"])
    assert wire.encode(latest.document)
    latest.take_document(whole(REPORT, layout()), 100)
    assert latest.document == REPORT


def test_an_agent_that_says_not_when_its_life_began_is_asked_for_whole_reports() -> None:
    latest = Latest()
    latest.take_document({"schema": 1, "sequence": 7, "collected_at": 5.5}, 100)
    assert latest.query(1) == WHOLE


def test_what_an_agent_adds_and_adds_does_not_grow_for_ever(latest: Latest) -> None:
    numbers = {str(n): 4 + n for n in range(1000)}
    latest.take_document(moves(7, move(8, [4], [1]), layout=[3, 1004], numbers=numbers), MAX_TAKEN_BYTES)
    assert latest.query(1) == WHOLE
    latest.take_document(whole(REPORT, layout()), 100)
    assert latest.document == REPORT


def test_what_an_agent_of_before_adds_and_leaves_does_not_grow_for_ever_either() -> None:
    latest = Latest()
    for sequence in range(20):
        latest.take_document({**REPORT, "sequence": sequence, "more": {f"{sequence} {n}": n for n in range(1000)}}, 100)
    assert len(latest._held._values) < 10_000


def test_moves_that_go_on_although_a_whole_report_is_asked_for_are_refused(latest: Latest) -> None:
    for sequence in (7, 8, 9):  # some of it may have been under way
        latest.take_document(moves(sequence, move(sequence + 1, [], [])), MAX_TAKEN_BYTES - 100)
    for _ in range(2):
        with pytest.raises(Unusable, match="although a whole report was asked for"):
            latest.take_document(moves(10, move(11, [3], [5])), 300)
    assert latest.document == {**REPORT, "sequence": 10, "collected_at": 10.5}
    latest.take_document(whole(REPORT, layout()), 100)
    latest.take_document(moves(7, move(8, [], [])), 100)


def test_keys_are_shared_by_all_reports() -> None:
    one, other = Latest(), Latest()
    for latest in (one, other):
        latest.take_document(json.loads(json.dumps(REPORT)), 100)
    assert one.document is not None
    assert other.document is not None
    for key, same in zip(one.document["load"], other.document["load"], strict=True):
        assert key is same


def one_move(sequence: int, at: list[int] | None = None, to: list[Any] | None = None) -> bytes:
    """What an agent says a second later."""
    return wire.encode(moves(sequence - 1, move(sequence, at or [], to or [])))


def test_what_moved_is_taken_apart_later_and_whoever_looks_sees_it_all(latest: Latest) -> None:
    for sequence in range(8, 8 + 3 * MAX_LEFT):
        latest.take(one_move(sequence, [LOAD_1M], [sequence]))
        assert (latest.sequence, latest.collected_at) == (sequence, sequence + 0.5)
        assert (latest.taken, latest.whole) == (1, False)
    latest.catch_up()
    latest.take(one_move(sequence + 1, [LOAD_1M], [-1]))
    assert not latest.is_caught_up
    assert latest.document == {**REPORT, "sequence": 32, "collected_at": 32.5, "load": {"load_1m": -1, "load_5m": 0.25}}
    assert latest.is_caught_up
    assert json.loads(latest.encoded() or b"") == latest.document


def test_little_is_left_for_later_in_number_and_in_bytes(latest: Latest) -> None:
    left = 0
    for sequence in range(8, 40):
        latest.take(one_move(sequence))
        left = 0 if latest.is_caught_up else left + 1
        assert left < MAX_LEFT
    latest.catch_up()
    latest.take(one_move(40, [3], ["x" * MAX_LEFT_BYTES]))
    assert latest.is_caught_up


def test_new_numbers_without_a_move_are_asked_for_again_with_the_next_one(latest: Latest) -> None:
    before = latest.query(1)
    latest.take(wire.encode(moves(7, layout=[3, 5], numbers={"a": 4})))
    assert latest.taken == 0
    assert latest.query(1) == before
    latest.take(wire.encode(moves(7, move(8, [4], [1]), layout=[3, 5], numbers={"a": 4})))
    assert latest.document
    assert latest.document["a"] == 1


def test_what_has_new_numbers_is_taken_apart_at_once_so_that_the_next_question_says_so(latest: Latest) -> None:
    latest.take(one_move(8, [LOAD_1M], [8]))
    latest.take(wire.encode(moves(8, move(9, [4], [1]), layout=[3, 5], numbers={"a": 4})))
    assert latest.query(1) == "?changes=9&life=1000.125&layout=3-5"


@pytest.mark.parametrize(
    "body",
    [
        one_move(9),
        one_move(7),
        wire.encode(moves(7, move(8, [], []), move(9, [], []), move(9, [], []))),
        b"{}",
        b"[1",
    ],
)
def test_what_does_not_look_like_the_next_move_is_taken_apart_at_once(latest: Latest, body: bytes) -> None:
    with pytest.raises(Unusable):
        latest.take(body)
    assert latest.query(1) == WHOLE


@pytest.mark.parametrize(
    "end",
    [
        b"]}]}",
        b'"x":[]}]}',
        b'"at":[2,"to":[]}]}',
        b'"at":[2],"to":[1e999]}]}',
        b'"at":[9],"to":[1]}]}',
        b'"at":[2]}]}',
    ],
)
def test_an_answer_that_turns_out_later_to_be_of_no_use_is_said_with_the_next_one(latest: Latest, end: bytes) -> None:
    latest.catch_up()
    latest.take(one_move(8, [LOAD_1M], [8]))
    body = b'{"schema":1,"since":8,"until":9,"moves":[{"sequence":9,"collected_at":9.5,' + end
    if not body.endswith(b"]}]}"):
        body = body[:-3] + b',"y":[1]}]}'
    latest.take(body)
    assert latest.document is not None
    assert latest.document["load"]["load_1m"] == 8
    assert latest.faults == 1
    assert latest.query(1) == WHOLE
    with pytest.raises(Unusable, match="some seconds ago"):
        latest.take(wire.encode(whole(REPORT, layout())))
    latest.take(wire.encode(whole(REPORT, layout())))
    assert latest.document == REPORT
    assert latest.faults == 1


def test_new_numbers_that_hide_at_the_end_of_an_answer_are_found_out_too(latest: Latest) -> None:
    latest.catch_up()
    hidden = moves(7, move(8, [4], [1]), layout=[3, 5], numbers={"a": 4}, z=[{"a": []}])
    latest.take(wire.encode(hidden))
    latest.catch_up()
    with pytest.raises(Unusable, match="it has new numbers, though it did not look like that"):
        latest.take(wire.encode(whole(REPORT, layout())))


def test_merge_patches_are_not_asked_for_and_not_taken(latest: Latest) -> None:
    with pytest.raises(Unusable, match="not what was asked for"):
        latest.take(wire.encode(changes(7, *(change(number) for number in range(8, 300)))))


def test_an_answer_that_says_its_sequence_twice_is_found_out_when_it_is_taken_apart(latest: Latest) -> None:
    end = b'"sequence":99,"at":[],"to":[]}]}'
    twice = b'{"schema":1,"since":7,"until":8,"moves":[{"sequence":8,"collected_at":6.5,' + end
    latest.take(twice)
    latest.catch_up()
    assert (latest.sequence, latest.faults) == (None, 1)
    with pytest.raises(Unusable, match="it has two sequences"):
        latest.take(twice)
    latest.take_document(whole(REPORT, layout()), 100)
    assert latest.document == REPORT


class ForEver(LargeAnswers):
    """Whose answer was large rests for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.took: list[float] = []

    def rest(self, now: float, took_seconds: float) -> float:
        self.took.append(took_seconds)
        return float("inf")


def test_large_answers_with_everything_new_in_them_do_not_take_all_the_time() -> None:
    def body(number: int) -> bytes:
        more = {f"{number} {key}": key for key in range(50_000)}
        return wire.encode({**REPORT, "sequence": number, "more": more})

    latest, large = Latest(), ForEver()
    latest.take(body(1), large)
    for number in (2, 3):
        with pytest.raises(Unusable) as refused:
            latest.take(body(number), large)
        assert str(refused.value) == "the answers are so large, and so different, that only some of them are read"
        assert latest.query(1) == WHOLE
    assert latest.document is not None
    assert latest.document["sequence"] == 1
    Latest().take(body(1), large)  # another agent's first is read
    latest.take(wire.encode(REPORT), large)  # and a small one always
    assert latest.document == REPORT
    assert [seconds > 0.001 for seconds in large.took] == [True, True]


def test_new_numbers_in_a_large_layout_do_not_either(latest: Latest) -> None:
    numbers = {str(number): 4 + number for number in range(LARGE_PLACES)}
    count = 4 + LARGE_PLACES
    large = ForEver()
    latest.take(wire.encode(moves(7, move(8, [4], [1]), layout=[3, count], numbers=numbers)), large)
    assert not large.took  # what it had before was not much
    latest.take(wire.encode(moves(8, move(9, [count], [1]), layout=[3, count + 1], numbers={"a": count})), large)
    assert latest.sequence == 9
    with pytest.raises(Unusable, match="only some of them are read"):
        latest.take(wire.encode(moves(9, move(10, [4], [1]), layout=[3, count + 2], numbers={"b": count + 1})), large)
