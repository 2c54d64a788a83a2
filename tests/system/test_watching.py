"""The supervisor on a machine that watches itself: from `systemctl enable --now` through an outage and back."""

import time
from itertools import pairwise

import pytest

from .machine import Machine
from .watching import AGENT, STATE, about, ask, main_pid, snapshot, state, supervise


def test_one_command_gives_a_running_supervisor_and_a_fresh_report_within_three_seconds(own_machine: Machine) -> None:
    started = time.monotonic()
    own_machine.run("systemctl enable --now monitoring-supervisor")
    own_machine.wait_until(
        lambda: own_machine.attempt(f"test -e {STATE}").returncode == 0 and about(own_machine)["report"],
        started + 3 - time.monotonic(),
        "a report of the machine is saved",
    )
    known = about(own_machine)
    assert time.time() - known["report"]["collected_at"] < 3
    assert (known["listing"], known["state"], known["failure"]) == ("white", "up", None)
    assert snapshot(own_machine)["whitelist"] == [AGENT]
    assert snapshot(own_machine)["blacklist"] == []


def test_the_supervisor_tells_systemd_itself_that_it_is_ready_and_what_it_sees(machine: Machine) -> None:
    supervise(machine)
    assert machine.run("systemctl is-active monitoring-supervisor") == "active"
    assert machine.run("systemctl is-enabled monitoring-supervisor") == "enabled"
    assert machine.show("monitoring-supervisor", "Type") == "notify"
    assert "1" in machine.show("monitoring-supervisor", "StatusText")


def test_the_saved_report_is_of_this_machine(machine: Machine) -> None:
    supervise(machine)
    host = about(machine)["report"]["host"]
    assert host["hostname"] == machine.run("cat /proc/sys/kernel/hostname")
    assert host["cpus"] == int(machine.run("nproc"))
    assert host["memory_bytes"] == 1024 * int(machine.run("awk '/^MemTotal/ {print $2}' /proc/meminfo"))
    assert host["distribution"] == machine.run(". /etc/os-release && echo $PRETTY_NAME")


def test_the_state_is_renewed_every_second(machine: Machine) -> None:
    supervise(machine)
    written, collected = set(), set()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        document = snapshot(machine)
        written.add(document["written_at"])
        collected.add(document["agents"][AGENT]["report"]["collected_at"])
        time.sleep(0.1)
    for moments in (sorted(written), sorted(collected)):
        gaps = [after - before for before, after in pairwise(moments)]
        assert len(gaps) >= 2
        assert max(gaps) < 2


def test_the_state_is_readable_by_its_group_and_by_nobody_else(machine: Machine) -> None:
    supervise(machine)
    assert machine.run(f"stat -c '%a %U:%G' {STATE}") == "640 _monitoring-supervisor:_monitoring"
    read = f"setpriv --reuid=nobody --clear-groups --regid={{}} cat {STATE} /etc/monitoring/token"
    assert machine.attempt(read.format("_monitoring")).returncode == 0
    assert machine.attempt(read.format("nogroup")).stdout == ""


def test_a_stopped_agent_is_blacklisted_and_a_started_one_whitelisted_within_ten_seconds(machine: Machine) -> None:
    supervise(machine)
    begun = time.time()

    machine.run("systemctl stop monitoring-agent")
    stopped = time.time()
    machine.wait_until(lambda: snapshot(machine)["blacklist"] == [AGENT], 10, "the agent is on the blacklist")
    document = snapshot(machine)
    known = document["agents"][AGENT]
    assert document["whitelist"] == []
    assert (known["listing"], known["state"], known["failure"]["kind"]) == ("black", "down", "refused")
    assert abs(known["failure"]["since"] - stopped) < 5
    assert known["report"]["host"]["hostname"], "the last report stays"
    said = machine.journal("monitoring-supervisor", begun, "-p warning")
    assert len(said) == 1, said
    assert said[0].startswith(f"{AGENT} is down: connection refused, nothing listens at the port (3 checks in a row")
    assert "blacklisted, health checks only; last seen with load" in said[0]

    machine.run("systemctl start monitoring-agent")
    machine.wait_until(lambda: snapshot(machine)["whitelist"] == [AGENT], 10, "the agent is on the whitelist")
    known = about(machine)
    assert (known["listing"], known["state"], known["failure"]) == ("white", "up", None)
    machine.wait_until(lambda: about(machine)["last_metrics"] > known["since"], 5, "metrics flow again")
    said = machine.journal("monitoring-supervisor", begun)
    assert len(said) == 2, said
    assert said[1].startswith(f"{AGENT} is up: it answers again after ")


def test_a_blacklisted_agent_gets_health_checks_only(machine: Machine) -> None:
    supervise(machine, "LOG_LEVEL=debug\nWHITELIST_AFTER=1000\nINTERVAL_HEALTH_CHECK=1\n")
    machine.run("systemctl stop monitoring-agent")
    machine.wait_until(lambda: snapshot(machine)["blacklist"] == [AGENT], 10, "the agent is on the blacklist")
    before = about(machine)
    machine.run("systemctl start monitoring-agent")
    machine.wait_until(lambda: about(machine)["last_health"] > before["last_health"], 10, "health checks go on")
    first = about(machine)
    assert first["listing"] == "black", "a thousand good checks are asked for here"
    time.sleep(3)
    later = about(machine)
    assert later["last_health"] > first["last_health"]
    assert later["last_metrics"] == before["last_metrics"]
    assert later["report"] == before["report"]


@pytest.mark.parametrize("outage", ["restart", "kill -s KILL"])
def test_a_restart_forgets_nothing_and_announces_nothing_again(machine: Machine, outage: str) -> None:
    gone = "127.0.0.1:5999"
    supervise(machine, f"WHITELIST_AGENT=127.0.0.1,{gone}\n")
    machine.wait_until(lambda: state(machine, gone) == "down", 15, "the absent agent is down")
    before = snapshot(machine)
    pid, begun = main_pid(machine, "monitoring-supervisor"), time.time()

    machine.run(f"systemctl {outage} monitoring-supervisor")
    machine.wait_until(lambda: main_pid(machine, "monitoring-supervisor") not in {0, pid}, 15, "it runs again")
    machine.wait_until(lambda: snapshot(machine)["written_at"] > before["written_at"] + 2, 15, "it saves again")
    after = snapshot(machine)
    for list_name in ("whitelist", "blacklist"):
        assert after[list_name] == before[list_name]
    for name in (AGENT, gone):
        for key in ("listing", "state", "since"):
            assert after["agents"][name][key] == before["agents"][name][key]
    lines = machine.journal("monitoring-supervisor", begun)
    assert not [line for line in lines if line.startswith((AGENT, gone))]


def test_an_agent_that_never_answered_is_not_one_that_went_away(machine: Machine) -> None:
    begun = time.time()
    supervise(machine, "WHITELIST_AGENT=127.0.0.1,127.0.0.1:5998\n")
    machine.wait_until(lambda: state(machine, "127.0.0.1:5998") == "down", 15, "the absent agent is down")
    assert about(machine, "127.0.0.1:5998")["since"] is None
    said = [line for line in machine.journal("monitoring-supervisor", begun) if line.startswith("127.0.0.1:5998")]
    assert len(said) == 1, said
    assert "has not answered since it is watched" in said[0]


def test_stopping_either_daemon_takes_no_wait_for_the_other_side(machine: Machine) -> None:
    supervise(machine)
    for unit in ("monitoring-supervisor", "monitoring-agent"):
        started = time.monotonic()
        machine.run(f"systemctl stop {unit}")
        assert time.monotonic() - started < 8, "systemd waits for 20 and 30 s"
        assert machine.show(unit, "Result") == "success"
    assert ask(machine, "/healthcheck")[0] == 0
