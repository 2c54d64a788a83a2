"""The units of systemd: how many in which state, the failed ones by name, and how often services were restarted.

Asked with systemctl(1), which any user may.
"""

from collections import Counter

from monitoring_agent.collectors.commands import output
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

DEADLINE_SECONDS = 10.0
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


def collect_restarts(host: Host) -> Sample:
    """`{"nginx.service": {restarts_total: 3}}` for every service that was ever restarted; empty without systemd."""
    if not _booted(host):
        return {}
    return parse_restarts(_systemctl("show", "--property=Id,NRestarts", "*.service"))


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
