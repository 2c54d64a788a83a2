"""Answers out of the agent's memory."""

import json
from typing import Any

import pytest

from monitoring_agent import since
from monitoring_agent.recall import Recall
from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import apply

from .test_recall import document, filled, report


def answer(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    assert found.pop("schema") == wire.SCHEMA
    return found


def test_whole_reports_are_as_many_as_there_is_room_for() -> None:
    recall = filled(100)
    some = answer(since.whole(recall, 10))
    assert some.pop("reports") == [document(sequence) for sequence in range(11, 101)]
    assert some == {"since": 10, "complete": True, "more": False, "oldest": 1, "newest": 100}
    large = Recall()
    for sequence in range(1, 60):
        large.add(report(sequence, 20_000 if sequence > 1 else 200))
    few = answer(since.whole(large, 0))
    assert few["more"]
    assert len(json.dumps(few)) < 2 * wire.MAX_REPORTS_BYTES
    assert answer(since.whole(large, len(few["reports"])))["reports"][0]["sequence"] == len(few["reports"]) + 1


@pytest.mark.parametrize("behind", [0, 1, 2, 5])
def test_who_is_a_little_behind_gets_what_changed(behind: int) -> None:
    recall = filled(130)
    found = answer(since.changes(recall, 130 - behind, 1))
    assert found["since"] == 130 - behind
    assert len(found["changes"]) == behind
    held = document(130 - behind)
    for change in found["changes"]:
        apply(held, change)
    assert held == document(130)


@pytest.mark.parametrize("sequence", [-1, 0, 124, 131, 10**17])
def test_who_is_far_behind_or_holds_what_is_unknown_gets_the_newest_report(sequence: int) -> None:
    assert answer(since.changes(filled(130), sequence, 1)) == {"report": document(130), "changes": []}


def test_changes_can_be_some_reports_apart() -> None:
    recall = filled(130)
    found = answer(since.changes(recall, 108, 10))
    assert len(found["changes"]) == 3
    held = document(108)
    sequences = []
    for change in found["changes"]:
        apply(held, change)
        sequences.append(held["sequence"])
    assert (held, sequences) == (document(130), [118, 128, 130])
    assert "report" in answer(since.changes(filled(1000), 300, 600))  # no longer remembered


def test_the_past_is_told_a_minute_at_a_time() -> None:
    recall = filled(130)
    found = answer(since.past(recall, 20, 1))
    held = found["report"]
    assert held == document(20)
    for change in found["changes"]:
        apply(held, change)
    assert held == document(79)
    assert answer(since.past(recall, 129, 1))["report"] == document(129)
    assert answer(since.past(recall, 500, 1)) == {"report": document(130), "changes": []}


def test_a_past_that_is_forgotten_begins_with_the_oldest_that_is_remembered() -> None:
    recall = filled(1000)
    assert answer(since.past(recall, 1, 1))["report"] == document(recall.oldest() or 0)
