"""What a minute of reports comes to: of each number the least, the mean and the greatest. Pure.

While changes are merged into a report, count is kept of each number that moves; one of which there is none did not
move. A mean is over the reports of the minute, each of them weighing the same.
"""

import zlib
from array import array
from collections.abc import Iterable
from typing import Any

from monitoring_agent.shared.patch import Document, apply

MINUTE_SECONDS = 60.0

# In place of a number that only counts: its last value tells all.
COUNTS = -1


class Cells:
    """What is counted of the numbers that moved. In arrays: with thousands of agents memory is what costs time.

    `places` has the keys of the report and, in place of each number that moved, where it stands in the arrays.
    `sums` are over the reports so far, as if the present value were 0. `firsts` are the first reports that had the
    number, where that was not the minute's first one.
    """

    __slots__ = ("firsts", "greatest", "least", "places", "sums")

    def __init__(self) -> None:
        self.places: dict[str, Any] = {}
        self.least = array("d")
        self.greatest = array("d")
        self.sums = array("d")
        self.firsts: dict[int, int] = {}

    def add(self, before: Any, value: float, at: int) -> int:
        """Begin to count: `value` came with report number `at`, in place of `before`. Returns the number's place."""
        place = len(self.least)
        if place >= MAX_POINTS:
            return COUNTS
        if at == 0 or (before.__class__ is not float and before.__class__ is not int):
            before = value
            if at:
                self.firsts[place] = at
            self.sums.append(-value * at)
        else:
            self.sums.append((before - value) * at)
        self.least.append(min(before, value))
        self.greatest.append(max(before, value))
        return place


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


def merge(document: Document, change: Document, cells: Cells, at: int) -> None:
    """Merge a change (RFC 7396) into the report in place, `at` being the number of this report within the minute.

    Raises TooLarge; what was merged before that stays.
    """
    left_out = {key: change[key] for key in LEFT_OUT if key in change}
    require_small(left_out.values())
    apply(document, left_out)
    counted = {key: value for key, value in change.items() if key not in left_out}
    _merge(document, counted, cells, cells.places, at)


def _merge(document: Document, change: Document, cells: Cells, places: dict[str, Any], at: int) -> None:
    least, greatest, sums = cells.least, cells.greatest, cells.sums
    for key, value in change.items():
        kind = value.__class__
        if kind is float or kind is int:
            # To compare an int with a float costs three times as much as with its like.
            if not (_LEAST < value < _GREATEST if kind is float else _LEAST_INT < value < _GREATEST_INT):
                raise TooLarge(f"the number {key[:60]!r} is too large")
            place = places.get(key)
            if place.__class__ is not int:
                places[key] = COUNTS if key.endswith("_total") else cells.add(document.get(key), value, at)
            elif place >= 0:
                if value < least[place]:
                    least[place] = value
                elif value > greatest[place]:
                    greatest[place] = value
                sums[place] += (document[key] - value) * at
            document[key] = value
        elif kind is dict:
            _merge(_inner(document, key), value, cells, _inner(places, key), at)
        else:
            if kind is list:
                require_small(value)
            places.pop(key, None)
            if value is None:
                document.pop(key, None)
            else:
                document[key] = value


def _inner(node: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under this key, an empty one if there is none yet."""
    inner = node.get(key)
    if inner.__class__ is not dict:
        inner = node[key] = {}
    return inner


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


def points(document: Document, cells: Cells, reports: int) -> dict[str, Point]:
    """What so many reports come to: a point for each number of the newest one, by its path with dots."""
    found: dict[str, Point] = {}
    for key, node in document.items():
        if isinstance(node, dict) and key not in LEFT_OUT:
            _gather(found, f"{key}.", node, cells, cells.places.get(key), reports)
    return found


def _gather(
    found: dict[str, Point], prefix: str, node: Document, cells: Cells, places: dict[str, Any] | None, reports: int
) -> None:
    for key, value in node.items():
        if len(prefix) + len(key) > MAX_PATH_LETTERS:
            continue
        if len(found) >= MAX_POINTS:
            return
        kind = value.__class__
        place = places.get(key) if places else None
        if kind is float or kind is int:
            if place.__class__ is int and place >= 0 and cells.least[place] < cells.greatest[place]:
                mean = (cells.sums[place] + value * reports) / (reports - cells.firsts.get(place, 0))
                found[prefix + key] = [_short(cells.least[place]), float(f"{mean:.6g}"), _short(cells.greatest[place])]
            else:
                found[prefix + key] = value
        elif kind is dict:
            _gather(found, f"{prefix}{key}.", value, cells, place, reports)


def _short(value: float) -> float:
    """The same number, whole ones without a fraction."""
    return int(value) if value.is_integer() else value
