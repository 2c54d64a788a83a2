"""What the loop hands over to history: each agent's answers as they came, its minutes, and changes of its state.

A few seconds of answers are gathered into a block. A chain of blocks begins with a whole report, so that none needs
another agent's or an older chain's; a gap, another life of the agent, or trouble with the disk begins a new one.
"""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared import wire
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Move, Retention, Standing
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.database import Block, Event
from monitoring_supervisor.store.keeper import Keeper

# With what the writer takes, less than ten seconds: that much is lost when the process is killed.
FLUSH_SECONDS = 8.0
# From then on a block is handed over when its answers happen to have been taken apart.
CHEAP_FLUSH_SECONDS = 6.0
# To read one report, all of its chain before it is read.
CHAIN_REPORTS = 300
# A clock that was set: times within a block would not be right any more.
SKEW_SECONDS = 1.0
MINUTE_SECONDS = 60.0


@dataclass(slots=True)
class _Course:
    """What is gathered of one agent."""

    latest: Latest
    phase: float  # when its minutes begin
    minute: float  # the beginning of this one
    early: float  # by how many seconds the next block is to be handed over before its time
    block: Block | None = None
    began: float = 0.0  # of the block, on the monotonic clock
    chained: int = 0  # reports since the chain began; 0 wants a whole one next
    failures: int = 0  # of the keeper, when the chain began
    faults: int = 0  # of the answers, when the block began


def phase(name: str) -> float:
    """At which second an agent's minutes begin. Not all at the same: closing a minute is work, and is spread so."""
    return zlib.crc32(name.encode()) / 2**32 * MINUTE_SECONDS


def _minute(now: float, phase: float) -> float:
    return (now - phase) // MINUTE_SECONDS * MINUTE_SECONDS + phase


class History:
    """Gathers for the keeper. For the loop; `beat` wants to be called about once a second."""

    def __init__(self, path: Path, retention: Retention, wall_clock: Callable[[], float] = time.time) -> None:
        self.keeper = Keeper(path, retention, wall_clock)
        self._courses: dict[str, _Course] = {}
        known = self.keeper.known()
        self._states = {name: one.state for name, one in known.items()}

    def record(self, name: str, latest: Latest, body: bytes, now: float) -> None:
        """Take down a good answer that `latest` has taken in already; `now` in Unix seconds."""
        course = self._courses.get(name)
        if course is None or course.latest is not latest:
            at = phase(name)
            # The first block is handed over early: agents that were first asked together take turns from then on.
            early = CHEAP_FLUSH_SECONDS * at / MINUTE_SECONDS
            course = self._courses[name] = _Course(latest, at, _minute(now, at), early)
        if self.keeper.trouble is not None:
            course.block, course.chained = None, 0
            return
        if not latest.taken:
            return
        skew = now - latest.collected_at
        ends = latest.whole or course.failures != self.keeper.failures or course.chained >= CHAIN_REPORTS
        if course.block and (ends or abs(skew - course.block.skew) > SKEW_SECONDS):
            self._flush(course)
        if ends:
            course.chained, course.failures = 0, self.keeper.failures
        reports = latest.taken
        if not course.chained and not latest.whole:
            faults = latest.faults
            report = latest.encoded() or b"{}"
            if latest.faults != faults:
                return  # it turns out just now to be of no use
            body, reports = b'{"schema":%d,"report":%b,"changes":[]}' % (wire.SCHEMA, report), 1
        # A block is lines; in JSON an end of line is a space.
        self._append(name, course, body.replace(b"\n", b" "), reports, skew, now)
        if latest.is_caught_up and course.began <= time.monotonic() - CHEAP_FLUSH_SECONDS:
            self._flush(course)

    def _append(self, name: str, course: _Course, body: bytes, reports: int, skew: float, now: float) -> None:
        if course.block is None:
            course.began, course.early = time.monotonic() - course.early, 0.0
            course.faults = course.latest.faults
            course.block = Block(name, not course.chained, now, now, 0, skew, None, None, [])
        block = course.block
        block.lines.append(body)
        block.reports += reports
        block.ended = now
        block.life, block.sequence = course.latest.life, course.latest.sequence
        course.chained += reports

    def beat(self, now: float) -> None:
        """Hand over the blocks that are old enough, and the minutes that are over."""
        old = time.monotonic() - FLUSH_SECONDS
        for name, course in self._courses.items():
            if course.block is not None and course.began <= old:
                self._flush(course)
            if not 0 <= now - course.minute < MINUTE_SECONDS:
                self._close_minute(name, course)
                course.minute = _minute(now, course.phase)

    def _flush(self, course: _Course) -> None:
        if course.block is None:
            return
        course.latest.catch_up()
        # Of answers some of which could not be taken apart, or for which there was no room, none is kept.
        if course.latest.faults != course.faults or not self.keeper.put_block(course.block):
            course.chained = 0
        course.block = None

    def _close_minute(self, name: str, course: _Course) -> None:
        points = course.latest.close_minute()
        if points:
            self.keeper.put_minute(name, blocks.single(course.minute, points))

    def note(self, move: Move) -> None:
        """Take down a change of state."""
        if move.before.state is not move.after.state:
            self._note(move.target.name, move.after, move.at)

    def watch(self, standings: dict[str, Standing], now: float) -> None:
        """These are the agents that are watched, with their standings; what differs from what is stored is an event."""
        for name, standing in standings.items():
            before = self._states.get(name)
            if before != standing.state:
                self._note(name, standing, now if before == "unwatched" else standing.since or now)
        for name, state in list(self._states.items()):
            if name not in standings and state not in {None, "unwatched"}:
                self._states[name] = "unwatched"
                self.keeper.put_event(Event(name, now, "unwatched"))
        for name in self._courses.keys() - standings.keys():
            course = self._courses.pop(name)
            self._flush(course)
            self._close_minute(name, course)

    def _note(self, name: str, standing: Standing, at: float) -> None:
        self._states[name] = standing.state
        event = Event(name, at, standing.state)
        if standing.failure is not None:
            event.kind, event.detail = standing.failure.kind, standing.failure.detail
        self.keeper.put_event(event)

    def close(self, timeout_seconds: float) -> bool:
        """Hand everything over and have it written. Returns whether that was done in time."""
        for name, course in self._courses.items():
            self._flush(course)
            self._close_minute(name, course)
        return self.keeper.close(timeout_seconds)
