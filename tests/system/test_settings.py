"""monitoring.env on a machine: wrong settings, reloads, and a world that is not as the settings want it."""

import time

import pytest

from .machine import Machine
from .watching import AGENT, DAEMONS, SETTINGS, STATE, ask, main_pid, restarts, snapshot, state, supervise


def write(machine: Machine, settings: str) -> None:
    """Replace the settings."""
    machine.run(f"cat >{SETTINGS}", stdin=settings.encode())


@pytest.mark.parametrize("unit", DAEMONS)
def test_wrong_settings_are_all_named_at_once_and_the_unit_stays_failed(machine: Machine, unit: str) -> None:
    write(machine, "INTERVAL_METRICS_CHECK=soon\nAGENT_LISTEN=10.0.0.1\nHEALTROOT=health\n")
    begun = time.time()
    assert machine.attempt(f"systemctl restart {unit}").returncode != 0
    time.sleep(4)  # twice RestartSec
    assert machine.show(unit, "ActiveState") == "failed"
    assert machine.show(unit, "ExecMainStatus") == "78"
    assert restarts(machine, unit) == 0
    said = machine.journal(unit, begun, "-p err")
    assert len(said) == 3, said
    for words in (
        "line 1: INTERVAL_METRICS_CHECK: 'soon' is not a number of seconds",
        "line 2: AGENT_LISTEN: '10.0.0.1' has no port; write 10.0.0.1:5000",
        "line 3: HEALTROOT is not a setting; did you mean HEALTHROOT?",
    ):
        assert any(f"{SETTINGS} {words}" in line for line in said), said
    checked = machine.attempt(f"{unit} --config {SETTINGS} --check")
    assert checked.returncode == 78
    assert "'soon'" in checked.stderr


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_corrected_file_and_a_start_are_all_that_a_failed_unit_needs(machine: Machine, unit: str) -> None:
    write(machine, "LOG_LEVEL=loud\n")
    assert machine.attempt(f"systemctl restart {unit}").returncode != 0
    write(machine, "LOG_LEVEL=info\n")
    machine.run(f"systemctl start {unit}")
    assert machine.show(unit, "ActiveState") == "active"


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_missing_or_unreadable_token_is_named_with_the_remedy(own_machine: Machine, unit: str) -> None:
    own_machine.run("chmod 0600 /etc/monitoring/token")
    begun = time.time()
    assert own_machine.attempt(f"systemctl restart {unit}").returncode != 0
    own_machine.run("rm /etc/monitoring/token")
    own_machine.attempt(f"systemctl restart {unit}")
    assert own_machine.show(unit, "ExecMainStatus") == "78"
    unreadable, missing = own_machine.journal(unit, begun, "-p err")
    assert "/etc/monitoring/token cannot be read: Permission denied" in unreadable
    assert "/etc/monitoring/token does not exist; make one with: " in missing


@pytest.mark.parametrize("unit", DAEMONS)
def test_the_units_leave_the_settings_to_the_file_so_that_a_reload_can_change_them(machine: Machine, unit: str) -> None:
    assert machine.show(unit, "Environment") == ""
    assert machine.show(unit, "EnvironmentFiles") == ""


def test_a_reload_of_the_supervisor_takes_new_settings_and_keeps_process_and_standings(machine: Machine) -> None:
    new = "127.0.0.1:5997"
    supervise(machine)
    before, pid = snapshot(machine), main_pid(machine, "monitoring-supervisor")
    write(machine, f"WHITELIST_AGENT=127.0.0.1,{new}\n")
    machine.run("systemctl reload monitoring-supervisor")
    machine.wait_until(lambda: state(machine, new) != "unknown", 3, "the new agent is watched")
    after = snapshot(machine)
    assert main_pid(machine, "monitoring-supervisor") == pid
    assert after["agents"][AGENT]["since"] == before["agents"][AGENT]["since"]
    assert machine.show("monitoring-supervisor", "ActiveState") == "active"


def test_a_reload_of_the_agent_takes_new_settings_and_keeps_its_process(machine: Machine) -> None:
    write(machine, "")
    machine.run("systemctl restart monitoring-agent")
    pid = main_pid(machine, "monitoring-agent")
    write(machine, "AGENT_LISTEN=127.0.0.1:5001\nMETRICSROOT=numbers\n")
    machine.run("systemctl reload monitoring-agent")
    machine.wait_until(lambda: ask(machine, "/numbers", token=True, port=5001)[0] == 200, 5, "it listens at 5001")
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 0, 5, "it listens at 5000 no more")
    write(machine, "AGENT_LISTEN=127.0.0.1:5001\nMETRICSROOT=numbers\nAGENT_ALLOW=10.0.0.0/8\n")
    machine.run("systemctl reload monitoring-agent")
    machine.wait_until(lambda: ask(machine, "/healthcheck", port=5001)[0] == 403, 5, "loopback is refused")
    assert main_pid(machine, "monitoring-agent") == pid
    assert machine.show("monitoring-agent", "ActiveState") == "active"


def test_a_reload_loses_no_sample_of_the_agent(machine: Machine) -> None:
    supervise(machine)
    begun = time.time()
    machine.run("systemctl reload monitoring-agent monitoring-supervisor")
    time.sleep(3)
    assert machine.journal("monitoring-supervisor", begun, "-p warning") == []
    assert snapshot(machine)["agents"][AGENT]["failure"] is None


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_reload_with_a_mistake_keeps_the_running_settings_and_says_so(machine: Machine, unit: str) -> None:
    supervise(machine)
    pid, begun = main_pid(machine, unit), time.time()
    write(machine, "REQUEST_TIMEOUT=-1\n")
    machine.run(f"systemctl reload {unit}")
    machine.wait_until(lambda: machine.journal(unit, begun, "-p err"), 5, "the mistake is in the journal")
    (said,) = machine.journal(unit, begun, "-p err")
    assert "REQUEST_TIMEOUT: '-1' is not a number of seconds" in said
    assert main_pid(machine, unit) == pid
    assert machine.show(unit, "ActiveState") == "active"
    assert ask(machine, "/healthcheck")[0] == 200


def test_a_port_in_use_is_one_clear_line_and_the_agent_comes_when_it_is_free(machine: Machine) -> None:
    write(machine, "")
    machine.run("systemctl stop monitoring-agent")
    machine.run("systemd-run --unit=squatter python3 -m http.server --bind 127.0.0.1 5000")
    machine.wait_until(lambda: ask(machine, "/")[0] == 200, 5, "somebody else listens at port 5000")
    begun = time.time()
    assert machine.attempt("systemctl start monitoring-agent").returncode != 0
    said = machine.journal("monitoring-agent", begun)
    assert len(set(said)) == 1, said
    assert "AGENT_LISTEN: 127.0.0.1:5000 cannot be listened at: Address already in use; " in said[0]
    machine.run("systemctl stop squatter")
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 10, "the agent answers by itself")


def test_a_state_directory_that_cannot_be_written_is_one_clear_line(machine: Machine) -> None:
    write(machine, "METRICS_FILE=/etc/monitoring/metrics_data.json\n")
    machine.run("systemctl stop monitoring-supervisor")
    begun = time.time()
    assert machine.attempt("systemctl start monitoring-supervisor").returncode != 0
    said = machine.journal("monitoring-supervisor", begun)
    assert len(set(said)) == 1, said
    assert "METRICS_FILE: /etc/monitoring/metrics_data.json cannot be used: Read-only file system" in said[0]


def test_garbage_in_place_of_the_state_is_set_aside_with_a_warning(machine: Machine) -> None:
    supervise(machine)
    machine.run("systemctl stop monitoring-supervisor")
    machine.run(f"printf 'not json' >{STATE}")
    begun = time.time()
    machine.run("systemctl start monitoring-supervisor")
    machine.wait_until(lambda: state(machine) == "up", 10, "the state is good again")
    assert machine.run(f"cat {STATE}.damaged-*") == "not json"
    (said,) = machine.journal("monitoring-supervisor", begun, "-p warning")
    assert f"{STATE} is damaged" in said
    machine.run(f"rm {STATE}.damaged-*")
