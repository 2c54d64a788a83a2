"""After `apt install ./monitoring-agent.deb` on a fresh Debian machine without a network."""

import json
import re

import pytest

from .conftest import Installation
from .machine import Machine
from .watching import DAEMONS, SETTINGS, STATE, ask

MAN_PAGES = ("monitoring-agent.8", "monitoring-supervisor.8", "monitoring.env.5", "monitoringctl.1")


def test_the_agent_is_active_and_answers_the_moment_apt_is_done(installation: Installation) -> None:
    assert installation.agent_state == "active"
    assert json.loads(installation.agent_answer) == {"status": "ok"}


def test_the_agent_is_enabled_and_comes_back_after_a_reboot(machine: Machine) -> None:
    assert machine.run("systemctl is-enabled monitoring-agent") == "enabled"
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 15, "the agent answers after the reboot")


def test_the_supervisor_is_there_but_disabled_and_stopped(machine: Machine) -> None:
    assert machine.attempt("systemctl is-enabled monitoring-supervisor").stdout.strip() == "disabled"
    assert machine.attempt("systemctl is-active monitoring-supervisor").stdout.strip() == "inactive"
    assert machine.attempt(f"test -e {STATE}").returncode == 1


def test_no_unit_of_the_machine_has_failed(machine: Machine) -> None:
    assert machine.run("systemctl --failed --plain --no-legend") == ""


def test_the_token_is_random_and_readable_by_the_daemons_alone(machine: Machine) -> None:
    assert machine.run("stat -c '%a %U:%G' /etc/monitoring/token") == "640 root:_monitoring"
    assert re.fullmatch(r"[0-9a-f]{64}", machine.run("cat /etc/monitoring/token"))
    nobody = machine.attempt("setpriv --reuid=nobody --regid=nogroup --clear-groups cat /etc/monitoring/token")
    assert "Permission denied" in nobody.stderr


def test_metrics_need_the_token_and_health_tells_a_stranger_nothing_more_than_that(machine: Machine) -> None:
    status, body = ask(machine, "/getmetrics")
    assert (status, "error" in json.loads(body)) == (401, True)
    status, body = ask(machine, "/getmetrics", token=True)
    assert (status, json.loads(body)["schema"]) == (200, 1)
    assert json.loads(ask(machine, "/healthcheck")[1]) == {"status": "ok"}


def test_only_loopback_is_listened_at(machine: Machine) -> None:
    listening = machine.run("ss -Hltn").splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:5000"]


def test_everybody_may_read_the_settings_and_root_alone_may_change_them(machine: Machine) -> None:
    assert machine.run(f"stat -c '%a %U:%G' {SETTINGS} /etc/monitoring").splitlines() == [
        "644 root:root",
        "755 root:root",
    ]


def test_the_state_belongs_to_the_supervisor_and_its_group_may_read_it(machine: Machine) -> None:
    assert machine.run("stat -c '%a %U:%G' /var/lib/monitoring") == "750 _monitoring-supervisor:_monitoring"


def test_the_daemons_run_as_users_of_their_own_without_a_login(machine: Machine) -> None:
    machine.run("systemctl start monitoring-supervisor")
    for unit in DAEMONS:
        pid = machine.show(unit, "MainPID")
        assert machine.run(f"ps -o user:32=,group:32= -p {pid}").split() == [f"_{unit}", "_monitoring"]
        assert machine.run(f"getent passwd _{unit}").rpartition(":")[2] == "/usr/sbin/nologin"


@pytest.mark.parametrize("command", DAEMONS)
def test_both_commands_tell_the_version_of_the_package(machine: Machine, command: str) -> None:
    package = machine.run("dpkg-query -W -f '${Version}' monitoring-agent")
    assert machine.run(f"{command} --version") == package


@pytest.mark.parametrize("command", DAEMONS)
def test_the_shipped_settings_are_right(machine: Machine, command: str) -> None:
    checked = machine.attempt(f"{command} --config {SETTINGS} --check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_file_is_as_the_package_has_it(machine: Machine) -> None:
    assert machine.run("dpkg --verify monitoring-agent") == ""


def test_the_daemons_can_read_the_bytecode_that_the_installation_made(machine: Machine) -> None:
    """If they cannot, nobody notices, but each start compiles everything again."""
    made = "find /usr/lib/python3/dist-packages/monitoring_* -name '*.pyc'"
    assert int(machine.run(f"{made} | wc -l")) > 50
    assert machine.run(f"{made} ! -perm -o+r") == ""


@pytest.mark.parametrize("page", MAN_PAGES)
def test_man_finds_each_page_and_can_show_it_without_a_warning(machine: Machine, page: str) -> None:
    name, _, section = page.rpartition(".")
    path = f"/usr/share/man/man{section}/{page}.gz"
    assert path in machine.run("dpkg -L monitoring-agent").splitlines()
    machine.run("apt install -y man-db")  # it is at hand, since lintian needs it
    assert machine.run(f"man -w {section} {name}") == path
    shown = machine.attempt(f"man --warnings -E UTF-8 {section} {name}")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert name in shown.stdout
