"""Asks every agent when its turn comes, and gives up when its time is over. One timer for all of them."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from monitoring_agent.shared import wire
from monitoring_agent.shared.address import join
from monitoring_supervisor.agent_client import AgentClient
from monitoring_supervisor.model import Question, Rhythm, Scrape, Target
from monitoring_supervisor.resolver import Resolver
from monitoring_supervisor.schedule import Schedule

# Turns of the timer are at least this far apart, so that many agents share one. Nobody notices such a lateness, and at
# a thousand agents it is worth a sixth of the processor time.
MIN_TURN_SECONDS = 0.010
# A timer that comes later than this was held up: by us or by the machine, not by the agents.
HELD_UP_SECONDS = 0.1
RECENT_POLLS, NEWEST_POLLS = 5000, 200


@dataclass(frozen=True)
class Asking:
    """What is the same for all agents: paths, token and the time limit of a question."""

    health_path: str
    metrics_path: str
    token: str
    timeout_seconds: float
    tls: ssl.SSLContext | None = None  # None is the system's
    tls_fingerprint: tuple[object, ...] = ()


class _Watch:
    """One agent in the poller: its client, what it is sent, and what waits for the client to be free."""

    __slots__ = ("client", "health_request", "metrics_request", "past", "target", "waiting")

    def __init__(self, target: Target, client: AgentClient) -> None:
        self.target = target
        self.client = client
        self.health_request = b""
        self.metrics_request = (b"", b"")  # what stands before and behind the query
        self.past = ""  # the query about its past
        self.waiting: dict[Question, float] = {}  # question to the time it was due


_Key = tuple[_Watch, Question]


class Poller:
    """Owns the schedule and the connections. Each outcome goes to `hear`; what follows from it comes by `set_rhythm`.

    `query` says, for the name of an agent, what stands behind the path of the metrics each time.

    Deadlines run on the loop's clock less the time that the loop itself was held up: an answer that lay in the
    socket while this process did not run came in time.
    """

    def __init__(self, asking: Asking, query: Callable[[str], str], hear: Callable[[Scrape], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._asking = asking
        self._query = query
        self._hear = hear
        self._watches: dict[str, _Watch] = {}
        self._schedule: Schedule[_Key] = Schedule()
        self._keys: dict[str, dict[Question, _Key]] = {}
        self._deadlines: deque[tuple[float, AgentClient, int]] = deque()  # in order
        self._resolver = Resolver()
        self._held_up_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._tls = asking.tls
        self.polls = 0
        self.missed = 0
        self.recent_lateness: deque[float] = deque(maxlen=RECENT_POLLS)

    def add(self, target: Target, rhythm: Rhythm) -> None:
        """Begin to ask this agent."""
        client = AgentClient(target, self._heard, self._resolver, self._context(target))
        watch = _Watch(target, client)
        self._word(watch)
        self._watches[target.name] = watch
        self._keys[target.name] = {question: (watch, question) for question in Question}
        self.set_rhythm(target.name, rhythm)

    def remove(self, name: str) -> None:
        """Ask this agent no more."""
        self._watches.pop(name).client.close()
        for key in self._keys.pop(name).values():
            self._schedule.remove(key)

    def set_rhythm(self, name: str, rhythm: Rhythm) -> None:
        """Ask this agent so often from now on."""
        now = self._loop.time()
        watch, keys = self._watches[name], self._keys[name]
        for question, seconds, from_now in (
            (Question.HEALTH, rhythm.health_seconds, rhythm.recheck),
            (Question.METRICS, rhythm.metrics_seconds, False),
        ):
            if seconds is None:
                self._schedule.remove(keys[question])
                watch.waiting.pop(question, None)
            else:
                self._schedule.set(keys[question], f"{name} {question.name}", seconds, now, from_now=from_now)
        self._wake_by(self._schedule.next_due())

    def ask_past(self, name: str, query: str) -> bool:
        """Ask this once, as soon as the agent is not being asked anything else. Returns whether it will be asked."""
        watch = self._watches.get(name)
        if watch is None:
            return False
        watch.past = query
        now = self._loop.time()
        if watch.client.asking:
            watch.waiting[Question.PAST] = now
        else:
            self._ask(watch, Question.PAST, now, now)
        return True

    def change(self, asking: Asking) -> None:
        """Ask in another way from now on, over the connections that there are; other certificates want new ones.

        A shorter time limit is also one for the questions that are open.
        """
        is_secured_anew = asking.tls_fingerprint != self._asking.tls_fingerprint
        self._asking = asking
        latest = self._loop.time() - self._held_up_seconds + asking.timeout_seconds
        self._deadlines = deque((min(due, latest), client, ticket) for due, client, ticket in self._deadlines)
        if is_secured_anew:
            self._tls = asking.tls
        for watch in self._watches.values():
            self._word(watch)
            if watch.target.tls and is_secured_anew:
                watch.client.secure(self._context(watch.target))

    def overdue_seconds(self) -> float:
        """By how much the oldest open question, or else the timer, is past its time; a sign that polling is stuck."""
        now = self._loop.time()
        oldest = self._deadlines[0][0] + self._held_up_seconds if self._deadlines else now
        if self._watches and self._timer is None:
            return float("inf")
        return max(0.0, now - oldest, now - self._timer_due if self._timer else 0.0)

    def lateness_seconds(self) -> float:
        """By how much the newest polls were later than they should have been, in the mean."""
        newest = list(islice(reversed(self.recent_lateness), NEWEST_POLLS))
        return sum(newest) / len(newest) if newest else 0.0

    def certificates(self) -> dict[str, float]:
        """When the certificates that agents show end, in Unix seconds, by the agents' names."""
        ends = ((name, watch.client.certificate_ends_at) for name, watch in self._watches.items())
        return {name: ends_at for name, ends_at in ends if ends_at is not None}

    def close(self) -> None:
        """Ask nothing more, and end all connections."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for name in list(self._watches):
            self.remove(name)

    def _context(self, target: Target) -> ssl.SSLContext | None:
        if target.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls if target.tls else None

    def _word(self, watch: _Watch) -> None:
        """Put what this agent is asked into words, as far as they stay the same."""
        asking, target = self._asking, watch.target
        rest = (
            f" HTTP/1.1\r\nHost: {join(target.host, target.port)}\r\n"
            f"Authorization: {wire.bearer(asking.token)}\r\n"
            f"User-Agent: monitoring-supervisor/{wire.VERSION}\r\nAccept: application/json\r\n\r\n"
        ).encode("ascii")
        watch.health_request = b"GET %b%b" % (asking.health_path.encode("ascii"), rest)
        watch.metrics_request = (b"GET %b" % asking.metrics_path.encode("ascii"), rest)

    def _request(self, watch: _Watch, question: Question) -> bytes:
        if question is Question.HEALTH:
            return watch.health_request
        before, behind = watch.metrics_request
        query = watch.past if question is Question.PAST else self._query(watch.target.name)
        return b"%b%b%b" % (before, query.encode("ascii"), behind)

    def _wake_by(self, due: float | None) -> None:
        """Have the timer come at `due` at the latest."""
        if due is None:
            return
        due = max(due, self._loop.time() + MIN_TURN_SECONDS)
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_at(due, self._turn)

    def _turn(self) -> None:
        """The timer: give up what is overdue, ask what is due, and come again."""
        now = self._loop.time()
        late = now - self._timer_due
        self._timer = None
        if late > HELD_UP_SECONDS:
            self._held_up_seconds += late
        try:
            self._give_up_and_ask(now)
        finally:
            self._wake_by(self._schedule.next_due())
            if self._deadlines:
                self._wake_by(self._deadlines[0][0] + self._held_up_seconds)

    def _give_up_and_ask(self, now: float) -> None:
        self._give_up_overdue(now - self._held_up_seconds)
        for key, due, missed in self._schedule.pop_due(now):
            watch, question = key
            self.missed += missed
            if watch.client.asking:
                self.missed += question in watch.waiting
                watch.waiting[question] = due
            else:
                self._ask(watch, question, due, now)

    def _give_up_overdue(self, patience: float) -> None:
        deadlines = self._deadlines
        while deadlines:
            deadline, client, ticket = deadlines[0]
            is_open = client.asking and client.tickets == ticket
            if is_open and deadline > patience:
                return
            deadlines.popleft()
            if is_open:
                client.give_up()

    def _ask(self, watch: _Watch, question: Question, due: float, now: float) -> None:
        if question is not Question.PAST:
            self.polls += 1
            self.recent_lateness.append(now - due)
        ticket = watch.client.ask(question, self._request(watch, question))
        deadline = now - self._held_up_seconds + self._asking.timeout_seconds
        self._deadlines.append((deadline, watch.client, ticket))
        if len(self._deadlines) == 1:  # for the others the timer comes anyway
            self._wake_by(deadline + self._held_up_seconds)

    def _heard(self, scrape: Scrape) -> None:
        self._hear(scrape)
        watch = self._watches.get(scrape.target.name)
        if watch is not None and watch.waiting and not watch.client.asking:
            question = next(iter(watch.waiting))
            due = watch.waiting.pop(question)
            # In a turn of its own: an agent that fails at once must not call itself again from within.
            self._loop.call_soon(self._ask_waiting, watch, question, due)

    def _ask_waiting(self, watch: _Watch, question: Question, due: float) -> None:
        if self._watches.get(watch.target.name) is not watch:
            return
        if watch.client.asking:
            watch.waiting.setdefault(question, due)
        else:
            self._ask(watch, question, due, self._loop.time())
