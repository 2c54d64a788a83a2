"""What the loop hands over to history: each agent's answers as they came, its minutes, and changes of its state.

What is missing of an agent's life, after an outage of either side, is asked for out of its memory.

A few seconds of answers are gathered into a block. A chain of blocks begins with a whole report, so that none needs
another agent's or an older chain's; a gap, another life of the agent, or trouble with the disk begins a new one.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from monitoring_supervisor import minutes
from monitoring_supervisor.gaps import Gap, Gaps, is_gap
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.minutes import MINUTE_SECONDS
from monitoring_supervisor.model import Move, Retention, Standing
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.database import Block, Event
from monitoring_supervisor.store.keeper import Keeper
from monitoring_supervisor.store.recovery import recover

# With what `beat` and the writer take, less than ten seconds: that much is lost when the process is killed.
FLUSH_SECONDS = 7.0
# From then on a block is handed over when its answers happen to have been taken apart.
CHEAP_FLUSH_SECONDS = 6.0
# To read one report, all of its chain before it is read.
CHAIN_REPORTS = 300
# A clock that was set: times within a block would not be right any more.
SKEW_SECONDS = 1.0


@dataclass(slots=True)
class _Course:
    """What is gathered of one agent."""

    latest: Latest
    phase: float  # when its minutes begin
    minute: float  # the beginning of this one
    early: float  # by how many seconds the next block is to be handed over before its time
    longest: int  # how many reports the chain may have
    block: Block | None = None
    began: float = 0.0  # of the block, on the monotonic clock
    chained: int = 0  # reports since the chain began; 0 wants a whole one next
    failures: int = 0  # of the keeper, when the chain began
    faults: int = 0  # of the answers, when the block began
    line: bytes = b""  # the last one that was taken down
    last: tuple[float, int] | None = None  # life and sequence of the last report that was taken down
    kept: tuple[float, int] | None = None  # and of the last one before this block


class History:
    """Gathers for the keeper. For the loop; `beat` wants to see each agent about once a second."""

    def __init__(
        self,
        path: Path,
        retention: Retention,
        step: int = 1,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.keeper = Keeper(path, retention, wall_clock)
        self.gaps = Gaps()
        self.step = step  # how many of an agent's reports apart it is asked
        self._courses: dict[str, _Course] = {}
        known = self.keeper.known()
        self._states = {name: one.state for name, one in known.items()}

    def record(self, name: str, latest: Latest, body: bytes, now: float) -> None:
        """Take down a good answer that `latest` has taken in already; `now` in Unix seconds."""
        course = self._courses.get(name)
        if course is None or course.latest is not latest:
            at = minutes.phase(name)
            # The first block and chain end early: agents that were first asked together take turns from then on.
            early = CHEAP_FLUSH_SECONDS * at / MINUTE_SECONDS
            longest = 1 + int(CHAIN_REPORTS * at / MINUTE_SECONDS)
            course = self._courses[name] = _Course(latest, at, minutes.beginning(now, at), early, longest)
            course.last = course.kept = self._stored(name)
        if self.keeper.trouble is not None:
            course.block, course.chained = None, 0
            return
        if not latest.taken:
            return
        skew = now - latest.collected_at
        is_long = course.chained >= course.longest
        ends = latest.whole or course.failures != self.keeper.failures or is_long
        if course.block and (ends or abs(skew - course.block.skew) > SKEW_SECONDS):
            self._flush(course)
        if course.failures != self.keeper.failures:
            course.failures = self.keeper.failures
            course.last = course.kept = self._stored(name)
        if ends:
            course.chained = 0
        if is_long:
            course.longest = CHAIN_REPORTS
        if not course.chained:
            self._look_for_gap(name, course, skew)
        reports = latest.taken
        if not course.chained and not latest.whole:
            faults = latest.faults
            body, reports = latest.opening(), 1
            if latest.faults != faults:
                return  # it turns out just now to be of no use
        # A block is lines; in JSON an end of line is a space.
        self._append(name, course, body.replace(b"\n", b" "), reports, skew, now)
        # Here and not in `beat`: thousands take their turns with the answers, and hold up none of them for long.
        age_seconds = self._clock() - course.began
        if age_seconds >= FLUSH_SECONDS or (age_seconds >= CHEAP_FLUSH_SECONDS and latest.is_caught_up):
            self._flush(course)

    def _stored(self, name: str) -> tuple[float, int] | None:
        """Life and sequence of the last report that is safely stored."""
        known = self.keeper.known().get(name)
        return (known.life, known.sequence) if known and known.life is not None and known.sequence is not None else None

    def _look_for_gap(self, name: str, course: _Course, skew: float) -> None:
        life, sequence = course.latest.life, course.latest.sequence
        if life is None or sequence is None or course.last is None or course.last[0] != life:
            return
        if is_gap(course.last[1], sequence, self.step):
            gap = Gap(life, course.last[1], sequence, self.step, skew, course.latest.collected_at)
            self.gaps.add(name, gap, self._clock())

    def questions(self, *, late: bool = False) -> list[tuple[str, str]]:
        """Whom to ask for what now, to fill gaps: names of agents, and what is to stand behind their metrics' path.

        There are fewer while polls are `late`.
        """
        return [(name, gap.query()) for name, gap in self.gaps.due(self._clock(), late=late)]

    def fill(self, name: str, body: bytes | None) -> None:
        """Take down what an agent answered to such a question; None if it failed to."""
        gap = self.gaps.asked(name)
        if gap is None:
            return
        reached: int | None = None
        if body is not None and self.keeper.trouble is None:
            with contextlib.suppress(Unusable):
                found = recover(name, gap, body)
                if found.block is None or self.keeper.put_block(found.block):
                    reached = found.reached
                    for points in found.minutes:
                        self.keeper.put_minute(name, points)
        self.gaps.answered(name, reached, self._clock())

    def _append(self, name: str, course: _Course, body: bytes, reports: int, skew: float, now: float) -> None:
        if course.block is None:
            course.began, course.early = self._clock() - course.early, 0.0
            course.faults = course.latest.faults
            before = course.line if course.chained else b""
            course.block = Block(name, not course.chained, now, now, 0, skew, None, None, [], before)
        block = course.block
        block.lines.append(body)
        course.line = body
        block.reports += reports
        block.ended = now
        block.life, block.sequence = course.latest.life, course.latest.sequence
        course.last = None if block.life is None or block.sequence is None else (block.life, block.sequence)
        course.chained += reports

    def beat(self, now: float, start: int = 0, step: int = 1) -> None:
        """Hand over the blocks that are old enough, and the minutes that are over, of each `step`-th agent."""
        old = self._clock() - FLUSH_SECONDS
        for name, course in islice(self._courses.items(), start, None, step):
            if course.block is not None and course.began <= old:
                self._flush(course)
            if not 0 <= now - course.minute < MINUTE_SECONDS:
                self._close_minute(name, course)
                course.minute = minutes.beginning(now, course.phase)

    def _flush(self, course: _Course) -> None:
        if course.block is None:
            return
        course.latest.catch_up()
        # Of answers some of which could not be taken apart, or that go on from what is lost, or for which there is no
        # room, none is kept.
        if (
            course.latest.faults == course.faults
            and course.failures == self.keeper.failures
            and self.keeper.put_block(course.block)
        ):
            course.kept = course.last
        else:
            course.chained, course.last = 0, course.kept
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
            self.gaps.forget(name)
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
