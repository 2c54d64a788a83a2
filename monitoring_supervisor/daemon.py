"""The supervisor itself: one loop that owns all state, and tells journal, disk and systemd what it concludes."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.systemd import Notifier
from monitoring_supervisor import certificates, words
from monitoring_supervisor.calm import Calm
from monitoring_supervisor.certificates import Certificates
from monitoring_supervisor.control import Control
from monitoring_supervisor.fleet import Agent, Fleet
from monitoring_supervisor.following import Following
from monitoring_supervisor.machines import Machines
from monitoring_supervisor.model import Move, Question, Rhythm, Scrape, State, Target
from monitoring_supervisor.outage import Outage
from monitoring_supervisor.poller import Asking, Poller
from monitoring_supervisor.roster import rhythm
from monitoring_supervisor.schedule import FIRST_WITHIN_SECONDS
from monitoring_supervisor.settings import Settings
from monitoring_supervisor.store import snapshot
from monitoring_supervisor.store.history import History
from monitoring_supervisor.store.pace import BEAT_SECONDS, Pace

log = logging.getLogger("monitoring_supervisor")

# A beat does for history what is due of one agent in so many: each comes about once a second, and none waits for all.
HISTORY_PARTS = 4
# After this long without another want of our own, it is over.
WANT_SECONDS = 10.0
# So long after an outage of all, and three health checks, an agent that is still down is down by itself.
STAYS_AWAY_SECONDS = 5.0
# Polls that are later than this, in the mean, are more urgent than what is missing of history.
LATE_SECONDS = 0.05
# At the end, for either writer: a disk that hangs does not hold up the machine, and thousands of agents are saved.
LAST_WRITE_SECONDS, LAST_WRITE_SECONDS_OF_AN_AGENT = 1.5, 0.002
CERTIFICATES_SECONDS = 60.0
# Beyond these, polling or writing is stuck, and systemd is not told that all is well.
POLLING_STUCK_SECONDS = 5.0
WRITER_STUCK_SECONDS = 30.0


class Supervisor:
    """Everything that is watched. `run` is its whole life."""

    def __init__(
        self,
        config: Path | None,
        settings: Settings,
        watched: dict[str, Target],
        known: dict[str, Agent],
        notifier: Notifier,
    ) -> None:
        self._settings = settings
        self._notifier = notifier
        self._fleet = Fleet(settings.policy, known)
        self._machines = Machines()
        self._outage = Outage()
        self._calm = Calm()
        self._certificates = Certificates()
        self._certificates_due = 0.0  # since the start
        self._started_at = time.time()
        self._poller = Poller(_asking(settings), self._query, self._hear)
        self._pace = Pace(snapshot.Writer(settings.metrics_file))
        self._history: History | None = None
        if settings.history_file:
            self._history = History(settings.history_file, settings.retention, _step(settings))
        self._stop = asyncio.Event()
        self._wanting_since: float | None = None  # when we last lacked something of our own
        self._ready = False
        self._beats = 0
        self._status = ""
        self._following = Following(config, settings, self._take, self._watch, notifier, self._describe)
        self._watch(watched)

    async def run(self) -> None:
        """Watch until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._following.want_reload)
        following = loop.create_task(self._following.run())
        control = Control(self._fleet, self._about, self._following.reload)
        await control.open(self._settings.control_socket)
        log.info("watching %d agents; saving to %s", len(self._fleet.agents), self._settings.metrics_file)
        started = loop.time()
        while not self._stop.is_set():
            self._beat(loop.time() - started)
            if following.done():
                following.result()  # it never ends but by a mistake of ours: that must not stay unseen
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), BEAT_SECONDS)
        self._notifier.stopping()
        following.cancel()
        control.close()
        self._poller.close()
        seconds = LAST_WRITE_SECONDS + LAST_WRITE_SECONDS_OF_AN_AGENT * len(self._fleet.agents)
        if not self._pace.writer.close(self._render(), seconds):
            log.warning("ended without saving once more to %s", self._settings.metrics_file)
        if self._history and not self._history.close(seconds):
            log.warning("ended without writing the last seconds of history to %s", self._settings.history_file)
        log.info("ended")

    def _beat(self, age_seconds: float) -> None:
        """A few times a second: tell systemd how things are, and save what is due."""
        if not self._ready and self._first_round_is_over(age_seconds):
            self._ready = True
            self._notifier.ready(self._describe())
            self._pace.hurry()
        if self._ready:
            self._tell_status(self._describe())
        if self._ready or age_seconds >= 1.0:
            self._pace.save(self._render, min(self._settings.metrics_seconds, self._settings.health_seconds))
        for line in self._outage.stayed_away(time.time(), STAYS_AWAY_SECONDS + 3 * self._settings.health_seconds):
            log.warning("%s", line)
        self._look_at_certificates(age_seconds)
        if self._history:
            self._beats += 1
            self._history.beat(time.time(), self._beats % HISTORY_PARTS, HISTORY_PARTS)
            for name, query in self._history.questions(late=self._poller.lateness_seconds() > LATE_SECONDS):
                if not self._poller.ask_past(name, query):
                    self._history.gaps.forget(name)
        if self._poller.overdue_seconds() < POLLING_STUCK_SECONDS and self._writing_seconds() < WRITER_STUCK_SECONDS:
            self._notifier.alive()

    def _look_at_certificates(self, age_seconds: float) -> None:
        if not self._ready or age_seconds < self._certificates_due:
            return
        self._certificates_due = age_seconds + CERTIFICATES_SECONDS
        ends = self._poller.certificates()
        if self._settings.tls_ends_at is not None:
            ends[certificates.OWN] = self._settings.tls_ends_at
        line = self._certificates.look(ends, time.time())
        if line:
            log.warning("%s", line)

    def _writing_seconds(self) -> float:
        """For how long a thread has been writing the same thing."""
        return max(self._pace.writer_stuck_seconds(), self._history.keeper.stuck_seconds() if self._history else 0.0)

    def _first_round_is_over(self, age_seconds: float) -> bool:
        return self._fleet.all_asked() or age_seconds > FIRST_WITHIN_SECONDS + self._settings.timeout_seconds + 1

    def _describe(self) -> str:
        counts = self._fleet.counts()
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state is not State.UP)
        troubles = "".join(f"; {trouble}" for trouble in self._troubles())
        return f"{sum(counts.values())} agents, {counts[State.UP]} up{', ' if parts else ''}{parts}{troubles}"

    def _troubles(self) -> list[str]:
        """What keeps us ourselves from our work, for people."""
        error = self._pace.writer.error
        troubles = [f"cannot save: {error.strerror}"] if error else []
        if self._history and self._history.keeper.trouble:
            troubles.append(f"history is paused: {self._history.keeper.trouble}")
        if self._history and self._history.keeper.log_is_long:
            troubles.append("somebody has been reading history.db for long, and its log grows until that ends")
        if self._outage.since is not None:
            troubles.append("no agent can be reached; is it the network of this machine?")
        return troubles

    def _tell_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._notifier.status(status)

    def _hear(self, scrape: Scrape) -> None:
        """The poller's word: one attempt, good or bad."""
        if scrape.ours is not None or self._wanting_since is not None:
            self._say_want(scrape.ours)
        if scrape.question is Question.PAST:
            if self._history:
                self._history.fill(scrape.target.name, scrape.body if scrape.failure is None else None)
            return
        now = time.time()
        move = self._fleet.hear(scrape, now)
        if self._history:
            self._record(self._history, scrape, move, now)
        agent = self._fleet.agents[scrape.target.name]
        if agent.last_metrics == now and agent.latest.whole:
            for line in self._machines.hear(scrape.target.name, agent.latest.document):
                log.warning("%s", line)
        if move is None:
            return
        settings = self._settings
        self._poller.set_rhythm(move.target.name, rhythm(move.after, settings.health_seconds, settings.metrics_seconds))
        self._announce(move)
        if move.changes_list or move.before.state is State.NEW:
            self._pace.hurry()

    def _announce(self, move: Move) -> None:
        about_all = self._outage.follow(move, len(self._fleet.agents))
        if about_all:
            log.warning("%s", about_all)
        line = self._calm.calmed(move, words.announcement(move))
        if line and not self._outage.withholds(move, line):
            log.log(logging.WARNING if move.after.failure else logging.INFO, "%s", line)

    def _record(self, history: History, scrape: Scrape, move: Move | None, now: float) -> None:
        name = scrape.target.name
        agent = self._fleet.agents[name]
        if scrape.question is Question.METRICS and scrape.failure is None and agent.last_metrics == now:
            history.record(name, agent.latest, scrape.body, now)
        if move is not None:
            history.note(move)

    def _query(self, name: str) -> str:
        """What the poller is to ask of an agent's metrics: what changed since the report that we hold."""
        return self._fleet.agents[name].latest.query(_step(self._settings))

    def _say_want(self, want: str | None) -> None:
        """Say once that we ourselves lack something, and once that we have had it again for a while."""
        now = time.monotonic()
        if want is not None:
            if self._wanting_since is None:
                log.error("agents cannot be asked: %s; they are not blamed for it", want)
            self._wanting_since = now
        elif self._wanting_since is not None and now - self._wanting_since > WANT_SECONDS:
            log.info("agents can be asked again")
            self._wanting_since = None

    def _watch(self, watched: dict[str, Target]) -> None:
        if not watched:
            log.warning("no agent to watch; name some in WHITELIST_AGENT or WHITELIST_FILE")
        ended, came = self._fleet.watch(watched, time.time())
        for name in ended:
            self._poller.remove(name)
        for agent in came:
            self._machines.know(agent.target.name, agent.latest.document)
            self._poller.add(agent.target, self._rhythm(agent))
        self._machines.keep(set(watched))
        standings = {name: agent.standing for name, agent in self._fleet.agents.items()}
        self._outage.watch(standings)
        self._calm.keep(set(watched))
        if self._history:
            self._history.watch(standings, time.time())
        self._pace.hurry()

    def _rhythm(self, agent: Agent) -> Rhythm:
        return rhythm(agent.standing, self._settings.health_seconds, self._settings.metrics_seconds)

    def _take(self, settings: Settings, watched: dict[str, Target]) -> None:
        """Obey these settings from now on. Whoever is still watched keeps connection and standing."""
        self._settings = settings
        self._fleet.policy = settings.policy
        if self._history:
            self._history.keeper.retention = settings.retention
            self._history.step = _step(settings)
        logging.getLogger().setLevel(settings.log_level.upper())
        self._poller.change(_asking(settings))
        self._watch(watched)
        for agent in self._fleet.agents.values():
            self._poller.set_rhythm(agent.target.name, self._rhythm(agent))

    def _about(self) -> dict[str, Any]:
        poller = self._poller
        lateness = sorted(poller.recent_lateness)
        return {
            "version": wire.VERSION,
            "hostname": socket.gethostname(),
            "started_at": round(self._started_at, 3),
            "polls_total": poller.polls,
            "polls_missed_total": poller.missed,
            "poll_lateness_p99_seconds": round(lateness[len(lateness) * 99 // 100], 6) if lateness else None,
            "troubles": self._troubles(),
        }

    def _render(self) -> Iterator[bytes]:
        return snapshot.render(self._fleet, self._about(), time.time())


def _step(settings: Settings) -> int:
    """How many of an agent's reports apart it is asked. Agents make one a second."""
    return max(1, round(settings.metrics_seconds))


def _asking(settings: Settings) -> Asking:
    return Asking(
        settings.health_path,
        settings.metrics_path,
        settings.token,
        settings.timeout_seconds,
        settings.tls,
        settings.tls_fingerprint,
    )
