"""What a minute of reports comes to: of each number the least, the mean and the greatest. Pure.

While what moved is taken into a report, count is kept of it; a number of which there is no count did not move. A mean
is over the reports of the minute, each of them weighing the same.
"""

import zlib
from array import array
from collections.abc import Iterable
from math import inf
from typing import Any

from monitoring_agent.shared.layout import Layout, Values
from monitoring_agent.shared.patch import Document

MINUTE_SECONDS = 60.0


class Cells:
    """What is counted, by the numbers of a layout. In arrays: with thousands of agents memory is what costs time.

    `least` is infinite where nothing moved. `sums` are over the reports so far, as if the present value were 0.
    `firsts` are the first reports that had the value, where that was not the minute's first one.
    """

    __slots__ = ("firsts", "greatest", "least", "sums")

    def __init__(self, count: int) -> None:
        self.least = array("d", (inf,)) * count
        self.greatest = array("d", (-inf,)) * count
        self.sums = array("d", (0.0,)) * count
        self.firsts: dict[int, int] = {}

    def grow(self, count: int) -> None:
        """Have room for so many numbers."""
        more = Cells(count - len(self.least))
        self.least += more.least
        self.greatest += more.greatest
        self.sums += more.sums

    def begin(self, number: int, before: Any, value: float, at: int) -> None:
        """Begin to count: `value` came with report number `at`, in place of `before`."""
        if at == 0 or (before.__class__ is not float and before.__class__ is not int):
            before = value
            if at:
                self.firsts[number] = at
            self.sums[number] = -value * at
        else:
            self.sums[number] = (before - value) * at
        self.least[number] = min(before, value)
        self.greatest[number] = max(before, value)

    def end(self, number: int) -> None:
        """Forget what was counted there: it is no number any more."""
        self.least[number], self.greatest[number], self.sums[number] = inf, -inf, 0.0
        self.firsts.pop(number, None)

    def take_over(self, number: int, other: "Cells", there: int) -> None:
        """Go on from what another counted at that number."""
        self.least[number], self.greatest[number] = other.least[there], other.greatest[there]
        self.sums[number] = other.sums[there]
        if there in other.firsts:
            self.firsts[number] = other.firsts[there]


# One value, if it stayed the same or is a counter (then the last one), or [least, mean, greatest].
Point = float | list[float]


# Beyond this a mean could not be computed; and what is infinite JSON could not say again.
MAX_NUMBER = 1e300
_LEAST, _GREATEST = -MAX_NUMBER, MAX_NUMBER
_LEAST_INT, _GREATEST_INT = -int(MAX_NUMBER), int(MAX_NUMBER)

# A machine with a thousand containers has half as many numbers. Of more, and of paths that nobody would ever type, the
# course is not kept: together the paths of a report can be much longer than the report.
MAX_POINTS = 20_000
MAX_PATH_LETTERS = 500

# What tells of the agent itself, and has no course worth keeping for years.
LEFT_OUT = frozenset({"schema", "sequence", "collected_at", "agent", "collectors"})


class TooLarge(ValueError):
    """A number that is no measurement; the text says which."""


def phase(name: str) -> float:
    """At which second an agent's minutes begin. Not all at the same: closing a minute is work, and is spread so."""
    return zlib.crc32(name.encode()) / 2**32 * MINUTE_SECONDS


def beginning(at: float, phase: float) -> float:
    """When the minute began in which this moment lies; both in Unix seconds."""
    return (at - phase) // MINUTE_SECONDS * MINUTE_SECONDS + phase


def counted(layout: Layout) -> bytes:
    """For each number of the layout whether its course is counted: of a counter the last value tells all."""
    marks = bytearray(layout.count)
    for key, node in layout.tree.items():
        if node.__class__ is dict and key not in LEFT_OUT:
            _mark(marks, node)
    return bytes(marks)


def _mark(marks: bytearray, tree: Document) -> None:
    for key, place in tree.items():
        if place.__class__ is dict:
            _mark(marks, place)
        elif not key.endswith("_total"):
            marks[place] = 1


def merge(values: Values, marks: bytes, cells: Cells, numbers: Iterable[int], moved: Values, at: int) -> None:
    """Put what moved in its places, `at` being the number of this report within the minute.

    Raises TooLarge; what was merged before that stays.
    """
    least, greatest, sums = cells.least, cells.greatest, cells.sums
    for number, value in zip(numbers, moved, strict=True):
        kind = value.__class__
        if kind is float or kind is int:
            # To compare an int with a float costs three times as much as with its like.
            if not (_LEAST < value < _GREATEST if kind is float else _LEAST_INT < value < _GREATEST_INT):
                raise TooLarge("a number is too large")
            if marks[number]:
                if value < least[number]:
                    if least[number] == inf:
                        cells.begin(number, values[number], value, at)
                        values[number] = value
                        continue
                    least[number] = value
                elif value > greatest[number]:
                    greatest[number] = value
                sums[number] += (values[number] - value) * at
        else:
            if kind is list or kind is dict:
                require_small((value,))
            cells.end(number)
        values[number] = value


def require_small(values: Iterable[Any]) -> None:
    """Raise TooLarge for a number among them, or in lists and objects among them, that is."""
    for value in values:
        kind = value.__class__
        if kind is float or kind is int:
            if not -MAX_NUMBER < value < MAX_NUMBER:
                raise TooLarge("a number is too large")
        elif kind is dict:
            require_small(value.values())
        elif kind is list:
            require_small(value)


def points(layout: Layout, values: Values, cells: Cells, reports: int) -> dict[str, Point]:
    """What so many reports come to: a point for each number of the newest one, by its path with dots."""
    found: dict[str, Point] = {}
    for key, node in layout.tree.items():
        if node.__class__ is dict and key not in LEFT_OUT:
            _gather(found, f"{key}.", node, values, cells, reports)
    return found


def _gather(
    found: dict[str, Point], prefix: str, tree: Document, values: Values, cells: Cells, reports: int
) -> None:
    for key, place in tree.items():
        if len(prefix) + len(key) > MAX_PATH_LETTERS:
            continue
        if len(found) >= MAX_POINTS:
            return
        if place.__class__ is dict:
            _gather(found, f"{prefix}{key}.", place, values, cells, reports)
            continue
        value = values[place]
        kind = value.__class__
        if kind is float or kind is int:
            if cells.least[place] < cells.greatest[place]:
                mean = (cells.sums[place] + value * reports) / (reports - cells.firsts.get(place, 0))
                found[prefix + key] = [_short(cells.least[place]), float(f"{mean:.6g}"), _short(cells.greatest[place])]
            else:
                found[prefix + key] = value


def _short(value: float) -> float:
    """The same number, whole ones without a fraction."""
    return int(value) if value.is_integer() else value
