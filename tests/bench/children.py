"""The processes that the benchmark starts: what they use, and that each of them is ended, by its own id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from tests.fleet.process import CHECKOUT

END_SECONDS = 30.0  # as the units allow
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class CannotMeasure(Exception):
    """Something that is to be measured cannot be had; the text says what, why, and the remedy."""


@dataclass(frozen=True)
class Memory:
    """Of all processes of a child. Shared pages count fully in each process's RSS, and once in all PSS."""

    rss_bytes: int
    pss_bytes: int


class Child:
    """A process of ours and its descendants."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    def members(self) -> list[int]:
        """The ids of the process and of its descendants."""
        own = psutil.Process(self._process.pid)
        return [own.pid, *(child.pid for child in own.children(recursive=True))]

    def cpu_seconds(self) -> float:
        """Processor time so far, of all members and all their threads, also those that have ended.

        Read from each process's own clock, in nanoseconds: /proc/PID/stat counts in hundredths of a second, and
        /proc/PID/task/*/schedstat forgets threads that ended. The number of the clock is that of
        clock_getcpuclockid(3): the inverted id, shifted, with CPUCLOCK_SCHED.
        """
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.members())

    def memory(self) -> Memory:
        """What it holds now."""
        each = [psutil.Process(pid).memory_full_info() for pid in self.members()]
        return Memory(sum(one.rss for one in each), sum(one.pss for one in each))

    def require_running(self) -> None:
        """Raise CannotMeasure, with its last words, if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise CannotMeasure(f"{self.name} ended with code {code}; its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what it logged."""
        return "\n".join(self.log_lines()[-10:])

    def log_lines(self) -> list[str]:
        """What it logged."""
        return self._log.read_text(errors="replace").splitlines()

    def end(self) -> None:
        """End it and its descendants, politely at first."""
        if self._process.poll() is not None:
            return
        members: list[int] = []
        with contextlib.suppress(psutil.Error):  # it ends by itself just now
            members = self.members()
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """The command as a child while the context lasts; its log goes to a file in `directory`."""
    log = directory / f"{name}.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        with _uninterrupted():
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for the benchmark, which ends its children in order
            )
            child = Child(name, process, log)
            stack.callback(child.end)
        yield child


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM: between its start and our word to end it, a child would be left behind."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda came_now, _: came.append(came_now)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for interruption, handler in before.items():
            signal.signal(interruption, handler)
    for number in came:
        signal.raise_signal(number)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle Ctrl-C and SIGTERM alike: through every context that has something to end, once and undisturbed."""
    for each in INTERRUPTS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
