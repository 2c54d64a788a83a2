"""The command `monitoring-supervisor`."""

import argparse
import asyncio
import gc
import logging
import os
import resource
import sys
from pathlib import Path

import uvloop

from monitoring_agent.shared import journal, wire
from monitoring_agent.shared.env import BadSettings
from monitoring_agent.shared.keys import EX_CONFIG
from monitoring_agent.shared.systemd import Notifier
from monitoring_supervisor import settings as supervisor_settings
from monitoring_supervisor import targets
from monitoring_supervisor.daemon import Supervisor
from monitoring_supervisor.fleet import Agent
from monitoring_supervisor.store import snapshot

log = logging.getLogger("monitoring_supervisor")

EX_CANTCREAT = 73  # sysexits.h

OWN_DESCRIPTORS = 64


def main() -> int:
    """Parse the command line, and supervise. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="monitoring-supervisor", description="Watches many agents.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the settings file (default: .env, else /etc/…)")
    parser.add_argument("--check", action="store_true", help="check the settings and exit: 0 right, 78 wrong")
    parser.add_argument("--version", action="version", version=wire.VERSION)
    arguments = parser.parse_args()
    journal.set_up("supervisor")
    try:
        settings = supervisor_settings.load(arguments.config)
        watched = targets.all_targets(settings.whitelist, settings.whitelist_file, settings.agent_port)
    except BadSettings as error:
        for mistake in error.mistakes:
            log.error("%s", mistake)
        return EX_CONFIG
    for doubt in settings.doubts:
        log.warning("%s", doubt)
    if arguments.check:
        return 0
    journal.set_up("supervisor", settings.log_level)
    try:
        known = _read_back(settings.metrics_file)
        snapshot.prove_writable(settings.metrics_file)
    except OSError as error:
        log.error("METRICS_FILE: %s cannot be used: %s", settings.metrics_file, error.strerror)
        return EX_CANTCREAT
    _raise_descriptor_limit(len(watched))

    async def supervise() -> None:
        await Supervisor(arguments.config, settings, watched, known, Notifier()).run()
        # At once: a name that is being looked up, or a file that is being read, in a thread must not hold up the end.
        logging.shutdown()
        os._exit(0)

    _favour_the_loop()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(supervise())
    return 0


def _favour_the_loop() -> None:
    """Have neither the garbage collector nor a thread that writes hold up the polls for long.

    With the reports of thousands of agents in memory, going through all objects takes a second, and finds nothing: what
    becomes garbage in cycles, of connections, is young. When the loop wakes up, a thread may go on for a millisecond.
    """
    gc.set_threshold(10_000, 50, 1000)
    sys.setswitchinterval(0.001)


def _raise_descriptor_limit(agents: int) -> None:
    """Have as many file descriptors as allowed, and say if that is not enough: one an agent, and some of our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            log.debug("the limit of file descriptors stays at %d", soft)  # the unit forbids it, and sets its own
    needed = agents + OWN_DESCRIPTORS
    if soft < needed:
        log.warning(
            "%d agents need %d file descriptors and only %d are allowed; set LimitNOFILE= of the unit, or ulimit -n",
            agents,
            needed,
            soft,
        )


def _read_back(path: Path) -> dict[str, Agent]:
    """What the supervisor knew when it last ended. A file that is no snapshot is set aside, not lost."""
    try:
        return snapshot.read(path)
    except snapshot.Damaged as damage:
        aside = snapshot.set_aside(path)
        log.warning("%s is damaged (%s); it is kept as %s, and all agents start as new", path, damage, aside)
        return {}


if __name__ == "__main__":
    sys.exit(main())
