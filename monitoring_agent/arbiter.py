"""The gunicorn master: tells systemd the truth about the worker, and changes the settings without losing a sample."""

import contextlib
import errno
import gc
import logging
import mmap
import select
import signal
import socket
import struct
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.sock import close_sockets, create_sockets

from monitoring_agent import allocator
from monitoring_agent import settings as agent_settings
from monitoring_agent.settings import Settings
from monitoring_agent.shared import address, certificate
from monitoring_agent.shared.env import BadSettings
from monitoring_agent.shared.systemd import Notifier

log = logging.getLogger(__name__)

# A worker whose heart has not beaten for this long is replaced.
SIGN_OF_LIFE_SECONDS = 10
# How long arbiter and worker may sleep when nobody asks. A death or a signal wakes them up at once, and gunicorn's
# every second would only cost.
PAUSE_SECONDS = 3.0
# How long a worker may take to end.
GRACE_SECONDS = 2
# How long a reload waits for a worker that is busy, or about to be replaced.
SETTLE_SECONDS = 5.0


class Heartbeat:
    """Counters in memory that the worker, who alone raises them, shares with its arbiter."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def beat(self) -> None:
        """The worker lives."""
        struct.pack_into("Q", self._memory, 0, self.count + 1)

    def settle(self) -> None:
        """The worker has taken the settings that it was told to take."""
        struct.pack_into("Q", self._memory, 8, self.settled + 1)

    @property
    def count(self) -> int:
        return int(struct.unpack_from("Q", self._memory)[0])

    @property
    def settled(self) -> int:
        return int(struct.unpack_from("Q", self._memory, 8)[0])


class AgentArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master, which tells systemd READY when a worker serves, and WATCHDOG while its heart beats."""

    def __init__(self, app: Any, notifier: Notifier) -> None:
        super().__init__(app)
        self._notifier = notifier
        self._beats = 0
        self._beaten = time.monotonic()
        self._ready = False
        self._told: tuple[float | None, int] = (None, 0)  # of a certificate that ends then, and how near that is

    def sleep(self) -> None:
        """gunicorn's pause between two looks at the worker, until version 23: a second, or until a signal."""
        if not self._ready or select.select([self.PIPE[0]], [], [], self.app.pause_seconds)[0]:
            super().sleep()

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        """The same in gunicorn 27."""
        return super().wait_for_signals(timeout=self.app.pause_seconds if self._ready else timeout)

    def murder_workers(self) -> None:
        """Called by gunicorn after each pause: look whether the worker's heart beats.

        gunicorn 20.1 itself would compare wall clocks, and kill a good worker when the clock is set.
        """
        beats, now = self.app.heartbeat.count, time.monotonic()
        if beats != self._beats:
            self._beats, self._beaten = beats, now
            if not self._ready:
                self._ready = True
                self._announce()
            self._notifier.alive()
            self._look_at_certificate()
        elif now - self._beaten > SIGN_OF_LIFE_SECONDS and self.WORKERS:
            log.error("the worker gives no sign of life; it is replaced")
            self._beaten = now
            self.kill_workers(signal.SIGKILL)

    def _look_at_certificate(self) -> None:
        """Say in time that it ends: who is asked by nobody that watches hears of it nowhere else."""
        ends_at = self.app.settings.tls_ends_at
        stage = 0 if ends_at is None else certificate.stage(ends_at, time.time())
        if stage > (self._told[1] if self._told[0] == ends_at else 0):
            day = time.strftime("%Y-%m-%d", time.localtime(ends_at))
            remedy = "make a new one with monitoringctl enroll, on the machine that watches"
            log.warning("the certificate of this agent (TLS_CERT) ends on %s; %s", day, remedy)
        self._told = (ends_at, stage)

    def _announce(self) -> None:
        where = ", ".join(self.app.cfg.settings["bind"].get())
        log.info("serving at %s", where)
        self._notifier.ready(f"Serving at {where}")

    def handle_term(self) -> None:
        """SIGTERM."""
        self._notifier.stopping()
        self.app.leave_word()
        super().handle_term()

    def reload(self) -> None:
        """SIGHUP: take the new settings if they are right. Only another AGENT_LISTEN needs a new worker."""
        self._notifier.reloading()
        try:
            settings = agent_settings.load(self.app.config)
            if settings.listen != self.app.settings.listen:
                self._listen_elsewhere(settings)
            else:
                self.app.take(settings)
                self._have_the_worker_settle()
        except BadSettings as error:
            for mistake in error.mistakes:
                log.error("not reloaded: %s", mistake)
        else:
            for doubt in settings.doubts:
                log.warning("%s", doubt)
            log.info("settings reloaded")
        self._announce()

    def _have_the_worker_settle(self) -> None:
        """Tell the worker of the new settings, and wait until it has them: whoever reloads may rely on that."""
        before = self.app.heartbeat.settled
        self.kill_workers(signal.SIGUSR1)
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.WORKERS and self.app.heartbeat.settled == before:
            if time.monotonic() > deadline:
                log.warning("the worker has not taken the new settings within %g seconds", SETTLE_SECONDS)
                return
            time.sleep(0.002)

    def _listen_elsewhere(self, settings: Settings) -> None:
        """Change the sockets. Raises BadSettings if the new ones cannot be had; then the old ones are back.

        An address that is kept, or covers one that was, is free only when the worker that has it is gone.
        """
        before = self.app.settings
        unbindable(settings, besides=before)
        self._end_workers()
        close_sockets(self.LISTENERS)
        try:
            unbindable(settings)
            self.app.take(settings)
        except BadSettings:
            self.app.take(before)
            raise
        finally:
            self.app.reload()
            self.setup(self.app)
            self.LISTENERS: list[Any] = create_sockets(self.cfg, self.log)
            self.manage_workers()

    def _end_workers(self) -> None:
        self.num_workers = 0
        self.kill_workers(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.WORKERS and time.monotonic() < deadline:
            time.sleep(0.05)
            self.reap_workers()
        self.kill_workers(signal.SIGKILL)
        while self.WORKERS and time.monotonic() < deadline + GRACE_SECONDS:
            time.sleep(0.05)
            self.reap_workers()

    def spawn_worker(self) -> Any:
        """Fork a worker, which has its time to begin.

        What is in memory by now stays shared: the garbage collector would touch, and so copy, every page.
        """
        self._beaten = time.monotonic()
        gc.collect()
        gc.freeze()
        allocator.trim()
        allocator.let_go_of_files()
        return super().spawn_worker()


def pause_seconds(notifier: Notifier) -> float:
    """How long a pause may be, so that systemd hears of us several times within its own limit."""
    return min(PAUSE_SECONDS, (notifier.watchdog_seconds or 60.0) / 4)


def unbindable(settings: Settings, besides: Settings | None = None) -> None:
    """Raise BadSettings if the listen addresses cannot be had together. Ports that `besides` has are not tried."""
    mistakes = []
    taken = {at.port for at in besides.listen} if besides else set()
    with contextlib.ExitStack() as kept:
        for at in settings.listen:
            if at.port in taken:
                continue
            try:
                probe = socket.socket(socket.AF_INET6 if ":" in at.host else socket.AF_INET, socket.SOCK_STREAM)
                kept.enter_context(probe)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((at.host, at.port or 0))
                probe.listen()
            except OSError as error:
                name = address.join(at.host, at.port or 0)
                remedy = f"see who has it with: ss -ltnp 'sport = :{at.port}'"
                if error.errno == errno.EADDRNOTAVAIL:
                    remedy = "no interface of this machine has the address"
                mistakes.append(f"AGENT_LISTEN: {name} cannot be listened at: {error.strerror}; {remedy}")
    if mistakes:
        raise BadSettings(mistakes)
