"""Answers out of the agent's memory."""

import json
from typing import Any

import pytest

from monitoring_agent import since
from monitoring_agent.recall import MAX_UNUSED, Recall, Report
from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout, numbers
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


class Asker:
    """Holds a report as a supervisor does: by numbers."""

    def __init__(self) -> None:
        self.layout, self.known = Layout(), (0, 0)
        self.values: list[Any] = []
        self.held: dict[str, Any] = {}

    def take(self, text: bytes) -> list[int]:
        """Take in an answer. Returns the sequences that it told of."""
        told = answer(text)
        if "report" in told:
            self.layout, self.known = Layout(), (0, 0)
        if "numbers" in told:
            self.layout.add(told["numbers"])
            self.known = (told["layout"][0], told["layout"][1])
            assert self.known[1] == self.layout.count
        if "report" in told:
            self.held = told["report"]
            self.values = self.layout.values(self.held)
            assert "numbers" not in told or self.layout.count == self.known[1]
        for move in told.get("moves", []):
            self.values += [None] * (self.layout.count - len(self.values))
            for number, value in zip(numbers(move["at"], self.layout.count), move["to"], strict=True):
                self.values[number] = value
            apart = {key: move[key] for key in ("sequence", "collected_at")}
            self.held = {**apart, **self.layout.document(self.values)}
        return [move["sequence"] for move in told.get("moves", [])]


def timed(sequence: int, **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "collected_at": sequence + 0.5, "load": {"a": sequence, "b": 2}, **more}


def after_one_another(recall: Recall, *some: dict[str, Any]) -> None:
    for one in some:
        newest = recall.newest()
        before = wire.decode(newest.body) if newest else None
        recall.add(Report(one["sequence"], 0.0, wire.encode(one), (before, one) if before else None))


def test_who_knows_the_layout_is_told_what_moved_by_numbers() -> None:
    recall, asker = Recall(), Asker()
    after_one_another(recall, timed(1))
    asker.take(since.moves(recall, -1, 1, asker.known))
    assert asker.held == timed(1)
    after_one_another(recall, timed(2), timed(3, disks={}), timed(4, disks={"sda": {"x": 1}}))
    assert asker.take(since.moves(recall, 1, 1, asker.known)) == [2, 3, 4]
    assert asker.held == timed(4, disks={"sda": {"x": 1}})
    after_one_another(recall, timed(5))
    text = since.moves(recall, 4, 1, asker.known)
    assert asker.take(text) == [5]
    assert asker.held == timed(5)
    assert b"numbers" not in text
    assert answer(since.moves(recall, 5, 1, asker.known)) == {"since": 5, "until": 5, "moves": []}


def test_what_two_askers_know_is_told_to_each() -> None:
    recall, one, other = Recall(), Asker(), Asker()
    after_one_another(recall, timed(1))
    one.take(since.moves(recall, -1, 1, one.known))
    after_one_another(recall, timed(2, disks={"sda": 1}))
    one.take(since.moves(recall, 1, 1, one.known))
    other.take(since.moves(recall, -1, 1, other.known))
    after_one_another(recall, timed(3, disks={"sdb": 1}))
    for asker in (one, other):
        asker.take(since.moves(recall, 2, 1, asker.known))
        assert asker.held == timed(3, disks={"sdb": 1})


@pytest.mark.parametrize("held", [-1, 0, 4, 131])
def test_who_holds_nothing_that_is_known_is_told_all(held: int) -> None:
    recall, asker = Recall(), Asker()
    after_one_another(recall, *(timed(sequence) for sequence in range(10, 20)))
    asker.take(since.moves(recall, held, 1, (1, 3)))
    assert asker.held == timed(19)


def test_a_value_that_becomes_an_object_makes_another_layout_for_all_askers() -> None:
    recall, one, other = Recall(), Asker(), Asker()
    after_one_another(recall, timed(1, disks=1))
    for asker in (one, other):
        asker.take(since.moves(recall, -1, 1, asker.known))
    after_one_another(recall, timed(2, disks={"sda": 1}))
    for asker in (one, other):
        before = asker.known
        assert asker.take(since.moves(recall, 1, 1, asker.known)) == []
        assert asker.held == timed(2, disks={"sda": 1})
        assert asker.known[0] != before[0]
    after_one_another(recall, timed(3, disks={"sda": 2}))
    for asker in (one, other):
        assert asker.take(since.moves(recall, 2, 1, asker.known)) == [3]
        assert asker.held == timed(3, disks={"sda": 2})


def test_a_report_for_which_there_can_be_no_numbers_is_told_as_it_is() -> None:
    recall = Recall()
    after_one_another(recall, timed(1), timed(2, disks={"\0": 1}))
    assert answer_of_before(since.moves(recall, -1, 1, (0, 0))) == timed(2, disks={"\0": 1})
    assert answer_of_before(since.moves(recall, 1, 1, (1, 2))) == timed(2, disks={"\0": 1})
    assert answer(since.past(recall, 2, 1, by_numbers=True)) == {"report": timed(2, disks={"\0": 1}), "changes": []}


def answer_of_before(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_moves_can_be_some_reports_apart() -> None:
    recall, asker = Recall(), Asker()
    after_one_another(recall, *(timed(sequence) for sequence in range(1, 9)))
    asker.take(since.moves(recall, -1, 3, asker.known))
    after_one_another(recall, *(timed(sequence) for sequence in range(9, 20)))
    assert asker.take(since.moves(recall, 8, 5, asker.known)) == [13, 18, 19]
    assert asker.held == timed(19)


def test_the_past_is_told_by_numbers_too() -> None:
    recall, asker = Recall(), Asker()
    after_one_another(recall, *(timed(sequence, **{f"x{sequence % 7}": {}}) for sequence in range(1, 131)))
    assert asker.take(since.past(recall, 20, 1, by_numbers=True)) == list(range(21, 80))
    assert asker.held == timed(79, x2={})


def test_of_a_past_with_two_layouts_the_first_report_is_told_alone() -> None:
    recall, asker = Recall(), Asker()
    after_one_another(recall, timed(1, disks=1), timed(2, disks={"a": 1}), timed(3, disks={"a": 2}))
    assert asker.take(since.past(recall, 1, 1, by_numbers=True)) == []
    assert asker.held == timed(1, disks=1)
    assert asker.take(since.past(recall, 2, 1, by_numbers=True)) == [3]
    assert asker.held == timed(3, disks={"a": 2})


def test_what_came_and_went_does_not_stay_in_a_layout_for_ever() -> None:
    recall, asker = Recall(), Asker()
    for first in range(1, 6):
        gone = {f"veth{first}-{number}": number for number in range(MAX_UNUSED)}
        after_one_another(recall, timed(2 * first - 1, network=gone), timed(2 * first, network={"lo": 1}))
        asker.take(since.moves(recall, 2 * first - 2, 1, asker.known))
        assert asker.held == timed(2 * first, network={"lo": 1})
    whole = since.moves(recall, -1, 1, (0, 0))
    assert answer(whole)["layout"][1] < 3 * MAX_UNUSED
    asker.take(whole)
    assert asker.held == timed(10, network={"lo": 1})


def test_a_report_whose_layout_has_no_room_beside_it_is_told_as_it_is() -> None:
    recall = Recall()
    large = timed(1, network={f"interface {number}": number for number in range(25_000)})
    after_one_another(recall, large, {**large, "sequence": 2})
    assert answer_of_before(since.moves(recall, -1, 1, (0, 0)))["sequence"] == 2
    assert answer(since.past(recall, 1, 1, by_numbers=True)).keys() == {"report", "changes"}
    many = timed(3, network={str(number): {"a": 1} for number in range(12_000)})
    after_one_another(recall, many)
    assert answer_of_before(since.moves(recall, -1, 1, (0, 0)))["sequence"] == 3


@pytest.mark.parametrize("by_numbers", [False, True])
def test_what_is_forgotten_while_it_is_looked_for_is_not_begun_with_another(by_numbers: bool) -> None:
    recall = Recall(reports=120)
    for sequence in range(1, 400):
        after_one_another(recall, timed(sequence))
        held = recall.oldest() or 0
        known = (recall.identity, 3)
        text = since.moves(recall, held, 60, known) if by_numbers else since.changes(recall, held, 60)
        steps = answer(text).get("moves" if by_numbers else "changes", [])
        assert not steps or steps[0]["sequence"] - held <= 60
