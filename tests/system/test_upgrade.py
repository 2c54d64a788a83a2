"""What an upgrade does to each unit in each state; and what a purge does to the administrator's files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .machine import Machine
from .versions import variant
from .watching import DAEMONS, main_pid

AGENT, SUPERVISOR = DAEMONS

Upgrade = Callable[[], None]


@pytest.fixture(scope="module")
def upgrade(machine: Machine, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """Installs a newer version each time it is called."""
    folder = tmp_path_factory.mktemp("newer")
    count = 0

    def install() -> None:
        nonlocal count
        count += 1
        machine.copy_in(variant(deb, folder, f"+next{count}"), "/root/newer.deb")
        machine.run("apt install -y /root/newer.deb")
        assert machine.run("dpkg-query -W -f '${Version}' monitoring-agent").endswith(f"+next{count}")

    return install


def states(machine: Machine, unit: str) -> tuple[str, str]:
    """Whether it is enabled, and whether it runs."""
    return machine.attempt(f"systemctl is-enabled {unit}").stdout.strip(), machine.show(unit, "ActiveState")


def test_an_upgrade_leaves_a_disabled_supervisor_stopped(machine: Machine, upgrade: Upgrade) -> None:
    upgrade()
    assert states(machine, SUPERVISOR) == ("disabled", "inactive")
    assert states(machine, AGENT) == ("enabled", "active")


def test_an_upgrade_restarts_a_supervisor_that_runs_without_being_enabled(machine: Machine, upgrade: Upgrade) -> None:
    machine.run(f"systemctl start {SUPERVISOR}")
    before = main_pid(machine, SUPERVISOR)
    upgrade()
    assert states(machine, SUPERVISOR) == ("disabled", "active")
    assert main_pid(machine, SUPERVISOR) != before
    machine.run(f"systemctl stop {SUPERVISOR}")


def test_an_upgrade_respects_a_disabled_agent_and_a_masked_supervisor(machine: Machine, upgrade: Upgrade) -> None:
    machine.run(f"systemctl disable --now {AGENT} && systemctl mask {SUPERVISOR}")
    upgrade()
    assert states(machine, AGENT) == ("disabled", "inactive")
    assert states(machine, SUPERVISOR) == ("masked", "inactive")
    machine.run(f"systemctl unmask {SUPERVISOR} && systemctl enable --now {AGENT}")


def test_a_purge_keeps_files_of_the_administrator(machine: Machine) -> None:
    machine.run("echo 10.0.0.7 >/etc/monitoring/agents && apt purge -y monitoring-agent")
    assert machine.run("ls /etc/monitoring") == "agents"
