"""What the loop hands over to history: each agent's answers as they came, its minutes, and changes of its state.

A few seconds of answers are gathered into a block. A chain of blocks begins with a whole report, so that none needs
another agent's or an older chain's; a gap, another life of the agent, or trouble with the disk begins a new one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Move, Retention, Standing
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.database import Block, Event
from monitoring_supervisor.store.keeper import Keeper

# With what the writer takes, less than ten seconds: that much is lost when the process is killed.
FLUSH_SECONDS = 8.0
# To read one report, all of its chain before it is read.
CHAIN_REPORTS = 300
# A clock that was set: times within a block would not be right any more.
SKEW_SECONDS = 1.0
MINUTE_SECONDS = 60.0


@dataclass(slots=True)
class _Course:
    """What is gathered of one agent."""

    latest: Latest
    minute: float
    block: Block | None = None
    began: float = 0.0  # of the block, on the monotonic clock
    chained: int = 0  # reports since the chain began; 0 wants a whole one next
    lost: int = 0  # what the keeper had lost when the chain began
    known: tuple[float | None, int | None] = field(default=(None, None))


class History:
    """Gathers for the keeper. For the loop; `beat` wants to be called about once a second."""

    def __init__(self, path: Path, retention: Retention, wall_clock: Callable[[], float] = time.time) -> None:
        self.keeper = Keeper(path, retention, wall_clock)
        self._courses: dict[str, _Course] = {}
        known = self.keeper.known()
        self._states = {name: one.state for name, one in known.items()}
        self._known = {name: (one.life, one.sequence) for name, one in known.items()}

    def record(self, name: str, latest: Latest, answer: Document, body: bytes, now: float) -> None:
        """Take down a good answer that `latest` has taken in already; `now` in Unix seconds."""
        course = self._courses.get(name)
        if course is None or course.latest is not latest:
            course = self._courses[name] = _Course(latest, now // MINUTE_SECONDS)
        if self.keeper.trouble is not None:
            course.block, course.chained = None, 0
            return
        whole = "since" not in answer
        if not whole and not answer["changes"]:
            return
        assert latest.document is not None
        skew = now - latest.document["collected_at"]
        breaks = whole or not course.chained or course.lost != self.keeper.lost or course.chained >= CHAIN_REPORTS
        if course.block and (breaks or abs(skew - course.block.skew) > SKEW_SECONDS):
            self._flush(course)
        if breaks:
            course.chained, course.lost = 0, self.keeper.lost
        if breaks and not whole:
            body = b'{"schema":%d,"report":%b,"changes":[]}' % (wire.SCHEMA, wire.encode(latest.document))
        elif b"\n" in body:
            body = wire.encode(answer)  # a block is lines
        self._append(name, course, body, 1 if breaks else len(answer["changes"]), skew, now)

    def _append(self, name: str, course: _Course, body: bytes, reports: int, skew: float, now: float) -> None:
        if course.block is None:
            course.began = time.monotonic()
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
        minute = now // MINUTE_SECONDS
        for name, course in self._courses.items():
            if course.block is not None and course.began <= old:
                self._flush(course)
            if course.minute != minute:
                self._close_minute(name, course)
                course.minute = minute

    def _flush(self, course: _Course) -> None:
        if course.block is not None:
            self.keeper.put_block(course.block)
            course.block = None

    def _close_minute(self, name: str, course: _Course) -> None:
        points = course.latest.close_minute()
        if points:
            self.keeper.put_minute(name, blocks.single(course.minute * MINUTE_SECONDS, points))

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
