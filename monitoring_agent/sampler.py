"""The clock of the agent: runs the collectors that are due, makes a report of what they say, and remembers it."""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitoring_agent.collectors.registry import Collector
from monitoring_agent.host import Host
from monitoring_agent.rates import Sample
from monitoring_agent.recall import Recall, Report
from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.patch import Document

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
# A collector that failed is tried again after this time, if not before.
RETRY_SECONDS = 60.0
MAX_REASON_LETTERS = 300
# What the collectors may fill of a report; the rest is for what stands around them.
MAX_PARTS_BYTES = wire.MAX_BODY_BYTES - 64 * 1024


class _Outcome(NamedTuple):
    """What became of the last run of a collector."""

    sample: Sample  # what is shown: the newest good sample with its rates
    raw: Sample  # what the next one is compared with
    sampled: float
    duration_seconds: float
    error: str | None = None
    encoded: bytes = b""  # the sample as a member of the report


@dataclass
class _Slot:
    collector: Collector
    due: float
    outcome: _Outcome | None = None
    is_running: bool = False


class _Runner:
    """A thread for collectors that may block, one after the other: a thread for each would cost more than they do."""

    def __init__(self, slots: Iterable[_Slot], collect: Callable[[_Slot], None]) -> None:
        self._todo = deque(slots)
        self._collect = collect
        self._thread = threading.Thread(target=self._run, name="collectors", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError if there can be no more threads."""
        self._thread.start()

    def _run(self) -> None:
        while slots := self.take(1):
            self._collect(slots[0])
            slots[0].is_running = False

    def take(self, most: int) -> list[_Slot]:
        """Take collectors that it has not come to yet: they are no longer its own."""
        taken: list[_Slot] = []
        with contextlib.suppress(IndexError):
            while len(taken) < most:
                taken.append(self._todo.popleft())
        return taken


@dataclass
class Sampler:
    """Owns the collectors and the memory. `run` is the body of its thread; everything else only reads."""

    collectors: Iterable[Collector]
    host: Host
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    recall: Recall = field(default_factory=Recall)
    previous: dict[str, Any] | None = None  # how the agent's life before this one ended

    def __post_init__(self) -> None:
        now = self.clock()
        self._slots = [_Slot(collector, due=now + collector.delay_seconds) for collector in self.collectors]
        self._runner: _Runner | None = None  # the newest; those before have nothing left to do
        self._sequence = 0
        self._document: Document = {}  # the newest report
        self._parts: dict[str, bytes] = {}  # what the collectors filled of it
        self.life = round(self.wall_clock(), 3)  # tells this life of the agent from those before
        self._agent: Sample = {"version": wire.VERSION, "started_at": self.life}
        if self.previous is not None:
            self._agent["previous"] = self.previous

    def run(self, stop: threading.Event) -> None:
        """Sample once a second, on a fixed beat, until told to stop, which it notices at the next beat.

        To wait for the word to stop would cost more than twice what it costs to sleep.
        """
        beat = self.clock()
        while not stop.is_set():
            self.tick()
            # After a pause (a stopped process, a sleeping machine) go on from now, not through every missed beat.
            beat = max(beat + INTERVAL_SECONDS, self.clock())
            time.sleep(max(0.0, beat - self.clock()))

    def tick(self) -> None:
        """Run what is due, and remember a new report."""
        now = self.clock()
        # Whoever has waited for a whole beat waits behind one that blocks.
        apart = self._runner.take(len(self._slots)) if self._runner else []
        for slot in self._slots:
            if slot.due > now or slot.is_running:
                continue
            # Half a beat of slack: a collector with a period of one second is due at every beat.
            slot.due = now + slot.collector.period_seconds - INTERVAL_SECONDS / 2
            if slot.collector.may_block:
                slot.is_running = True
                apart.append(slot)
            else:
                self._collect(slot)
        self._start(apart)
        self._sequence += 1
        self.recall.add(self._report(now))

    def samples(self) -> list[tuple[Collector, Sample]]:
        """Each collector that works, with its newest sample."""
        outcomes = [(slot.collector, slot.outcome) for slot in self._slots]
        return [(collector, one.sample) for collector, one in outcomes if one is not None and one.error is None]

    def health(self) -> dict[str, Sample]:
        """What became of the last run of each collector."""
        now = self.clock()
        return {slot.collector.name: _health(slot.outcome, now) for slot in self._slots if slot.outcome is not None}

    def _start(self, slots: list[_Slot]) -> None:
        """Run these collectors in a thread of their own."""
        if not slots:
            return
        runner = _Runner(slots, self._collect)
        try:
            runner.start()
        except RuntimeError as error:  # no more threads allowed: these have to wait, the others go on
            for slot in slots:
                slot.is_running = False
                slot.due = self.clock() + RETRY_SECONDS
            names = ", ".join(slot.collector.name for slot in slots)
            log.warning("no thread could be started for the collectors %s: %s", names, error)
            return
        self._runner = runner

    def _collect(self, slot: _Slot) -> None:
        before = slot.outcome
        started = self.clock()
        self.host.forget_reads()
        try:
            raw = slot.collector.collect(self.host)
            sample = raw
            if before and before.raw:
                sample = slot.collector.derive(before.raw, raw, started - before.sampled)
            encoded = _member(slot.collector.name, sample)
        except Exception as error:  # noqa: BLE001 a broken collector is data: it must not cost the others
            text = _reason(error, self.host)
            if before is None or before.error is None:
                log.warning("collector %s failed: %s", slot.collector.name, text)
            slot.due = min(slot.due, started + RETRY_SECONDS)
            old = before or _Outcome({}, {}, started, 0.0)
            slot.outcome = _Outcome(old.sample, old.raw, old.sampled, self._since(started), text)
            return
        if before is not None and before.error is not None:
            log.info("collector %s works again", slot.collector.name)
        slot.outcome = _Outcome(sample, raw, started, self._since(started), encoded=encoded)

    def _since(self, started: float) -> float:
        """How long it took, as exactly as it is told."""
        return round(self.clock() - started, 4)

    def _report(self, now: float) -> Report:
        """The report, put together of its parts; what did not run since the last one was encoded then."""
        head = {
            "schema": wire.SCHEMA,
            "sequence": self._sequence,
            "collected_at": round(self.wall_clock(), 3),
            "agent": self._agent,
        }
        samples: dict[str, Sample] = {}
        parts: dict[str, bytes] = {}
        health: dict[str, Sample] = {}
        for slot in self._slots:
            outcome = slot.outcome
            if outcome is None:
                continue  # it runs apart and has not answered yet
            name = slot.collector.name
            health[name] = _health(outcome, now)
            if outcome.error is None:
                samples[name], parts[name] = outcome.sample, outcome.encoded
        while sum(map(len, parts.values())) > MAX_PARTS_BYTES:
            # Nobody would read it. The largest part goes, and says so.
            largest = max(parts, key=lambda name: len(parts[name]))
            del samples[largest], parts[largest]
            health[largest] |= {"ok": False, "error": "its sample is too large for a report"}
        start, end = wire.encode(head)[:-1], _member("collectors", health) + b"}"
        body = b",".join((start, *parts.values(), end))
        before, self._document = self._document, {**head, **samples, "collectors": health}
        parts_before, self._parts = self._parts, parts
        if not before:
            return Report(self._sequence, now, body)
        new = [part for name, part in parts.items() if part is not parts_before.get(name)]
        gone = [b'"%b":null' % name.encode("ascii") for name in parts_before.keys() - parts.keys()]
        return Report(self._sequence, now, body, (before, self._document), b",".join((start, *new, *gone, end)))


def _reason(error: Exception, host: Host) -> str:
    """What went wrong, and with which file, as far as that can be told. A text from outside can be long."""
    text = printable(f"{type(error).__name__}: {error}", MAX_REASON_LETTERS)
    file = host.last_read()
    return text if isinstance(error, OSError) or not file or file in text else f"{text}, after reading {file}"


def _member(name: str, value: Sample) -> bytes:
    """A member of a JSON object, without the braces around it. Raises ValueError on what JSON cannot say."""
    return wire.encode({name: value})[1:-1]


def _age(seconds: float) -> float:
    """How old a sample is. Beyond a second in steps of five, rounded up: what changes each second has to be sent."""
    return round(max(0.0, seconds), 1) if seconds <= 1 else 5.0 * math.ceil(seconds / 5)


def _health(outcome: _Outcome, now: float) -> Sample:
    health: Sample = {
        "ok": outcome.error is None,
        "age_seconds": _age(now - outcome.sampled),
        "duration_seconds": outcome.duration_seconds,
    }
    if outcome.error is not None:
        health["error"] = outcome.error
    return health
