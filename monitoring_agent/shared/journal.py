"""How both daemons log: to stderr, one line a message, with the priorities that journald understands."""

import logging
import os
import re
import sys

# The number in front of a line is a syslog priority (sd-daemon(3)).
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_SURROGATES = re.compile("[\ud800-\udfff]")

# journald splits a longer line, and what was in the middle of it would begin another one.
MAX_LINE_LETTERS = 4000


def printable(text: str, letters: int = MAX_LINE_LETTERS) -> str:
    """The text on one line and not too long: names from outside can be any bytes.

    What would steer a terminal, or turn the direction of writing, is escaped. Bytes that are no UTF-8, which Python
    keeps as surrogates in the names of files, could not be written again.
    """
    if len(text) > letters:
        text = text[:letters] + "…"
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x100:
        return "\\n" if letter == "\n" else f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Formatter(logging.Formatter):
    def __init__(self, program: str, to_journal: bool) -> None:
        super().__init__()
        self._program = program
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        lines = [printable(record.getMessage())]
        if record.exc_info:
            lines += [printable(line) for line in self.formatException(record.exc_info).split("\n")]
        if self._to_journal:
            prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        else:
            prefix = f"{self.formatTime(record, '%H:%M:%S')} {self._program} {record.levelname.lower()}: "
        return "\n".join(prefix + line for line in lines)


def _stderr_is_journal() -> bool:
    """Whether systemd connected stderr to the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False  # stderr is closed or not a file
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def set_up(program: str, level: str = "info") -> None:
    """Send the log of this process to stderr from `level` upwards; calling again changes the level."""
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(program, _stderr_is_journal()))
    root.handlers = [handler]
    root.setLevel(level.upper())
