"""What is missing between two reports of an agent, and when to ask for it: little by little, agents in turns. Pure.

A rack that returns, or a supervisor that was away for minutes, must not be followed by a stampede: the agents would
feel it, and so would the polls. Agents remember ten minutes.
"""

from collections import Counter, deque
from dataclasses import dataclass, replace

# For all agents together. Each question brings a minute of reports; to take it apart is a few milliseconds of work.
QUESTIONS_PER_SECOND = 25.0
# What was not asked for longer than this is not made up for at once.
MAX_TURN_SECONDS = 0.3
# While our own polls are late, turns are so far apart: to fill what an overload left must not make the next one.
LATE_TURN_SECONDS = 2.0
MAX_TRIES = 3
# An agent that has just returned is left in peace for a moment; so is one that failed to answer.
PEACE_SECONDS = 3.0
# Between two questions to the same agent: its answers may be large, and none of them may take all the time.
PAUSE_SECONDS = 0.5
# One that tells of jumps all the time, or of its past without coming to an end, is not asked for all of it: ten minutes
# are ten answers.
MAX_GAPS, MAX_QUESTIONS = 10, 20


@dataclass(frozen=True, slots=True)
class Gap:
    """The reports of one life of an agent after sequence `after` and before `before`, wanted `step` apart.

    `skew` is by how much our clock is ahead of the agent's, in seconds. `until` is when the report behind the gap was
    made, by the agent's clock.
    """

    life: float
    after: int
    before: int
    step: int
    skew: float
    until: float

    def query(self) -> str:
        """What to ask for, to stand behind the path of the metrics."""
        apart = f"&step={self.step}" if self.step > 1 else ""
        return f"?past={self.after + self.step}&layout=0-0{apart}"


def is_gap(after: int, before: int, step: int) -> bool:
    """Whether a report is missing between these two, which should be `step` apart."""
    return before - after >= 1.5 * step


@dataclass(slots=True)
class _Waiting:
    gap: Gap
    not_before: float
    tries: int = 0
    questions: int = 0


class Gaps:
    """All gaps that are to be filled. The time is passed in, on the monotonic clock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, _Waiting]] = deque()
        self._counts: Counter[str] = Counter()  # of those that wait, by the agent
        self._asked: dict[str, _Waiting] = {}
        self._last_turn = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._asked)

    def add(self, name: str, gap: Gap, now: float) -> None:
        """Have this filled, unless there are too many of this agent's already."""
        if self._counts[name] < MAX_GAPS:
            self._wait(name, _Waiting(gap, now + PEACE_SECONDS))

    def _wait(self, name: str, waiting: _Waiting) -> None:
        self._waiting.append((name, waiting))
        self._counts[name] += 1

    def due(self, now: float, *, late: bool = False) -> list[tuple[str, Gap]]:
        """Whom to ask for what now; each is to be answered by `answered`. `late` is whether our polls are."""
        if late and now - self._last_turn < LATE_TURN_SECONDS:
            return []
        room = min(now - self._last_turn, MAX_TURN_SECONDS) * QUESTIONS_PER_SECOND
        if room < 1:
            return []
        self._last_turn = now
        found: list[tuple[str, Gap]] = []
        for _ in range(len(self._waiting)):
            if len(found) + 1 > room:
                break
            name, waiting = self._waiting.popleft()
            if waiting.not_before > now or name in self._asked:
                self._waiting.append((name, waiting))
                continue
            self._counts[name] -= 1
            self._asked[name] = waiting
            found.append((name, waiting.gap))
        return found

    def answered(self, name: str, reached: int | None, now: float) -> None:
        """The agent told all up to this sequence; None if it did not answer, or with nothing of use."""
        waiting = self._asked.pop(name, None)
        if waiting is None:
            return
        waiting.questions += 1
        if reached is None:
            waiting.tries += 1
            waiting.not_before = now + PEACE_SECONDS
        elif not is_gap(reached, waiting.gap.before, waiting.gap.step):
            return
        else:
            waiting.gap = replace(waiting.gap, after=reached)
            waiting.not_before = now + PAUSE_SECONDS
        if waiting.tries < MAX_TRIES and waiting.questions < MAX_QUESTIONS:
            self._wait(name, waiting)

    def asked(self, name: str) -> Gap | None:
        """For what an agent was asked and has not answered yet."""
        waiting = self._asked.get(name)
        return waiting.gap if waiting else None

    def forget(self, name: str) -> None:
        """This agent is not watched any more."""
        self._asked.pop(name, None)
        if self._counts.pop(name, 0):
            self._waiting = deque(one for one in self._waiting if one[0] != name)
