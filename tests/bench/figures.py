"""Numbers for people and for machines: medians over rounds, their spread, and the table."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.fleet.punctuality import percentile

Spread = dict[str, float | None]


def median(values: Iterable[float]) -> float | None:
    """The median, or None of none."""
    present = list(values)
    return statistics.median(present) if present else None


def spread(values: Iterable[float]) -> Spread:
    """Median, 99th percentile and maximum."""
    present = list(values)
    return {"p50": percentile(present, 50), "p99": percentile(present, 99), "max": max(present, default=None)}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The median of the ratios round by round: what disturbed a round disturbed both sides of it."""
    return median(own / other for own, other in zip(ours, theirs, strict=True) if other)


@dataclass(frozen=True)
class Row:
    """A line of a table: what, the cells, and what is aimed at."""

    what: str
    cells: tuple[str, ...]
    aim: str = ""


def table(title: str, columns: tuple[str, ...], rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """The rows in aligned columns below a title; the notes follow."""
    lines = [("", *columns, "aim"), *((row.what, *row.cells, row.aim) for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(lines[0]))]
    text = [title, "=" * len(title), ""]
    for line in lines:
        first, *others = (cell for cell in line)
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        text.append("  ".join(cells).rstrip())
    return "\n".join([*text, *([""] if notes else []), *notes, ""])


def shown(value: float | None, show: Callable[[float], str]) -> str:
    """The value in words, or a dash where there is none."""
    return "-" if value is None else show(value)


def microseconds(seconds: float | None) -> str:
    """For example `173 µs`."""
    return shown(seconds, lambda value: f"{value * 1e6:,.0f} µs")


def milliseconds(seconds: float | None) -> str:
    """For example `8.71 ms`."""
    return shown(seconds, lambda value: f"{value * 1e3:,.2f} ms")


def megabytes(size: float | None) -> str:
    """For example `73.4 MB`, of a million bytes."""
    return shown(size, lambda value: f"{value / 1e6:,.1f} MB")


def share(value: float | None) -> str:
    """For example `0.28 x`."""
    return shown(value, lambda number: f"{number:.2f} x")
