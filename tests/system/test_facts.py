"""What the installed and confined agent says of the machine beside numbers; and its last word."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from monitoring_agent.collectors.registry import collectors

from . import roots
from .conftest import Installation
from .machine import Machine, boot
from .watching import ask, main_pid


def report(machine: Machine) -> dict[str, Any]:
    status, body = ask(machine, "/getmetrics", token=True)
    if status != 200:
        return {}
    document: dict[str, Any] = json.loads(body)
    return document


def whole_report(machine: Machine) -> dict[str, Any]:
    """A report to which every collector has contributed."""
    names = {collector.name for collector in collectors()}

    def whole() -> dict[str, Any] | None:
        said = report(machine)
        return said if set(said.get("collectors", {})) == names else None

    return machine.wait_until(whole, 60, "every collector has run")


def test_no_collector_fails_in_the_sandbox(machine: Machine) -> None:
    failing = {name: one for name, one in whole_report(machine)["collectors"].items() if not one["ok"]}
    assert failing == {}


def test_the_machine_s_identity_is_the_one_that_systemd_derives(machine: Machine) -> None:
    application = "b3a9c8a52f0e4c539a514f4d0a6f7e21"
    derived = machine.run(f"systemd-id128 machine-id --app-specific={application}")
    assert whole_report(machine)["host"]["machine_id"] == derived
    assert machine.run("cat /etc/machine-id") not in json.dumps(whole_report(machine))


def test_the_kind_of_machine_is_the_one_that_systemd_detects(machine: Machine) -> None:
    detected = machine.run("systemd-detect-virt")
    assert whole_report(machine)["host"]["virtualization"] == detected == "systemd-nspawn"


def test_units_are_counted_and_failed_ones_named_as_systemctl_does(machine: Machine) -> None:
    machine.run("systemd-run --unit=doomed /bin/false; sleep 1; systemctl is-failed doomed", timeout=30)
    machine.wait_until(
        lambda: "doomed.service" in report(machine).get("units", {}).get("failed", {}), 40, "the failed unit is named"
    )
    failed = machine.run("systemctl list-units --all --failed --plain --no-legend | wc -l")
    assert report(machine)["units"]["states"]["failed"] == int(failed)
    machine.run("systemctl reset-failed doomed")


def test_units_in_each_state_are_as_many_as_systemctl_says(machine: Machine) -> None:
    def by_systemctl() -> dict[str, int]:
        lines = machine.run("systemctl list-units --all --plain --no-legend --full").splitlines()
        return Counter(line.split()[2] for line in lines)

    def the_same() -> bool:
        before, said, after = by_systemctl(), report(machine).get("units", {}).get("states", {}), by_systemctl()
        return bool(said) and before == after == Counter({state: count for state, count in said.items() if count})

    machine.wait_until(the_same, 40, "both count the same")


def test_restarts_of_a_service_are_told_within_a_minute_and_as_systemctl_counts_them(machine: Machine) -> None:
    def by_systemctl() -> int:
        return int(machine.run("systemctl show --value -p NRestarts phoenix"))

    whole_report(machine)
    machine.run("systemd-run --unit=phoenix -p Restart=always -p RestartSec=12 sh -c 'sleep 1; exit 1'")

    def told() -> int:
        count: int = report(machine).get("restarts", {}).get("phoenix.service", {}).get("restarts_total", 0)
        return count

    machine.wait_until(told, 60, "a restart is told")
    first = told()
    machine.wait_until(lambda: told() > first, 60, "more restarts are told")
    assert told() <= by_systemctl() <= told() + 3
    machine.run("systemctl stop phoenix")


def test_the_top_five_by_traffic_say_that_they_are_of_the_agent_s_own_user_alone(machine: Machine) -> None:
    machine.wait_until(lambda: "top_io" in report(machine).get("processes", {}), 40, "processes were looked at twice")
    said = report(machine)["processes"]
    assert said["top_io_scope"] == "own"
    assert {one["user"] for one in said["top_io"].values()} <= {"_monitoring-agent"}
    assert "root" in {one["user"] for one in said["top_memory"].values()}


def previous(machine: Machine) -> Any:
    return machine.wait_until(lambda: report(machine), 20, "the agent answers")["agent"].get("previous")


def test_a_stop_and_a_crash_are_told_apart_afterwards(own_machine: Machine) -> None:
    own_machine.run("systemctl restart monitoring-agent")
    assert previous(own_machine)["end"] == "service_stopped"
    own_machine.run(f"kill -9 {main_pid(own_machine, 'monitoring-agent')}")
    own_machine.wait_until(lambda: previous(own_machine) == {"end": "agent_crashed"}, 20, "the crash is told")


def test_the_end_of_the_machine_is_told_after_it_is_up_again(installation: Installation) -> None:
    layer = Path(tempfile.mkdtemp(prefix="monitoring-rebooted-", dir="/var/tmp"))
    try:
        with boot(installation.layers, keep=layer) as machine:
            previous(machine)
        with boot([layer, *installation.layers]) as machine:
            assert previous(machine)["end"] == "machine_going_down"
    finally:
        roots.remove(layer)
