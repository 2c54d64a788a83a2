"""A program in a terminal of its own, as a person sees it and types."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from tests.integration.daemons import wait_for


class Terminal:
    """Runs a command in a pseudo-terminal. `output` is everything that it wrote, with its control sequences.

    What stands on the `screen` in the end is what pyte makes of that, which understands what a `linux` terminal does.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path,
        columns: int,
        lines: int,
        term: str = "xterm",
    ) -> None:
        self._columns, self._lines = columns, lines
        self._own, terminal = pty.openpty()
        self.resize(columns, lines)
        self._process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            # What programs believe more than the terminal itself is left out.
            env={**{key: value for key, value in environ.items() if key not in {"COLUMNS", "LINES"}}, "TERM": term},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 one system call
        )
        os.close(terminal)
        self.output = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side ended
            while part := os.read(self._own, 65536):
                self.output += part.decode("utf-8", "replace")

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def screen(self) -> list[str]:
        """The lines on the screen, without the blanks at their ends."""
        screen = pyte.Screen(self._columns, self._lines)
        pyte.Stream(screen).feed(self.output)
        return [line.rstrip() for line in screen.display]

    def wait_shown(self, text: str) -> None:
        """Until the program wrote this, from now on or before."""
        wait_for(lambda: text in self.output, 15)

    def wait_on_screen(self, text: str) -> None:
        """Until this is on the screen. A program writes only what changed; with Ctrl-L it should write all."""

        def is_drawn() -> bool:
            seen = len(self.output)
            self.press("\x0c")
            for _ in range(20):
                time.sleep(0.05)
                if text in self.output[seen:]:
                    return True
            return False

        wait_for(is_drawn, 20)

    def wait(self) -> int:
        code = self._process.wait(15)
        self._thread.join(5)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._thread.join(5)
        os.close(self._own)
