"""An agent's newest report, kept up to date by what changed."""

import copy
import json
from typing import Any

import pytest

from monitoring_agent.shared import wire
from monitoring_supervisor.latest import MAX_TAKEN_BYTES, Latest, Unusable

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
    assert latest.take(copy.deepcopy(REPORT), 100)
    return latest


def test_a_report_is_asked_for_whole_once_and_then_what_changed(latest: Latest) -> None:
    assert Latest().query(1) == ""
    assert latest.query(1) == "?changes=7&life=1000.125"
    assert latest.query(10) == "?changes=7&life=1000.125&step=10"


def test_what_changed_is_taken_in(latest: Latest) -> None:
    assert not latest.take(changes(7, change(8, load={"load_1m": 0.75}), change(9, disks={"sda": {"reads": 1}})), 50)
    assert latest.document == {
        **REPORT,
        "sequence": 9,
        "collected_at": 6.5,
        "load": {"load_1m": 0.75, "load_5m": 0.25},
        "disks": {"sda": {"reads": 1}},
    }
    assert latest.query(1) == "?changes=9&life=1000.125"
    latest.take(changes(9, change(10, disks=None)), 50)
    assert latest.document is not None
    assert "disks" not in latest.document


def test_the_newest_report_in_place_of_changes_is_taken_too(latest: Latest) -> None:
    other = {**REPORT, "sequence": 3, "agent": {"started_at": 2000.5}}
    assert latest.take({"schema": 1, "report": other, "changes": []}, 100)
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
        latest.take(answer, 50)
    assert latest.query(1) == ""
    assert latest.document is not None
    assert latest.document["load"] == REPORT["load"]


def test_an_agent_that_says_not_when_its_life_began_is_asked_for_whole_reports() -> None:
    latest = Latest()
    latest.take({"schema": 1, "sequence": 7, "collected_at": 5.5}, 100)
    assert latest.query(1) == ""


def test_what_an_agent_adds_and_adds_does_not_grow_for_ever(latest: Latest) -> None:
    latest.take(changes(7, change(8, **{str(n): n for n in range(1000)})), MAX_TAKEN_BYTES)
    assert latest.query(1) == ""
    latest.take(copy.deepcopy(REPORT), 100)
    assert latest.document == REPORT


def test_keys_are_shared_by_all_reports() -> None:
    one, other = Latest(), Latest()
    for latest in (one, other):
        latest.take(json.loads(json.dumps(REPORT)), 100)
    assert one.document is not None
    assert other.document is not None
    for key, same in zip(one.document["load"], other.document["load"], strict=True):
        assert key is same
