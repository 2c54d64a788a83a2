"""The numbers that an agent and whoever asks it use in place of the keys of a report.

What moved from one report to the next is said with them in a third of the bytes of a merge patch, and is half the work
to take in and to store. A layout is a tree like the report, with a number in place of each value. It only grows: a
value that is gone keeps its number, and null in its place says so. An object that is empty has a value under a key of
its own. What changes with every report, and is said with it anyway, has no number.
"""

from collections.abc import Iterable
from itertools import accumulate, pairwise
from sys import intern
from typing import Any

from monitoring_agent.shared.patch import Document

# A report of the largest size has fewer values.
MAX_PLACES = 200_000
# The keys of a report that have no number.
APART = ("sequence", "collected_at")
# Under this key, that an object has nothing in it. No name of a Linux system has this character in it.
EMPTY = "\0"

Values = list[Any]


class Unlike(ValueError):
    """A report or a layout does not go with this one; the text says why."""


class Layout:
    """The places of a report's values. `tree` has a number for each, `count` is how many there are."""

    __slots__ = ("count", "tree")

    def __init__(self) -> None:
        self.tree: Document = {}
        self.count = 0

    def copy(self) -> "Layout":
        """One of its own that grows apart from this one."""
        layout = Layout()
        layout.tree, layout.count = _copied(self.tree), self.count
        return layout

    def values(self, report: Document) -> Values:
        """The report's values by their numbers, None where it has none. New ones are given a number. Raises Unlike."""
        found: dict[int, Any] = {}
        self._fill(self.tree, _numbered_part(report), found)
        return [found.get(number) for number in range(self.count)]

    def document(self, values: Values) -> Document:
        """The report again that has these values, but for what has no number."""
        return _built(self.tree, values) or {}

    def moves(self, before: Document, after: Document) -> tuple[list[int], Values]:
        """What makes `after` of `before`: the numbers, each as its distance from the one before, and the values there.

        Raises Unlike. What both share as one object is not looked into.
        """
        moved: dict[int, Any] = {}
        self._compare(self.tree, _numbered_part(before), _numbered_part(after), moved)
        numbers = sorted(moved)
        return [later - number for number, later in pairwise([0, *numbers])], [moved[number] for number in numbers]

    def beyond(self, count: int) -> Document:
        """The part of the tree with the numbers from this one on."""
        return _beyond(self.tree, count)

    def add(self, tree: Any) -> None:
        """Take over what another's tree has beyond this one. Raises Unlike; then this one must not be used any more."""
        numbers: list[int] = []
        _graft(self.tree, tree, numbers)
        if sorted(numbers) != list(range(self.count, self.count + len(numbers))) or len(numbers) > MAX_PLACES:
            raise Unlike("the numbers of a layout do not go on from those before")
        if not self.tree.keys().isdisjoint(APART):
            raise Unlike("a layout has a number for what is said apart")
        self.count += len(numbers)

    def _fill(self, tree: Document, report: Document, found: dict[int, Any]) -> None:
        for key, value in report.items():
            if value.__class__ is dict:
                self._fill(self._inner(tree, key), value, found)
            else:
                found[self._number(tree, key)] = value
        if not report:
            found[self._place(tree, EMPTY)] = True

    def _compare(self, tree: Document, before: Document, after: Document, moved: dict[int, Any]) -> None:
        for key, value in after.items():
            old = before.get(key)
            if value is old or value == old:
                continue
            if value.__class__ is dict:
                inner = self._inner(tree, key)
                if old.__class__ is dict:
                    self._compare(inner, old, value, moved)
                else:
                    self._fill(inner, value, moved)
            else:
                moved[self._number(tree, key)] = value
        for key in before.keys() - after.keys():
            self._clear(tree, key, before[key], moved)
        if not after:
            moved[self._place(tree, EMPTY)] = True
        elif not before:
            moved[self._place(tree, EMPTY)] = None

    def _clear(self, tree: Document, key: str, before: Any, moved: dict[int, Any]) -> None:
        if before.__class__ is dict:
            below = self._inner(tree, key)
            for inner, value in before.items():
                self._clear(below, inner, value, moved)
            if not before:
                moved[self._place(below, EMPTY)] = None
        else:
            moved[self._number(tree, key)] = None

    def _inner(self, tree: Document, key: str) -> Document:
        _require_possible(key)
        inner = tree.get(key)
        if inner is None:
            inner = tree[intern(key)] = {}
        elif inner.__class__ is not dict:
            raise Unlike(f"{key[:60]!r} was a value and is an object")
        return inner

    def _number(self, tree: Document, key: str) -> int:
        _require_possible(key)
        return self._place(tree, key)

    def _place(self, tree: Document, key: str) -> int:
        number = tree.get(key)
        if number is None:
            if self.count >= MAX_PLACES:
                raise Unlike(f"more than {MAX_PLACES} values have come and gone")
            number = tree[intern(key)] = self.count
            self.count += 1
        elif number.__class__ is dict:
            raise Unlike(f"{key[:60]!r} was an object and is a value")
        return number


def numbers(distances: Any, count: int) -> Iterable[int]:
    """The numbers again, none of them beyond `count`. Raises Unlike for anything else."""
    if distances.__class__ is not list or not {*map(type, distances)} <= {int}:
        raise Unlike("the numbers are no list of whole numbers")
    if distances and (min(distances) < 0 or sum(distances) >= count):
        raise Unlike("a number is not in the layout")
    return accumulate(distances)


def _require_possible(key: str) -> None:
    if key == EMPTY:
        raise Unlike("a key is one that no name can have")


def _numbered_part(report: Document) -> Document:
    return {key: value for key, value in report.items() if key not in APART}


def _built(tree: Document, values: Values) -> Document | None:
    """The object, or None if it is not there: nothing of it is, and it is not empty either."""
    built: Document = {}
    is_there = False
    for key, place in tree.items():
        value = _built(place, values) if place.__class__ is dict else values[place]
        if value is None:
            continue
        is_there = True
        if key != EMPTY:
            built[key] = value
    return built if is_there else None


def _beyond(tree: Document, count: int) -> Document:
    found: Document = {}
    for key, place in tree.items():
        if place.__class__ is dict:
            if inner := _beyond(place, count):
                found[key] = inner
        elif place >= count:
            found[key] = place
    return found


def _copied(tree: Document) -> Document:
    return {key: _copied(place) if place.__class__ is dict else place for key, place in tree.items()}


def _graft(tree: Document, other: Any, numbers: list[int]) -> None:
    if other.__class__ is not dict:
        raise Unlike("a layout is not an object")
    for key, place in other.items():
        own = tree.get(key)
        if place.__class__ is dict and (own is None or own.__class__ is dict):
            _require_possible(key)
            if own is None:
                own = tree[intern(key)] = {}
            _graft(own, place, numbers)
        elif place.__class__ is int and own is None:
            tree[intern(key)] = place
            numbers.append(place)
        else:
            raise Unlike(f"{key[:60]!r} has no new number in the layout")
