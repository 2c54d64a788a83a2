"""What changed from one report to the next."""

import copy
from typing import Any

import pytest

from monitoring_agent.shared.patch import apply, difference


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}, id="a value moved"),
        pytest.param({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, {"a": {"y": 3}}, id="a value within moved"),
        pytest.param({"a": {"x": 1}, "b": 1}, {"b": 1}, {"a": None}, id="something is gone"),
        pytest.param({}, {"a": {"x": {}}}, {"a": {"x": {}}}, id="something came"),
        pytest.param({"a": [1, 2]}, {"a": [2]}, {"a": [2]}, id="a list is replaced"),
        pytest.param({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}, id="a number became an object"),
        pytest.param({"a": {"x": 1}}, {"a": 1}, {"a": 1}, id="an object became a number"),
        pytest.param({"a": {"x": 1}}, {"a": {}}, {"a": {"x": None}}, id="an object became empty"),
        pytest.param({"a": 1}, {"a": 1}, {}, id="nothing changed"),
    ],
)
def test_a_patch_says_what_changed_and_makes_it_so(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    untouched = copy.deepcopy((before, after))
    assert difference(before, after) == patch
    assert (before, after) == untouched
    apply(before, patch)
    assert before == after


def test_an_empty_object_that_came_is_there() -> None:
    document: dict[str, Any] = {"a": 1}
    apply(document, {"a": {}, "b": {"c": {}}})
    assert document == {"a": {}, "b": {"c": {}}}
