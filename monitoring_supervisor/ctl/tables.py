"""Tables that fit the terminal, however long names are and whatever letters they have."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from monitoring_supervisor.ctl.text import cells, coloured, cut, padded, state_colour

GAP = "  "
# How narrow columns may become, one kind after the other: those that wrap, those that shrink, and then any. An address
# with a port is not torn apart as long as there is a column that can be spared.
WRAPPED_COLUMN, NARROW_WRAPPED_COLUMN, WHOLE_COLUMN, NARROW_COLUMN = 30, 16, 21, 8


@dataclass(frozen=True)
class Column:
    """A column of a table. When there is no room, one that shrinks is cut, and others go on below.

    One that wraps is the first to do so. One that is `optional` is left out when there is nothing in it, and one that
    can be spared when there is no room for all: the one with the largest number first.
    """

    title: str
    right: bool = False
    shrinks: bool = False
    wraps: bool = False
    optional: bool = False
    spare: int = 0


def colour(column: Column, cell: str) -> str | None:
    """The colour of a cell of a table."""
    return state_colour(cell) if column.title == "STATE" else None


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    colour: Callable[[Column, str], str | None] = lambda column, cell: None,
) -> list[str]:
    """The lines of a table, no wider than `width`. `colour` says that of a cell."""
    used = [
        number
        for number, column in enumerate(columns)
        if not column.optional or any(row[number] not in {"", "-"} for row in rows)
    ]
    natural = [_natural(column, [row[number] for row in rows]) for number, column in enumerate(columns)]
    if width is not None:
        used = _spared(columns, natural, used, width)
    columns = [columns[number] for number in used]
    rows = [[row[number] for number in used] for row in rows]
    widths = [natural[number] for number in used]
    if width is not None:
        widths = _narrowed(columns, widths, width, (*_STAGES, *_LAST_STAGES))
    lines = [coloured(_line(columns, widths, [column.title for column in columns]), bold=True)]
    for row in rows:
        parts = [
            (cell,) if column.shrinks or cells(cell) <= room else wrapped(cell, room)
            for column, cell, room in zip(columns, row, widths, strict=True)
        ]
        colours = [colour(column, cell) for column, cell in zip(columns, row, strict=True)]
        lines += [_line(columns, widths, line, colours) for line in zip_longest(*parts, fillvalue="")]
    return lines


@functools.lru_cache(maxsize=256)  # thousands of agents fail for a handful of reasons
def wrapped(text: str, room: int) -> tuple[str, ...]:
    """The text in lines that take so many columns of a terminal at most."""
    lines: list[str] = []
    begun = ""
    for word in text.split():
        if begun and cells(begun) + 1 + cells(word) <= room:
            begun += f" {word}"
            continue
        if begun:
            lines.append(begun)
        begun = word
        while cells(begun) > room:
            fitting = _fitting(begun, room)
            lines.append(begun[:fitting])
            begun = begun[fitting:]
    return (*lines, begun) if begun else tuple(lines) or ("",)


def _fitting(text: str, room: int) -> int:
    """How many letters of it there is room for, one at least."""
    taken = 0
    for number, letter in enumerate(text):
        taken += cells(letter)
        if number and taken > room:
            return number
    return len(text)


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """How wide each column is to be."""
    widths = [_natural(column, [row[number] for row in rows]) for number, column in enumerate(columns)]
    return widths if width is None else _narrowed(columns, widths, width, (*_STAGES, *_LAST_STAGES))


def _spared(columns: Sequence[Column], natural: Sequence[int], used: list[int], width: int) -> list[int]:
    """Those of the used columns, by their numbers, for which there is room without any becoming too narrow."""
    while True:
        kept = [columns[number] for number in used]
        narrow = _narrowed(kept, [natural[number] for number in used], width, _STAGES)
        least = max(used, key=lambda number: columns[number].spare)
        if _excess(narrow, width) <= 0 or not columns[least].spare:
            return used
        used = [number for number in used if number != least]


def _natural(column: Column, texts: Iterable[str]) -> int:
    return max(len(column.title), *map(cells, texts), 0)


def _excess(widths: Sequence[int], width: int) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1) - width


def _any(_: Column) -> bool:
    return True


# Which columns become how narrow, in this order. The last ones are for when nothing can be spared any more.
_STAGES: tuple[tuple[Callable[[Column], bool], int], ...] = (
    (lambda column: column.wraps, WRAPPED_COLUMN),
    (lambda column: column.shrinks, NARROW_COLUMN),
    (lambda column: column.wraps, NARROW_WRAPPED_COLUMN),
    (_any, WHOLE_COLUMN),
)
_LAST_STAGES = ((lambda column: column.wraps, NARROW_COLUMN), (_any, NARROW_COLUMN), (_any, 1))


def _narrowed(
    columns: Sequence[Column],
    natural: Sequence[int],
    width: int,
    stages: Iterable[tuple[Callable[[Column], bool], int]],
) -> list[int]:
    """The widths made smaller, stage by stage, as far as they must and may be."""
    widths = list(natural)
    excess = _excess(widths, width)
    for may_give, least in stages:
        candidates = [number for number, column in enumerate(columns) if may_give(column)]
        # The widest gives first, so that narrow ones stay whole.
        while excess > 0 and candidates and widths[widest := max(candidates, key=widths.__getitem__)] > least:
            widths[widest] -= 1
            excess -= 1
    return widths


def padded_cells(columns: Sequence[Column], widths: Sequence[int], parts: Sequence[str]) -> str:
    """One line of a table without colours."""
    return GAP.join(_padded_parts(columns, widths, parts))


def _padded_parts(columns: Sequence[Column], widths: Sequence[int], parts: Sequence[str]) -> list[str]:
    return [
        padded(cut(part, room), room, right=column.right)
        for column, room, part in zip(columns, widths, parts, strict=True)
    ]


def _line(
    columns: Sequence[Column], widths: Sequence[int], parts: Sequence[str], colours: Sequence[str | None] = ()
) -> str:
    found = _padded_parts(columns, widths, parts)
    found[-1] = found[-1].rstrip()
    return GAP.join(
        coloured(text, colour) if colour and text.strip() else text for text, colour in zip_longest(found, colours)
    ).rstrip()
