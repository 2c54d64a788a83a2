"""The package itself, by Debian's own judges: lintian, systemd-analyze, and a second build."""

import json
import re
import subprocess

import pytest

from .conftest import CHECKOUT
from .machine import Machine
from .watching import ask

# In tenths, as `systemd-analyze security --threshold` counts: lower is tighter. What is left of the agent's score is
# what it measures with.
EXPOSURE = {"monitoring-agent": 15, "monitoring-supervisor": 11}

# Only Debian 12's lintian has this tag, for every package with a unit and no init script. An overrides file would
# be a mistake of its own for Debian 13's.
UNAVOIDABLE = "package-supports-alternative-init-but-no-init.d-script"


def test_lintian_has_nothing_to_say(machine: Machine) -> None:
    machine.run("apt install -y lintian")
    said = machine.run("lintian --allow-root --tag-display-limit 0 -EIL +pedantic /root/monitoring-agent.deb")
    assert [line for line in said.splitlines() if UNAVOIDABLE not in line] == []


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_unit_exposes_no_more_than_its_daemon_needs(machine: Machine, unit: str) -> None:
    path = machine.show(unit, "FragmentPath")
    machine.run(f"systemd-analyze security --offline=yes --threshold={EXPOSURE[unit]} {path}")


@pytest.mark.parametrize("unit", EXPOSURE)
def test_systemd_understands_every_line_of_a_unit(machine: Machine, unit: str) -> None:
    verified = machine.attempt(f"SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no {unit}.service")
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_sandbox_hides_nothing_that_the_agent_measures(machine: Machine) -> None:
    machine.run("mkdir -p /home/big && mount -t tmpfs -o size=123m tmpfs /home/big")
    machine.run("systemctl restart monitoring-agent")
    report = json.loads(ask(machine, "/getmetrics", token=True)[1])
    processes = len(machine.run("ps -e --no-headers").splitlines())
    assert abs(report["processes"]["processes"] - processes) <= 5
    assert set(report["network"]) == set(machine.run("ls /sys/class/net").split())
    root = int(machine.run("df --output=size -B1 / | tail -1"))
    assert report["filesystems"]["/"]["size_bytes"] == root
    assert report["filesystems"]["/home/big"]["size_bytes"] == 123 * 1024 * 1024
    assert not report["filesystems"]["/home/big"]["read_only"]
    assert all(collector["ok"] for collector in report["collectors"].values())
    machine.run("umount /home/big")


def test_the_daemons_can_neither_write_elsewhere_nor_run_what_they_wrote(machine: Machine) -> None:
    machine.run("systemctl start monitoring-supervisor")
    for unit, state in (("monitoring-agent", "/tmp"), ("monitoring-supervisor", "/var/lib/monitoring")):
        enter = f"nsenter -t {machine.show(unit, 'MainPID')} -m"
        assert "Read-only" in machine.attempt(f"{enter} touch /etc/monitoring/there /usr/there").stderr
        machine.run(f"{enter} cp /usr/bin/true {state}/true")
        assert "Permission denied" in machine.attempt(f"{enter} {state}/true").stderr
        machine.run(f"{enter} rm {state}/true")


def test_the_package_passes_its_own_tests_under_autopkgtest(machine: Machine) -> None:
    machine.run("apt install -y autopkgtest dpkg-dev")
    source = subprocess.run(["tar", "-C", CHECKOUT, "-c", "debian", "README.md"], capture_output=True, check=True)
    machine.run("mkdir /root/source && tar -C /root/source -x", stdin=source.stdout)
    # The null runner cannot know that nothing else lives on this machine.
    options = "--no-built-binaries --user=root --ignore-restrictions=isolation-container"
    ended = machine.attempt(f"autopkgtest {options} /root/monitoring-agent.deb /root/source/ -- null", timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^watching +PASS$", ended.stdout, re.M)
