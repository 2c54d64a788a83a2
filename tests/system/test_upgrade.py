"""What an upgrade does to each unit in each state; and what a purge does to the administrator's files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .machine import Machine
from .versions import OLDER, older, script_of, variant
from .watching import DAEMONS, ask, main_pid

AGENT, SUPERVISOR = DAEMONS
MARK = "/run/monitoring-agent.upgrade"
TOKEN = "/etc/monitoring/token"

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


def test_an_upgrade_starts_an_enabled_supervisor_that_was_stopped(machine: Machine, upgrade: Upgrade) -> None:
    """As with every daemon in Debian: debhelper's scripts have deb-systemd-invoke restart what is enabled.

    Enabled means that it is to run: one that failed, or was stopped for a moment, comes back with the upgrade. Whoever
    wants it to stay stopped disables or masks it.
    """
    machine.run(f"systemctl enable {SUPERVISOR}")
    assert states(machine, SUPERVISOR) == ("enabled", "inactive")
    upgrade()
    assert states(machine, SUPERVISOR) == ("enabled", "active")
    machine.run(f"systemctl disable --now {SUPERVISOR}")


def test_an_upgrade_respects_a_disabled_agent_and_a_masked_supervisor(machine: Machine, upgrade: Upgrade) -> None:
    machine.run(f"systemctl disable --now {AGENT} && systemctl mask {SUPERVISOR}")
    upgrade()
    assert states(machine, AGENT) == ("disabled", "inactive")
    assert states(machine, SUPERVISOR) == ("masked", "inactive")
    machine.run(f"systemctl unmask {SUPERVISOR} && systemctl enable --now {AGENT}")


def status(machine: Machine) -> str:
    """How far dpkg came with the package."""
    return machine.run("dpkg-query -W -f '${db:Status-Status}' monitoring-agent")


def last_end(machine: Machine) -> str:
    """Why the agent's life before this one ended, as it says itself."""
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 15, "the agent answers")
    return str(json.loads(ask(machine, "/healthcheck", token=True)[1])["previous"]["end"])


def test_an_upgrade_heals_the_one_before_whose_scripts_of_an_older_version_ended_half_way(
    machine: Machine, deb: Path, upgrade: Upgrade, tmp_path: Path
) -> None:
    machine.copy_in(older(deb, tmp_path), "/root/older.deb")
    machine.run("apt install -y --allow-downgrades /root/older.deb")
    # It has the mark made before, by prerm, and removed at the end of a postinst that does not come so far.
    scripts = {"prerm": (OLDER / "prerm").read_text(), "postinst": "#!/bin/sh\nexit 1\n"}
    machine.copy_in(variant(deb, tmp_path, "~older2", scripts=scripts), "/root/failing.deb")
    assert machine.attempt("apt install -y /root/failing.deb").returncode != 0
    assert status(machine) == "half-configured"
    machine.run(f"test -e {MARK}")

    upgrade()
    assert status(machine) == "installed"
    assert last_end(machine) == "package_upgrade"
    assert machine.attempt(f"test -e {MARK}").returncode == 1
    machine.run(f"systemctl restart {AGENT}")
    assert last_end(machine) == "service_stopped"


@pytest.mark.parametrize(("number", "ends", "leaves_mark"), [(1, "exit 1", False), (2, "kill -KILL $$", True)])
def test_a_stop_after_an_upgrade_that_failed_is_no_upgrade(
    machine: Machine, deb: Path, tmp_path: Path, upgrade: Upgrade, number: int, ends: str, leaves_mark: bool
) -> None:
    postinst = script_of(deb, "postinst").replace('touch "$upgrade"\n', f'touch "$upgrade"\n{ends}\n')
    machine.copy_in(variant(deb, tmp_path, f"+failing{number}", scripts={"postinst": postinst}), "/root/failing.deb")
    assert machine.attempt("apt install -y --allow-downgrades /root/failing.deb").returncode != 0
    assert status(machine) == "half-configured"
    assert (machine.attempt(f"test -e {MARK}").returncode == 0) == leaves_mark
    if leaves_mark:
        machine.run(f"touch -d '6 minutes ago' {MARK}")
    machine.run(f"systemctl restart {AGENT}")
    assert last_end(machine) == "service_stopped"
    upgrade()
    assert last_end(machine) == "package_upgrade"
    assert machine.attempt(f"test -e {MARK}").returncode == 1


def test_without_a_token_an_installation_fails_and_says_why_and_is_completed_later(machine: Machine, deb: Path) -> None:
    machine.run("apt purge -y monitoring-agent")
    machine.run("mkdir /root/broken && printf '#!/bin/sh\nexit 1\n' >/root/broken/od && chmod +x /root/broken/od")
    tried = machine.attempt("PATH=/root/broken:$PATH dpkg --install /root/monitoring-agent.deb")
    assert tried.returncode != 0
    assert "no token could be made" in tried.stdout + tried.stderr
    assert machine.attempt(f"ls {TOKEN} {TOKEN}.new").stdout == ""
    machine.run("dpkg --configure -a")
    assert machine.run(f"wc -c <{TOKEN}") == "65"
    assert states(machine, AGENT) == ("enabled", "active")


def test_a_purge_keeps_files_of_the_administrator(machine: Machine) -> None:
    machine.run("echo 10.0.0.7 >/etc/monitoring/agents && apt purge -y monitoring-agent")
    assert machine.run("ls /etc/monitoring") == "agents"
