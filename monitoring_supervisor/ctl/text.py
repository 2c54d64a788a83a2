"""What a person reads in a terminal: tables that fit, colours where they are wanted, and no surprises from names."""

import functools
import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import click

GAP = "  "
# How narrow columns may become, one kind after the other: those that wrap, those that shrink, and then any.
WRAPPED_COLUMN, NARROW_WRAPPED_COLUMN, NARROW_COLUMN = 30, 16, 8
_STATE_COLOURS = {"up": "green", "new": "cyan", "suspect": "yellow", "down": "red"}


@dataclass(frozen=True)
class Column:
    """A column of a table. One that shrinks is cut when there is no room, one that wraps goes on below.

    One that is `optional` is left out when there is nothing in it.
    """

    title: str
    right: bool = False
    shrinks: bool = False
    wraps: bool = False
    optional: bool = False


def safe(text: Any) -> str:
    """The text on one line, without anything that would steer the terminal or turn the direction of writing."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def terminal_width() -> int | None:
    """The columns of the terminal on standard output, or None if it goes elsewhere and nothing need be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colourful() -> bool:
    """Whether colours are wanted (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    """The text in this colour, where colours are wanted."""
    return click.style(text, fg=colour, bold=bold or None) if colourful() else text


def state_colour(state: str) -> str | None:
    """The colour of a state."""
    return _STATE_COLOURS.get(state)


def colour(column: Column, cell: str) -> str | None:
    """The colour of a cell of a table."""
    return state_colour(cell) if column.title == "STATE" else None


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, width: int) -> str:
    """The text, or its beginning with a mark that there is more."""
    if cells(text) <= width:
        return text
    kept, taken = "", 0
    for letter in text:
        taken += cells(letter)
        if taken > width - 1:
            break
        kept += letter
    return kept + "…" if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text with blanks up to this many columns."""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    colour: Callable[[Column, str], str | None] = lambda column, cell: None,
) -> list[str]:
    """The lines of a table, no wider than `width` as far as that is possible. `colour` says that of a cell."""
    used = [
        number
        for number, column in enumerate(columns)
        if not column.optional or any(row[number] not in {"", "-"} for row in rows)
    ]
    columns = [columns[number] for number in used]
    rows = [[row[number] for number in used] for row in rows]
    widths = fitted(columns, rows, width)
    lines = [coloured(_line(columns, widths, [column.title for column in columns]), bold=True)]
    for row in rows:
        parts = [
            _wrapped(cell, room) if column.wraps and cells(cell) > room else (cell,)
            for column, cell, room in zip(columns, row, widths, strict=True)
        ]
        colours = [colour(column, cell) for column, cell in zip(columns, row, strict=True)]
        lines += [_line(columns, widths, line, colours) for line in zip_longest(*parts, fillvalue="")]
    return lines


@functools.lru_cache(maxsize=256)
def _wrapped(text: str, room: int) -> tuple[str, ...]:
    """The text in lines. Thousands of agents fail for a handful of reasons."""
    return tuple(textwrap.wrap(text, room)) or ("",)


# For commands that may have much to say.
no_pager_option = click.option("--no-pager", is_flag=True, help="Do not page what is longer than the terminal.")


def echo_lines(lines: Sequence[str], *, no_pager: bool = False) -> None:
    """Print them, all at once, which takes half as long as one by one; page what is longer than the terminal."""
    if no_pager or not sys.stdout.isatty() or len(lines) < shutil.get_terminal_size().lines:
        click.echo("\n".join(lines))
        return
    os.environ.setdefault("LESS", "FRX")  # colours, and nothing left over when the pager ends; see less(1)
    click.echo_via_pager("\n".join(lines), color=colourful())


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """How wide each column is to be."""
    widths = [
        max([len(column.title), *(cells(row[number]) for row in rows)]) for number, column in enumerate(columns)
    ]
    if width is None:
        return widths
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    wrapping = [number for number, column in enumerate(columns) if column.wraps]
    shrinking = [number for number, column in enumerate(columns) if column.shrinks]
    stages: list[tuple[Sequence[int], int]] = [
        (wrapping, WRAPPED_COLUMN),
        (shrinking, NARROW_COLUMN),
        (wrapping, NARROW_WRAPPED_COLUMN),
        (range(len(widths)), NARROW_COLUMN),
    ]
    for candidates, least in stages:
        # The widest gives first, so that narrow ones stay whole.
        while excess > 0 and candidates and (widest := max(candidates, key=widths.__getitem__)) is not None:
            if widths[widest] <= least:
                break
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


def agents(count: int) -> str:
    """So many agents."""
    return f"{count} {'agent' if count == 1 else 'agents'}"


def echo_json(document: Any) -> None:
    """For programs: one line, or for a person who looks at it, indented."""
    click.echo(json.dumps(document, indent=2 if sys.stdout.isatty() else None))
