"""The clock of the agent: runs the collectors that are due, makes a report of what they say, and remembers it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from monitoring_agent.collectors.registry import Collector
from monitoring_agent.host import Host
from monitoring_agent.rates import Sample
from monitoring_agent.shared import wire

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
REMEMBERED_REPORTS = 600
REMEMBERED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Report:
    """An agent's whole answer, serialised once; `sampled` is on the monotonic clock."""

    sequence: int
    sampled: float
    body: bytes


@dataclass(frozen=True)
class _Outcome:
    """What became of the last run of a collector."""

    sample: Sample  # what is shown: the newest good sample with its rates
    raw: Sample  # what the next one is compared with
    sampled: float
    duration_seconds: float
    error: str | None = None


@dataclass
class _Slot:
    collector: Collector
    due: float
    outcome: _Outcome | None = None
    running: threading.Thread | None = None


class Memory:
    """The newest reports, within a number and an amount of bytes. One thread adds, any thread reads."""

    def __init__(self, reports: int = REMEMBERED_REPORTS, size: int = REMEMBERED_BYTES) -> None:
        self._reports: deque[Report] = deque()
        self._max_reports = reports
        self._max_bytes = size
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, report: Report) -> None:
        """Remember the report, and forget the oldest as far as the limits want it; the newest always stays."""
        with self._lock:
            self._reports.append(report)
            self._bytes += len(report.body)
            while len(self._reports) > 1 and (len(self._reports) > self._max_reports or self._bytes > self._max_bytes):
                self._bytes -= len(self._reports.popleft().body)

    def newest(self) -> Report | None:
        """The newest report, or None before the first."""
        with self._lock:
            return self._reports[-1] if self._reports else None

    def since(self, sequence: int) -> list[Report]:
        """The remembered reports after the one with this sequence, oldest first."""
        with self._lock:
            return [report for report in self._reports if report.sequence > sequence]


@dataclass
class Sampler:
    """Owns the collectors and the memory. `run` is the body of its thread; everything else only reads."""

    collectors: Iterable[Collector]
    host: Host
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self._slots = [_Slot(collector, due=float("-inf")) for collector in self.collectors]
        self._sequence = 0
        self._agent = {"version": wire.VERSION, "started_at": round(self.wall_clock(), 3)}

    def run(self, stop: threading.Event) -> None:
        """Sample once a second, on a fixed beat, until told to stop."""
        beat = self.clock()
        while not stop.wait(max(0.0, beat - self.clock())):
            self.tick()
            # After a pause (a stopped process, a sleeping machine) go on from now, not through every missed beat.
            beat = max(beat + INTERVAL_SECONDS, self.clock())

    def tick(self) -> None:
        """Run what is due, and remember a new report."""
        now = self.clock()
        for slot in self._slots:
            if slot.due > now or slot.running:
                continue
            # Half a beat of slack: a collector with a period of one second is due at every beat.
            slot.due = now + slot.collector.period_seconds - INTERVAL_SECONDS / 2
            if slot.collector.may_block:
                slot.running = threading.Thread(
                    target=self._collect_apart, args=(slot,), name=slot.collector.name, daemon=True
                )
                slot.running.start()
            else:
                self._collect(slot)
        self._sequence += 1
        self.memory.add(Report(self._sequence, now, self._serialise(now)))

    def _collect_apart(self, slot: _Slot) -> None:
        self._collect(slot)
        slot.running = None

    def _collect(self, slot: _Slot) -> None:
        before = slot.outcome
        started = self.clock()
        try:
            raw = slot.collector.collect(self.host)
            sample = raw
            if before and before.raw:
                sample = slot.collector.derive(before.raw, raw, started - before.sampled)
        except Exception as error:  # noqa: BLE001 a broken collector is data: it must not cost the others
            text = f"{type(error).__name__}: {error}"
            if before is None or before.error != text:
                log.warning("collector %s failed: %s", slot.collector.name, text)
            old = before or _Outcome({}, {}, started, 0.0)
            slot.outcome = _Outcome(old.sample, old.raw, old.sampled, self.clock() - started, text)
            return
        if before is not None and before.error is not None:
            log.info("collector %s works again", slot.collector.name)
        slot.outcome = _Outcome(sample, raw, started, self.clock() - started)

    def _serialise(self, now: float) -> bytes:
        report: dict[str, Any] = {
            "schema": wire.SCHEMA,
            "sequence": self._sequence,
            "collected_at": round(self.wall_clock(), 3),
            "host": {},
            "agent": self._agent,
        }
        health: dict[str, Any] = {}
        for slot in self._slots:
            outcome = slot.outcome
            if outcome is None:
                continue  # it runs apart and has not answered yet
            name = slot.collector.name
            if outcome.error is None:
                report[name] = outcome.sample
            health[name] = _health(outcome, now)
        report["collectors"] = health
        return wire.encode(report)


def _health(outcome: _Outcome, now: float) -> Sample:
    health: Sample = {
        "ok": outcome.error is None,
        "age_seconds": round(max(0.0, now - outcome.sampled), 1),
        "duration_seconds": round(outcome.duration_seconds, 6),
    }
    if outcome.error is not None:
        health["error"] = outcome.error
    return health
