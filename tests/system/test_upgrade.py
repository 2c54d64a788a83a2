"""The package over time: upgraded, installed again, removed, purged."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import Machine
from .watching import SETTINGS, STATE, ask, main_pid, state, supervise

DEB = "/root/monitoring-agent.deb"


@pytest.fixture(scope="session")
def newer_deb(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package with a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", deb, folder / "tree"], check=True)
    control = folder / "tree/DEBIAN/control"
    text = control.read_text()
    version = next(line for line in text.splitlines() if line.startswith("Version: "))
    control.write_text(text.replace(version, f"{version}+next"))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / "tree", folder / "newer.deb"], check=True)
    return folder / "newer.deb"


@pytest.fixture
def upgradable(own_machine: Machine, newer_deb: Path) -> Iterator[Machine]:
    """A machine with the package installed, and a newer one at hand as /root/newer.deb."""
    own_machine.copy_in(newer_deb, "/root/newer.deb")
    own_machine.wait_until(lambda: main_pid(own_machine, "monitoring-agent") != 0, 10, "the agent runs")
    yield own_machine


def test_an_upgrade_restarts_both_daemons_of_a_watching_machine(upgradable: Machine) -> None:
    supervise(upgradable)
    before = {unit: main_pid(upgradable, unit) for unit in ("monitoring-agent", "monitoring-supervisor")}
    upgradable.run("apt install -y /root/newer.deb")
    assert upgradable.run("dpkg-query -W -f '${Version}' monitoring-agent").endswith("+next")
    for unit, pid in before.items():
        assert upgradable.show(unit, "ActiveState") == "active"
        assert main_pid(upgradable, unit) not in {0, pid}
    assert state(upgradable) == "up"
    health = json.loads(ask(upgradable, "/healthcheck", token=True)[1])
    assert health["previous"]["end"] == "package_upgrade"
    assert upgradable.attempt("test -e /run/monitoring-agent.upgrade").returncode != 0


def test_an_upgrade_leaves_a_disabled_supervisor_stopped(upgradable: Machine) -> None:
    upgradable.run("apt install -y /root/newer.deb")
    assert upgradable.show("monitoring-supervisor", "ActiveState") == "inactive"
    assert upgradable.attempt("systemctl is-enabled monitoring-supervisor").stdout.strip() == "disabled"
    assert upgradable.show("monitoring-agent", "ActiveState") == "active"


def test_an_upgrade_respects_a_masked_or_disabled_agent(upgradable: Machine) -> None:
    upgradable.run("systemctl disable --now monitoring-agent && systemctl mask monitoring-supervisor")
    upgradable.run("apt install -y /root/newer.deb")
    assert upgradable.attempt("systemctl is-enabled monitoring-agent").stdout.strip() == "disabled"
    assert upgradable.attempt("systemctl is-enabled monitoring-supervisor").stdout.strip() == "masked"
    for unit in ("monitoring-agent", "monitoring-supervisor"):
        assert upgradable.show(unit, "ActiveState") == "inactive"


def test_neither_upgrade_nor_downgrade_nor_reinstallation_touches_what_the_administrator_made(
    upgradable: Machine,
) -> None:
    upgradable.run(f"echo LOG_LEVEL=warning >{SETTINGS} && chmod 0600 {SETTINGS}")
    upgradable.run("chgrp _monitoring /etc/monitoring/monitoring.env && chmod 0640 /etc/monitoring/monitoring.env")
    looks = f"sha256sum {SETTINGS} /etc/monitoring/token; stat -c '%a %U:%G' {SETTINGS} /etc/monitoring/token"
    before = upgradable.run(looks)
    for step in ("/root/newer.deb", f"--allow-downgrades {DEB}", f"--reinstall {DEB}"):
        upgradable.run(f"apt install -y {step}")
        assert upgradable.run(looks) == before


def test_removal_stops_both_daemons_and_keeps_settings_token_and_state(own_machine: Machine) -> None:
    supervise(own_machine)
    kept = f"{SETTINGS} /etc/monitoring/token {STATE}"
    pids = [main_pid(own_machine, unit) for unit in ("monitoring-agent", "monitoring-supervisor")]
    own_machine.run("apt remove -y monitoring-agent")
    for pid in pids:
        assert own_machine.attempt(f"test -d /proc/{pid}").returncode == 1
    own_machine.run(f"ls {kept}")
    assert own_machine.attempt("test -e /usr/bin/monitoring-supervisor").returncode == 1

    token = own_machine.run("cat /etc/monitoring/token")
    own_machine.run(f"apt install -y {DEB}")
    assert own_machine.run("cat /etc/monitoring/token") == token
    assert own_machine.show("monitoring-agent", "ActiveState") == "active"
    assert own_machine.show("monitoring-supervisor", "ActiveState") == "active", "it was enabled, and still is"


def test_a_purge_leaves_nothing_but_the_users(own_machine: Machine) -> None:
    supervise(own_machine)
    own_machine.run(f"rm {DEB} && apt purge -y monitoring-agent")
    left = own_machine.run("find / -xdev -name '*monitoring*' -not -path '/var/lib/apt/*'")
    assert left == ""
    assert own_machine.run("systemctl list-units --all --plain --no-legend 'monitoring*'") == ""
    assert own_machine.run("getent passwd _monitoring-agent _monitoring-supervisor").count("\n") == 1


def test_a_purge_keeps_files_of_the_administrator(own_machine: Machine) -> None:
    own_machine.run("echo 10.0.0.7 >/etc/monitoring/agents && apt purge -y monitoring-agent")
    assert own_machine.run("ls /etc/monitoring") == "agents"
