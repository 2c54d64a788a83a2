"""The units of systemd: how many in which state, the failed ones by name, and how often services were restarted.

Asked with systemctl(1), which any user may.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable

from monitoring_agent.collectors import sysfs
from monitoring_agent.collectors.commands import output
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

DEADLINE_SECONDS = 10.0
# Where systemd says which life of each running unit is the present one: a link of the unit's name to a number, made
# anew at each start and taken away at the end (unit_export_invocation_id() in its unit.c). Anyone may look.
LIVES = "/run/systemd/units"
# How often all services are asked for their restarts whatever their lives were: reset-failed changes nothing else.
ASK_ALL_SECONDS = 300.0
MOST_NAMES = 30  # of services that are asked by name
STATES = ("active", "reloading", "inactive", "failed", "activating", "deactivating")

METRICS = (
    Metric("states.*", "units in this state", "systemctl list-units", "node_systemd_units", (("state", "*"),)),
    Metric("failed.*", "a unit that failed: how it is loaded, and in which way it failed", "systemctl list-units",
           "node_systemd_unit_state", (("name", "*"), ("state", "failed"))),
)  # fmt: skip
RESTARTS_METRICS = (
    Metric(
        "*.restarts_total",
        "automatic restarts of a service since it was started by hand",
        "systemctl show",
        "node_systemd_service_restart_total",
        (("name", "*"),),
    ),
)


def collect(host: Host) -> Sample:
    """`{states: {active: 120, failed: 1, …}, failed: {"nginx.service": "loaded, exited"}}`; empty without systemd."""
    if not _booted(host):
        return {}
    return parse(_systemctl("list-units", "--all", "--plain", "--no-legend", "--full"))


def parse(text: str) -> Sample:
    """Lines of name, how it is loaded, whether it is active, the finer state, and a description."""
    states = Counter(dict.fromkeys(STATES, 0))
    failed: Sample = {}
    for line in text.splitlines():
        columns = line.split(None, 4)
        if len(columns) < 4:
            continue
        states[columns[2]] += 1
        if columns[2] == "failed":
            failed[printable(columns[0])] = f"{columns[1]}, {columns[3]}"
    return {"states": dict(states), "failed": failed}


class Restarts:
    """The collector. Each service costs systemd a third of a millisecond: it is asked for those that began or ended."""

    def __init__(
        self, show: Callable[[list[str]], str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show = show or (lambda names: _systemctl("show", "--property=Id,NRestarts", "--", *names))
        self._clock = clock
        self._asked_all = -ASK_ALL_SECONDS
        self._changed_at = 0  # when the directory was changed, as it was seen last
        self._lives: dict[str, str] = {}
        self._counts: Sample = {}

    def collect(self, host: Host) -> Sample:
        """`{"nginx.service": {restarts_total: 3}}` for each service that was ever restarted; empty without systemd."""
        if not _booted(host):
            return {}
        status = host.stat(LIVES)
        changed_at = status.st_mtime_ns if status else 0
        lives = _lives(host)
        others = {name for name in lives.keys() | self._lives.keys() if lives.get(name) != self._lives.get(name)}
        # One that began and ended since the last look leaves no trace but that the directory was changed.
        unseen = changed_at != self._changed_at and not others
        if unseen or len(others) > MOST_NAMES or self._clock() - self._asked_all >= ASK_ALL_SECONDS:
            self._counts = parse_restarts(self._show(["*.service"]))
            self._asked_all = self._clock()
        elif others:
            known = {name: count for name, count in self._counts.items() if name not in others}
            self._counts = known | parse_restarts(self._show(sorted(others)))
        self._changed_at, self._lives = changed_at, lives
        return self._counts


def _lives(host: Host) -> dict[str, str]:
    """The present life of each service that runs."""
    lives: dict[str, str] = {}
    for link in sysfs.names(host, LIVES, r"invocation:.*\.service$"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            lives[link.partition(":")[2]] = os.readlink(host.path(f"{LIVES}/{link}"))
    return lives


def parse_restarts(text: str) -> Sample:
    """Blocks of `Id=` and `NRestarts=` lines, an empty line between two."""
    sample: Sample = {}
    for block in text.split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        count = properties.get("NRestarts", "")
        if count.isdigit() and int(count) and "Id" in properties:
            sample[printable(properties["Id"])] = {"restarts_total": int(count)}
    return sample


def _booted(host: Host) -> bool:
    """As sd_booted(3)."""
    return host.exists("/run/systemd/system")


def _systemctl(*arguments: str) -> str:
    return output("systemctl", "--no-pager", "--no-ask-password", *arguments, deadline_seconds=DEADLINE_SECONDS)
