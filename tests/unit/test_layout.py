"""Numbers in place of the keys of a report."""

import copy
import random
from typing import Any

import pytest

from monitoring_agent.shared.layout import APART, MAX_PLACES, Layout, Unlike, numbers

KEYS = ("a", "b", "c d", "")
CHANCE = random.Random(1)


def some_report(depth: int = 3) -> dict[str, Any]:
    """One of many, each a little like others."""
    report: dict[str, Any] = {}
    for key in KEYS:
        kind = CHANCE.random()
        if kind < 0.3 and depth:
            report[key] = some_report(depth - 1)
        elif kind < 0.7:
            report[key] = CHANCE.choice([0, 1, 0.5, True, "text", [1, {"a": 2}]])
    return report


def moved(layout: Layout, values: list[Any], at: list[int], to: list[Any]) -> list[Any]:
    values = values + [None] * (layout.count - len(values))
    for number, value in zip(numbers(at, layout.count), to, strict=True):
        values[number] = value
    return values


def test_what_moved_is_said_with_the_distances_between_its_numbers() -> None:
    layout = Layout()
    before = {"sequence": 1, "collected_at": 0.5, "cpu": {"a": 1, "b": 2, "c": 3}, "load": {"d": 4}}
    after = {"sequence": 2, "collected_at": 1.5, "cpu": {"a": 1, "b": 5, "e": 6}, "load": {"d": 7}}
    assert layout.values(before) == [1, 2, 3, 4]
    assert layout.tree == {"cpu": {"a": 0, "b": 1, "c": 2}, "load": {"d": 3}}
    assert layout.moves(before, after) == ([1, 1, 1, 1], [5, None, 7, 6])
    assert layout.beyond(4) == {"cpu": {"e": 4}}


def test_whoever_is_told_what_moved_has_the_report() -> None:
    told = refused = 0
    for _ in range(400):
        agent, asker = Layout(), Layout()
        before = some_report()
        values = agent.values(before)
        asker.add(agent.beyond(0))
        for _ in range(5):
            after = some_report()
            try:
                at, to = agent.moves(copy.deepcopy(before), after)
            except Unlike:  # a value became an object, or the reverse
                refused += 1
                break
            asker.add(agent.beyond(asker.count))
            values = moved(asker, values, at, to)
            assert asker.document(values) == after
            assert (asker.tree, asker.count) == (agent.tree, agent.count)
            before = after
            told += 1
    assert told > 100
    assert refused > 100


@pytest.mark.parametrize(
    ("before", "after"), [({"a": 1}, {"a": {"b": 1}}), ({"a": {"b": 1}}, {"a": 1}), ({}, {"\0": 1})]
)
def test_a_value_that_becomes_an_object_needs_another_layout(before: dict[str, Any], after: dict[str, Any]) -> None:
    layout = Layout()
    layout.values(before)
    with pytest.raises(Unlike):
        layout.moves(before, after)


@pytest.mark.parametrize("value", [1, [1], {}, {"b": 1}])
def test_a_key_that_says_that_an_object_is_empty_cannot_be_a_reports(value: Any) -> None:
    for report in ({"\0": value}, {"a": {"\0": value}}):
        with pytest.raises(Unlike, match="a key is one that no name can have"):
            Layout().values(report)
        with pytest.raises(Unlike, match="a key is one that no name can have"):
            Layout().moves({}, report)
    with pytest.raises(Unlike):
        Layout().add({"\0": {"b": 0}})


def test_what_comes_and_goes_does_not_make_it_grow_for_ever() -> None:
    layout = Layout()
    layout.values({str(number): number for number in range(MAX_PLACES)})
    with pytest.raises(Unlike, match=f"more than {MAX_PLACES} values have come and gone"):
        layout.values({"one more": 1})


def test_what_is_said_with_every_report_has_no_number() -> None:
    layout = Layout()
    assert layout.values({**dict.fromkeys(APART, 1), "a": 5}) == [5]
    assert layout.document([5]) == {"a": 5}


def test_a_copy_grows_by_itself() -> None:
    layout = Layout()
    layout.values({"a": {"b": 1}})
    copied = layout.copy()
    copied.values({"a": {"c": 1}})
    assert layout.tree == {"a": {"b": 0}}
    assert copied.tree == {"a": {"b": 0, "c": 1}}


def test_a_layout_that_has_a_number_for_what_is_said_apart_is_refused() -> None:
    with pytest.raises(Unlike):
        Layout().add({"a": 0, "collected_at": 1})
