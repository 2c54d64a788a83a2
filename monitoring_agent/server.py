"""The agent's command: gunicorn with our settings, our worker, and an honest word to systemd."""

import argparse
import contextlib
import errno
import gc
import logging
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.sock import close_sockets, create_sockets

from monitoring_agent import goodbye
from monitoring_agent import settings as agent_settings
from monitoring_agent.access import Access
from monitoring_agent.app import Service, create_app
from monitoring_agent.host import Host
from monitoring_agent.settings import Settings
from monitoring_agent.shared import address, journal, wire
from monitoring_agent.shared.env import BadSettings
from monitoring_agent.shared.keys import EX_CONFIG
from monitoring_agent.shared.systemd import Notifier

log = logging.getLogger("monitoring_agent")

EX_UNAVAILABLE = 69  # sysexits.h

THREADS = 8
WORKER_TIMEOUT_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 2
# How often the arbiter looks at the worker. A death wakes it up at once; gunicorn's every second would only cost.
LOOK_SECONDS = 3.0


class Heartbeat:
    """A counter in memory that the worker shares with its arbiter."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def beat(self) -> None:
        """One more. Only the worker calls this."""
        struct.pack_into("Q", self._memory, 0, self.count + 1)

    @property
    def count(self) -> int:
        return int(struct.unpack_from("Q", self._memory)[0])


class AgentLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages in our log; its chatter about starting and stopping only when debugging."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn for each new configuration."""
        self.error_log.propagate = True
        self.error_log.setLevel(logging.DEBUG if cfg.loglevel == "debug" else logging.WARNING)
        self.access_log.disabled = True


class AgentApplication(BaseApplication):  # type: ignore[misc]
    """What gunicorn asks for its configuration and its WSGI application."""

    def __init__(self, config: Path | None, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.service = Service(Access(settings.allow, settings.token))
        self.heartbeat = Heartbeat()
        state = os.environ.get("STATE_DIRECTORY")  # systemd made it for the unit (systemd.exec(5))
        self._state = Path(state) if state else None
        self._boot_id = (Host().read_if_there("/proc/sys/kernel/random/boot_id") or "").strip()
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn the settings that are in force."""
        wanted = {
            "bind": [address.join(at.host, at.port or 0) for at in self.settings.listen],
            "worker_class": "monitoring_agent.worker.AgentWorker",
            "workers": 1,
            "threads": THREADS,
            "timeout": WORKER_TIMEOUT_SECONDS,
            "graceful_timeout": GRACE_SECONDS,
            # The worker has a limit of its own; gunicorn 20.1 and 23 would go round in circles at theirs.
            "worker_connections": 100_000,
            "keepalive": KEEP_ALIVE_SECONDS,
            "preload_app": True,
            "worker_tmp_dir": "/dev/shm",
            "limit_request_line": 2048,
            "limit_request_fields": 32,
            "limit_request_field_size": 4096,
            "logger_class": AgentLogger,
            "loglevel": self.settings.log_level,
            "proc_name": "monitoring-agent",
            "control_socket_disable": True,
        }
        for name, value in wanted.items():
            if name in self.cfg.settings:  # gunicorn before 25 has no control socket
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application, made in the arbiter and inherited by the worker."""
        return create_app(self.service, self.settings.health_path, self.settings.metrics_path)

    def begin_life(self) -> None:
        """Find out how the life before ended; where there is a directory to keep such things in."""
        if self._state is None:
            return
        try:
            self.service.previous = goodbye.begin(self._state, self._boot_id)
        except OSError as error:
            log.warning("whether this is a planned restart cannot be kept in %s: %s", self._state, error)
            self._state = None

    def leave_word(self) -> None:
        """Say why this life ends, for the next one to tell."""
        if self._state is None:
            return
        try:
            log.info("stopped: %s", goodbye.end(self._state, self._boot_id, time.time()).replace("_", " "))
        except OSError as error:
            log.warning("no word could be left in %s: %s", self._state, error)

    def take(self, settings: Settings) -> None:
        """Make these the settings in force."""
        self.settings = settings
        self.service.access = Access(settings.allow, settings.token)
        logging.getLogger().setLevel(settings.log_level.upper())
        self.callable = None  # the application with its paths is made anew

    def renew(self) -> None:
        """In the worker, on a reload that needs no new one: take everything but AGENT_LISTEN from the file."""
        try:
            self.take(agent_settings.load(self.config))
        except BadSettings as error:
            log.error("the settings changed again while they were read: %s", error)


class AgentArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which tells systemd READY when a worker serves, and WATCHDOG while its heart beats."""

    def __init__(self, app: AgentApplication, notifier: Notifier) -> None:
        super().__init__(app)
        self._notifier = notifier
        self._beats = 0
        self._beaten = time.monotonic()
        self._ready = False

    def sleep(self) -> None:
        """gunicorn's pause between two looks at the worker, until version 23: a second, or until a signal."""
        if not self._ready or select.select([self.PIPE[0]], [], [], LOOK_SECONDS)[0]:
            super().sleep()

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        """The same in gunicorn 27."""
        return super().wait_for_signals(timeout=LOOK_SECONDS if self._ready else timeout)

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
        elif now - self._beaten > WORKER_TIMEOUT_SECONDS and self.WORKERS:
            log.error("the worker gives no sign of life; it is replaced")
            self._beaten = now
            self.kill_workers(signal.SIGKILL)

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
                self.kill_workers(signal.SIGUSR1)
        except BadSettings as error:
            for mistake in error.mistakes:
                log.error("not reloaded: %s", mistake)
        else:
            log.info("settings reloaded")
        self._announce()

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
        return super().spawn_worker()


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


def main() -> int:
    """The command `monitoring-agent`."""
    parser = argparse.ArgumentParser(prog="monitoring-agent", description="Samples this machine and answers for it.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the settings file (default: .env, else /etc/…)")
    parser.add_argument("--check", action="store_true", help="check the settings and exit: 0 right, 78 wrong")
    parser.add_argument("--version", action="version", version=wire.VERSION)
    arguments = parser.parse_args()
    journal.set_up("agent")
    try:
        settings = agent_settings.load(arguments.config)
    except BadSettings as error:
        for mistake in error.mistakes:
            log.error("%s", mistake)
        return EX_CONFIG
    if arguments.check:
        return 0
    journal.set_up("agent", settings.log_level)
    try:
        unbindable(settings)
    except BadSettings as error:
        for mistake in error.mistakes:
            log.error("%s", mistake)
        return EX_UNAVAILABLE
    notifier = Notifier()
    os.environ.pop("PORT", None)  # gunicorn would listen there instead
    application = AgentApplication(arguments.config, settings)
    application.begin_life()
    AgentArbiter(application, notifier).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
