"""The settings file: KEY=value lines read with python-dotenv, the process environment above them."""

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

SYSTEM_FILE = Path("/etc/monitoring/monitoring.env")
DEVELOPER_FILE = Path(".env")

# Every line that dotenv cannot read becomes a mistake with its number here; its own warning would only repeat it.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)


class BadSettings(Exception):
    """The settings are wrong; `mistakes` has one sentence for each, with the place and the remedy."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True)
class Entry:
    """One value and where it was written, for example `/etc/monitoring/monitoring.env line 12`."""

    text: str
    place: str


def find_file(named: Path | None) -> Path | None:
    """The file to read: the one named, else `.env` of the working directory, else the system's, else none."""
    if named is not None:
        return named
    return next((path for path in (DEVELOPER_FILE, SYSTEM_FILE) if path.is_file()), None)


def read_file(path: Path) -> dict[str, Entry]:
    """Every key of the file. Raises BadSettings if it cannot be read or a line is not plain KEY=value."""
    return {key: Entry(text, f"{path} line {number}") for number, key, text in _read_lines(path)}


def repeated(path: Path | None) -> tuple[str, ...]:
    """A sentence for each key that stands in the file more than once: it is right, but hardly what was meant.

    An old file with such a key must not stop a daemon. Raises BadSettings like `read_file`.
    """
    places: dict[str, list[int]] = {}
    for number, key, _ in _read_lines(path) if path else ():
        places.setdefault(key, []).append(number)
    return tuple(
        f"{path}: {key} stands in lines {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}; the last one counts"
        for key, numbers in places.items()
        if len(numbers) > 1
    )


def _read_lines(path: Path) -> list[tuple[int, str, str]]:
    """Of each line that sets a key its number, the key and the value."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadSettings([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise BadSettings([f"{path}: not UTF-8 at byte {error.start}"]) from None
    entries: list[tuple[int, str, str]] = []
    mistakes: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            key_and_value = _read_line(line)
        except ValueError as error:
            mistakes.append(f"{path} line {number}: {error}")
            continue
        if key_and_value:
            entries.append((number, *key_and_value))
    if mistakes:
        raise BadSettings(mistakes)
    return entries


def _read_line(line: str) -> tuple[str, str] | None:
    """The key and value of one line, or None for an empty line or a comment.

    python-dotenv and systemd's EnvironmentFile= read some lines differently. Such a line is refused, so that
    the file means the same to whoever reads it. Raises ValueError with the reason and the remedy.
    """
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    if line.startswith("export "):
        raise ValueError("leave out 'export'; write KEY=value")
    if "\\" in line:
        raise ValueError("backslashes are not supported")
    values = dotenv_values(stream=io.StringIO(line), interpolate=False)
    for key, value in values.items():
        if value is None or line[len(key) : len(key) + 1] != "=":
            break
        quoted = line[len(key) + 1 : len(key) + 2] in {"'", '"'}
        if line[-1] not in {"'", '"'} if quoted else re.search(r"\s#", line):
            raise ValueError("a comment needs a line of its own")
        return key, value
    raise ValueError("not readable; write KEY=value")


def merged(file_entries: Mapping[str, Entry], environ: Mapping[str, str], known: set[str]) -> dict[str, Entry]:
    """The entries of the file with those of the process environment above them, as far as the keys are known."""
    above = {key: Entry(environ[key], f"environment variable {key}") for key in known if key in environ}
    return {**file_entries, **above}
