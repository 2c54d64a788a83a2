"""The agent's command: gunicorn with our settings, our arbiter and our worker."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import monitoring_agent.lean  # noqa: F401  before gunicorn and Flask themselves

# isort: split
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from monitoring_agent import allocator, goodbye, heads
from monitoring_agent import settings as agent_settings
from monitoring_agent.access import Access
from monitoring_agent.app import Service, create_app
from monitoring_agent.arbiter import (
    GRACE_SECONDS,
    SIGN_OF_LIFE_SECONDS,
    AgentArbiter,
    Heartbeat,
    pause_seconds,
    unbindable,
)
from monitoring_agent.host import Host
from monitoring_agent.settings import Settings
from monitoring_agent.shared import address, journal, wire
from monitoring_agent.shared.env import BadSettings
from monitoring_agent.shared.keys import EX_CONFIG
from monitoring_agent.shared.systemd import Notifier

log = logging.getLogger("monitoring_agent")

EX_UNAVAILABLE = 69  # sysexits.h

THREADS = 8
KEEP_ALIVE_SECONDS = 75


class AgentLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages in our log; its chatter about starting and stopping only when debugging."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn for each new configuration."""
        self.error_log.propagate = True
        self.error_log.setLevel(logging.DEBUG if cfg.loglevel == "debug" else logging.WARNING)
        self.access_log.disabled = True


class AgentApplication(BaseApplication):  # type: ignore[misc]
    """What gunicorn asks for its configuration and its WSGI application."""

    def __init__(self, config: Path | None, settings: Settings, pause_seconds: float) -> None:
        self.config = config
        self.pause_seconds = pause_seconds
        self.settings = settings
        self.service = Service(Access(settings.allow, settings.tokens), tls=settings.tls)
        self.service.terms = _terms(settings)
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
            "timeout": SIGN_OF_LIFE_SECONDS,
            "graceful_timeout": GRACE_SECONDS,
            # The worker has a limit of its own; gunicorn 20.1 and 23 would go round in circles at theirs.
            "worker_connections": 100_000,
            "keepalive": KEEP_ALIVE_SECONDS,
            "preload_app": True,
            "worker_tmp_dir": "/dev/shm",
            "limit_request_line": heads.MAX_LINE_BYTES,
            "limit_request_fields": heads.MAX_FIELDS,
            "limit_request_field_size": heads.MAX_FIELD_BYTES,
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
        self.service.access = Access(settings.allow, settings.tokens)
        self.service.tls = settings.tls
        self.service.terms = _terms(settings)
        logging.getLogger().setLevel(settings.log_level.upper())
        self.callable = None  # the application with its paths is made anew

    def renew(self) -> None:
        """In the worker, on a reload that needs no new one: take everything but AGENT_LISTEN from the file."""
        try:
            self.take(agent_settings.load(self.config))
        except BadSettings as error:
            log.error("the settings changed again while they were read: %s", error)


def _terms(settings: Settings) -> tuple[object, ...]:
    """Who is let in, and with which certificates."""
    return settings.allow, settings.tls_fingerprint


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
    for doubt in settings.doubts:
        log.warning("%s", doubt)
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
    allocator.be_thrifty()
    application = AgentApplication(arguments.config, settings, pause_seconds(notifier))
    application.begin_life()
    AgentArbiter(application, notifier).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
