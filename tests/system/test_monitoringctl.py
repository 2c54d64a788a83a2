"""The operator's command on an installed machine: who may use it, and what it says when the supervisor is stopped."""

import subprocess

import pytest

from .machine import Machine
from .watching import AGENT, SETTINGS, supervise

SOCKET = "/run/monitoring/supervisor.sock"


@pytest.fixture(scope="module")
def watching(machine: Machine) -> Machine:
    """A machine with a running supervisor, an operator in the group, and a user who is not."""
    supervise(machine)
    add_users(machine)
    return machine


def add_users(machine: Machine) -> None:
    """A minimal machine has no useradd."""
    users = b"u ops 2001\nm ops _monitoring\nu stranger 2002\n"
    machine.run("systemd-sysusers -", stdin=users)


def attempt(machine: Machine, user: str, command: str) -> "subprocess.CompletedProcess[str]":
    as_user = f"setpriv --reuid={user} --regid={user} --init-groups env USER={user}"
    return machine.attempt(f"{as_user} monitoringctl {command}")


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "agents",
        f"show {AGENT}",
        f"show {AGENT} memory --json",
        f"history {AGENT} --events",
        f"probe {AGENT}",
        "check-config",
        "reload",
        "export --since 1min",
    ],
)
@pytest.mark.parametrize("user", ["root", "ops"])
def test_root_and_members_of_the_group_may_use_every_command(watching: Machine, user: str, command: str) -> None:
    ended = attempt(watching, user, command)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout or command.startswith("export"), "history is written every few seconds"


def test_members_of_the_group_read_history_while_it_is_written(watching: Machine) -> None:
    command = f"history {AGENT} load.load_1m --format csv"
    watching.wait_until(
        lambda: attempt(watching, "ops", command).stdout.splitlines()[1:], 30, "history has something of the agent"
    )
    assert attempt(watching, "ops", command).stdout.startswith("at,load.load_1m\n")


@pytest.mark.parametrize("command", ["status", "agents", f"show {AGENT}", f"history {AGENT} load", "export", "reload"])
def test_others_are_told_to_join_the_group_or_use_sudo(watching: Machine, command: str) -> None:
    ended = attempt(watching, "stranger", command)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "only root and the group _monitoring may" in ended.stderr
    assert "sudo adduser stranger _monitoring" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_others_are_told_why_they_cannot_probe(watching: Machine) -> None:
    ended = attempt(watching, "stranger", f"probe {AGENT}")
    assert ended.returncode == 78
    assert "/etc/monitoring/token cannot be read: Permission denied" in ended.stderr
    assert "sudo adduser stranger _monitoring" in ended.stderr


def test_who_joined_the_group_and_did_not_log_in_again_is_told_to(watching: Machine) -> None:
    as_before = "setpriv --reuid=ops --regid=ops --clear-groups env USER=ops"
    ended = watching.attempt(f"{as_before} monitoringctl status")
    assert ended.returncode == 2
    assert "log in again" in ended.stderr
    assert "adduser" not in ended.stderr


def test_the_socket_is_for_the_group_and_root_alone(watching: Machine) -> None:
    assert watching.run(f"stat -c '%a %U:%G' {SOCKET}") == "660 _monitoring-supervisor:_monitoring"
    assert watching.run("stat -c '%a %U:%G' /run/monitoring") == "750 _monitoring-supervisor:_monitoring"


def test_reload_does_what_systemctl_reload_does(own_machine: Machine) -> None:
    supervise(own_machine)
    own_machine.run(f"echo WHITELIST_AGENT=127.0.0.1,127.0.0.1:5999 >{SETTINGS} && monitoringctl reload")
    own_machine.wait_until(lambda: "1 down" in own_machine.attempt("monitoringctl status").stdout, 15, "it is asked")
    ended = own_machine.attempt("monitoringctl status")
    assert ended.returncode == 1
    assert "127.0.0.1:5999" in ended.stdout
    own_machine.run(f"echo INTERVAL_HEALTH_CHECK=never >{SETTINGS}")
    ended = own_machine.attempt("monitoringctl reload")
    assert ended.returncode == 78
    assert "INTERVAL_HEALTH_CHECK: 'never' is not a number of seconds" in ended.stderr


def test_with_the_supervisor_stopped_what_it_saved_is_still_there_for_the_group(own_machine: Machine) -> None:
    supervise(own_machine)
    add_users(own_machine)
    own_machine.run("systemctl stop monitoring-supervisor")
    ended = attempt(own_machine, "ops", "status")
    assert ended.returncode == 2
    assert "The supervisor does not run" in ended.stderr
    assert "See: systemctl status monitoring-supervisor" in ended.stderr
    assert ended.stdout == "1 agent: 1 up\n"
    for command in ("agents", f"show {AGENT}", f"history {AGENT} --events", f"history {AGENT} load"):
        ended = attempt(own_machine, "ops", command)
        assert ended.returncode == 0, ended.stderr
        assert AGENT in ended.stdout


def test_before_its_first_start_the_supervisor_is_told_how_to_start(own_machine: Machine) -> None:
    ended = own_machine.attempt("monitoringctl status")
    assert ended.returncode == 2
    assert "systemctl enable --now monitoring-supervisor" in ended.stderr


def test_bash_finds_the_completion_where_it_looks_for_it(machine: Machine) -> None:
    complete = (
        "source /usr/share/bash-completion/completions/monitoringctl; COMP_LINE='monitoringctl stat' COMP_POINT=18;"
        ' _monitoringctl monitoringctl; echo "${COMPREPLY[*]}"'
    )
    assert machine.run(complete) == "status"


def test_the_manual_has_a_page_for_it(machine: Machine) -> None:
    assert machine.run("ls /usr/share/man/man1/monitoringctl.1.gz")
