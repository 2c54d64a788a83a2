"""What a minute of reports comes to: of each number the least, the mean and the greatest. Pure.

While changes are merged into a report, a cell beside each number that moves keeps count; a number without a cell did
not move. A mean is over the reports of the minute, each of them weighing the same.
"""

from typing import Any

from monitoring_agent.shared.patch import Document

# Least, greatest, sum over the reports before `at`, the report at which the present value came, the first report.
Cell = list[float]
Cells = dict[str, Any]  # keys as in the report; a Cell in place of each number that moved

# One value, if it stayed the same or is a counter (then the last one), or [least, mean, greatest].
Point = float | list[float]


# Beyond this a mean could not be computed; and what is infinite JSON could not say again.
MAX_NUMBER = 1e300

# What tells of the agent itself, and has no course worth keeping for years.
LEFT_OUT = frozenset({"schema", "sequence", "collected_at", "agent", "collectors"})


class TooLarge(ValueError):
    """A number that is no measurement; the text says which."""


def merge(document: Document, change: Document, cells: Cells, at: int) -> None:  # noqa: PLR0912 runs for each number
    """Merge a change (RFC 7396) into the report in place, `at` being the number of this report within the minute.

    Raises TooLarge; what was merged before that stays.
    """
    for key, value in change.items():
        kind = value.__class__
        if kind is float or kind is int:
            if not -MAX_NUMBER < value < MAX_NUMBER:
                raise TooLarge(f"the number {key!r} is too large")
            if not key.endswith("_total"):
                cell = cells.get(key)
                before = document.get(key)
                if cell.__class__ is list:
                    if value < cell[0]:
                        cell[0] = value
                    elif value > cell[1]:
                        cell[1] = value
                    cell[2] += before * (at - cell[3])
                    cell[3] = at
                else:
                    cells[key] = _new_cell(before, value, at)
            document[key] = value
        elif kind is dict:
            merge(_inner(document, key), value, _inner(cells, key), at)
        else:
            if kind is list:
                require_small(value)
            cells.pop(key, None)
            if value is None:
                document.pop(key, None)
            else:
                document[key] = value


def _new_cell(before: Any, value: float, at: int) -> Cell:
    if at == 0 or (before.__class__ is not float and before.__class__ is not int):
        return [value, value, 0.0, at, at]
    return [before, value, before * at, at, 0] if before < value else [value, before, before * at, at, 0]


def _inner(node: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under this key, an empty one if there is none yet."""
    inner = node.get(key)
    if inner.__class__ is not dict:
        inner = node[key] = {}
    return inner


def require_small(values: list[Any]) -> None:
    """Raise TooLarge for a number in the list that is."""
    for value in values:
        if isinstance(value, list):
            require_small(value)
        elif isinstance(value, dict):
            require_small(list(value.values()))
        elif isinstance(value, int | float) and not -MAX_NUMBER < value < MAX_NUMBER:
            raise TooLarge("a number in a list is too large")


def points(document: Document, cells: Cells, reports: int) -> dict[str, Point]:
    """What so many reports come to: a point for each number of the newest one, by its path with dots."""
    found: dict[str, Point] = {}
    for key, node in document.items():
        if isinstance(node, dict) and key not in LEFT_OUT:
            _gather(found, f"{key}.", node, cells.get(key, {}), reports)
    return found


def _gather(found: dict[str, Point], prefix: str, node: Document, cells: Cells, reports: int) -> None:
    for key, value in node.items():
        kind = value.__class__
        cell = cells.get(key)
        if kind is float or kind is int:
            if cell.__class__ is list and cell[3] > cell[4]:
                mean = (cell[2] + value * (reports - cell[3])) / (reports - cell[4])
                found[prefix + key] = [cell[0], float(f"{mean:.6g}"), cell[1]]
            else:
                found[prefix + key] = value
        elif kind is dict:
            _gather(found, f"{prefix}{key}.", value, cell if cell.__class__ is dict else {}, reports)
