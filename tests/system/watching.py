"""What an administrator does with the two daemons and looks at, in a few words for the tests."""

from typing import Any

from .machine import Machine

STATE = "/var/lib/monitoring/metrics_data.json"
SETTINGS = "/etc/monitoring/monitoring.env"
AGENT = "127.0.0.1:5000"
DAEMONS = ("monitoring-agent", "monitoring-supervisor")


def supervise(machine: Machine, settings: str = "") -> None:
    """Both daemons run with these settings, and the supervisor, which knew nothing before, has had its answers."""
    machine.run(f"cat >{SETTINGS}", stdin=settings.encode())
    machine.run(f"systemctl stop monitoring-supervisor && rm -f {STATE}")
    machine.run("systemctl restart monitoring-agent && systemctl enable --now monitoring-supervisor")
    machine.wait_until(lambda: state(machine) == "up", 10, "the agent is up")
    machine.wait_until(lambda: about(machine)["last_health"] and about(machine)["report"], 10, "it said all it can")


def snapshot(machine: Machine) -> dict[str, Any]:
    """The state of the fleet as it is saved now."""
    document: dict[str, Any] = machine.read_json(STATE)
    return document


def about(machine: Machine, agent: str = AGENT) -> dict[str, Any]:
    """What is known of one agent."""
    known: dict[str, Any] = snapshot(machine)["agents"][agent]
    return known


def state(machine: Machine, agent: str = AGENT) -> str:
    """The state of one agent, or `unknown` as long as nothing is saved of it."""
    if machine.attempt(f"test -e {STATE}").returncode != 0:
        return "unknown"
    return str(snapshot(machine)["agents"].get(agent, {}).get("state", "unknown"))


def ask(machine: Machine, path: str, token: bool = False, port: int = 5000) -> tuple[int, str]:
    """The status and body of the agent's answer; status 0 if there was none."""
    header = '-H "Authorization: Bearer $(cat /etc/monitoring/token)"' if token else ""
    curl = f"curl -s --max-time 3 -w '\\n%{{http_code}}' {header}"
    body, _, status = machine.attempt(f"{curl} http://127.0.0.1:{port}{path}").stdout.rpartition("\n")
    return int(status), body


def main_pid(machine: Machine, unit: str) -> int:
    """The process that systemd watches; 0 if the unit does not run."""
    return int(machine.show(unit, "MainPID"))


def restarts(machine: Machine, unit: str) -> int:
    """How often systemd restarted the unit by itself."""
    return int(machine.show(unit, "NRestarts"))
