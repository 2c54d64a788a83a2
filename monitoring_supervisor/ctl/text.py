"""What a person reads in a terminal: colours where they are wanted, and no surprises from names."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click

_STATE_COLOURS = {"up": "green", "new": "cyan", "suspect": "yellow", "down": "red"}


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


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(letter) in {"Mn", "Me"} else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
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


# For commands that may have much to say.
no_pager_option = click.option("--no-pager", is_flag=True, help="Do not page what is longer than the terminal.")


def echo_lines(lines: Sequence[str], *, no_pager: bool = False) -> None:
    """Print them, all at once, which takes half as long as one by one; page what is longer than the terminal."""
    if no_pager or not sys.stdout.isatty() or len(lines) < shutil.get_terminal_size().lines:
        click.echo("\n".join(lines))
        return
    os.environ.setdefault("LESS", "FRX")  # colours, and nothing left over when the pager ends; see less(1)
    click.echo_via_pager("\n".join(lines), color=colourful())


def agents(count: int) -> str:
    """So many agents."""
    return f"{count} {'agent' if count == 1 else 'agents'}"


def echo_json(document: Any) -> None:
    """For programs: one line, or for a person who looks at it, indented."""
    click.echo(json.dumps(document, indent=2 if sys.stdout.isatty() else None))
