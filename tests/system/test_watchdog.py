"""What happens to a process that is alive but does nothing any more: SIGSTOP stands for a hang of any kind."""

import pytest

from .machine import Machine
from .watching import AGENT, DAEMONS, ask, main_pid, restarts, snapshot, state, supervise

GONE = "127.0.0.1:5999"


def worker_pid(machine: Machine) -> int:
    """The process of the agent that samples and answers."""
    return int(machine.run(f"pgrep -P {main_pid(machine, 'monitoring-agent')}"))


def set_watchdog(machine: Machine, unit: str, seconds: int) -> None:
    """As an administrator would: with a drop-in."""
    machine.run(
        f"mkdir -p /run/systemd/system/{unit}.service.d"
        f" && printf '[Service]\\nWatchdogSec={seconds}\\n' >/run/systemd/system/{unit}.service.d/watchdog.conf"
        f" && systemctl daemon-reload && systemctl restart {unit}"
    )


def test_a_hung_supervisor_is_restarted_and_knows_what_it_knew(machine: Machine) -> None:
    supervise(machine, f"WHITELIST_AGENT=127.0.0.1,{GONE}\n")
    machine.wait_until(lambda: state(machine, GONE) == "down", 15, "the absent agent is down")
    before = snapshot(machine)
    pid, count = main_pid(machine, "monitoring-supervisor"), restarts(machine, "monitoring-supervisor")

    machine.run("systemctl kill -s STOP monitoring-supervisor")
    # WatchdogSec=20 as shipped, TimeoutAbortSec=2, RestartSec=2, and a start.
    machine.wait_until(lambda: restarts(machine, "monitoring-supervisor") > count, 26, "the watchdog restarted it")
    machine.wait_until(lambda: snapshot(machine)["written_at"] > before["written_at"] + 10, 10, "it saves again")
    assert main_pid(machine, "monitoring-supervisor") not in {0, pid}
    assert machine.run("systemctl is-active monitoring-supervisor") == "active"
    after = snapshot(machine)
    assert (after["whitelist"], after["blacklist"]) == ([AGENT], [GONE])
    for name in (AGENT, GONE):
        for key in ("listing", "state", "since"):
            assert after["agents"][name][key] == before["agents"][name][key]


def test_a_hung_worker_of_the_agent_is_replaced_without_a_restart_of_the_service(machine: Machine) -> None:
    machine.run("systemctl restart monitoring-agent")
    master, worker = main_pid(machine, "monitoring-agent"), worker_pid(machine)
    machine.run(f"kill -STOP {worker}")
    assert ask(machine, "/healthcheck")[0] == 0, "a stopped worker answers nobody"
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 20, "another worker answers")
    assert worker_pid(machine) != worker
    assert main_pid(machine, "monitoring-agent") == master
    assert restarts(machine, "monitoring-agent") == 0


def test_a_killed_worker_of_the_agent_is_replaced_at_once(machine: Machine) -> None:
    machine.run("systemctl restart monitoring-agent")
    master, worker = main_pid(machine, "monitoring-agent"), worker_pid(machine)
    machine.run(f"kill -KILL {worker}")
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 5, "another worker answers")
    assert main_pid(machine, "monitoring-agent") == master


def test_a_hung_master_of_the_agent_is_restarted_by_the_watchdog(own_machine: Machine) -> None:
    set_watchdog(own_machine, "monitoring-agent", 4)
    pid, worker = main_pid(own_machine, "monitoring-agent"), worker_pid(own_machine)
    own_machine.run(f"kill -STOP {pid}")
    own_machine.wait_until(lambda: main_pid(own_machine, "monitoring-agent") not in {0, pid}, 15, "it is restarted")
    own_machine.wait_until(lambda: ask(own_machine, "/healthcheck")[0] == 200, 5, "it answers")
    assert restarts(own_machine, "monitoring-agent") == 1
    assert own_machine.attempt(f"test -d /proc/{worker}").returncode == 1, "the old worker must not stay"


def test_the_watchdog_leaves_daemons_alone_that_work(own_machine: Machine) -> None:
    for unit in DAEMONS:
        set_watchdog(own_machine, unit, 2)
    pids = [main_pid(own_machine, unit) for unit in DAEMONS]
    own_machine.run("sleep 7")
    assert [main_pid(own_machine, unit) for unit in DAEMONS] == pids
    assert [restarts(own_machine, unit) for unit in DAEMONS] == [0, 0]


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_killed_daemon_is_back_within_seconds_however_often_it_dies(machine: Machine, unit: str) -> None:
    machine.run(f"systemctl restart {unit}")
    machine.run(f"systemctl kill -s KILL {unit}")
    machine.wait_until(lambda: restarts(machine, unit) == 1, 4, "systemd restarts it")
    machine.wait_until(lambda: machine.show(unit, "ActiveState") == "active", 8, "it is ready")
    assert machine.show(unit, "StartLimitIntervalUSec") == "0", "systemd would give up after some times"
