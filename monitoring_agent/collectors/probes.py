"""Questions to the kernel that may never be answered, asked so that only the question is stuck."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answered:
    """What the probe returned or raised, and how long it took."""

    value: Any
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class Hung:
    """The probe has been waiting for an answer for this long."""

    seconds: float


class _Runner:
    """A thread that probes names one after the other until there are none left or it is given up."""

    def __init__(self, names: list[str], probe: Callable[[str], Any]) -> None:
        self._names = list(names)
        self._probe = probe
        self.answers: dict[str, Answered] = {}
        self.current: str | None = None
        self.started = time.monotonic()
        self.given_up = False
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for name in self._names:
            with self.changed:
                if self.given_up:
                    return
                self.current, self.started = name, time.monotonic()
            value, error = None, None
            try:
                value = self._probe(name)
            except Exception as raised:  # noqa: BLE001 whatever a probe raises is its answer
                error = raised
            with self.changed:
                self.answers[name] = Answered(value, error, time.monotonic() - self.started)
                self.current = None
                self.changed.notify()
        with self.changed:
            self._names = []
            self.changed.notify()

    @property
    def finished(self) -> bool:
        return not self._names

    def wait(self, deadline_seconds: float) -> str | None:
        """Wait until all names are answered (None), or one has taken longer than the deadline: then give up on it."""
        with self.changed:
            while not self.finished:
                waited = time.monotonic() - self.started
                if self.current is not None and waited >= deadline_seconds:
                    self.given_up = True
                    return self.current
                self.changed.wait(max(0.001, deadline_seconds - waited))
        return None


class Prober:
    """Runs a probe for each of many names. A probe that hangs keeps one thread, and gets no second one beside it."""

    def __init__(self, probe: Callable[[str], Any], deadline_seconds: float) -> None:
        self._probe = probe
        self._deadline_seconds = deadline_seconds
        self._stuck: dict[str, _Runner] = {}

    def ask(self, names: list[str]) -> dict[str, Answered | Hung]:
        """The outcome for every name. Takes at most the deadline for each name that hangs for the first time."""
        self._stuck = {name: runner for name, runner in self._stuck.items() if runner.current == name}
        outcomes: dict[str, Answered | Hung] = {}
        todo = [name for name in names if name not in self._stuck]
        while todo:
            runner = _Runner(todo, self._probe)
            hung = runner.wait(self._deadline_seconds)
            if hung is not None:
                self._stuck[hung] = runner
            outcomes.update(runner.answers)
            todo = [name for name in todo if name not in outcomes and name != hung]
        now = time.monotonic()
        for name in names:
            if name in self._stuck:
                outcomes[name] = Hung(now - self._stuck[name].started)
        return outcomes
