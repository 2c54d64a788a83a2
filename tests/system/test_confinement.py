"""What the units forbid their daemons, and that it costs no metric."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from monitoring_agent.collectors.registry import collectors
from monitoring_supervisor import resolver

from .machine import Machine
from .watching import DAEMONS, about, ask, supervise

# In tenths, as `systemd-analyze security --threshold` counts: lower is tighter. What is left of the agent's score is
# what it measures with.
EXPOSURE = {"monitoring-agent": 15, "monitoring-supervisor": 11}
FREE_PORT = 5002
# What is about the agent itself and not about the machine.
OWN = ("agent", "sequence", "collected_at")
# What does not change while the machine runs.
SIZES = ("/size_bytes", "/MemTotal_bytes", "/SwapTotal_bytes", "/inodes", "/mtu_bytes", "_limit", "/cpus", "/booted_at")
# Which processes are the busiest is another question every second. And systemd lets no service with a sandbox see the
# credentials of another.
MOVING = ("/processes/top_", "/filesystems//run/credentials/")


@pytest.fixture(scope="module")
def watching(machine: Machine) -> Machine:
    """A machine on which both daemons run."""
    supervise(machine)
    return machine


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_unit_exposes_no_more_than_its_daemon_needs(machine: Machine, unit: str) -> None:
    path = machine.show(unit, "FragmentPath")
    machine.run(f"systemd-analyze security --offline=yes --threshold={EXPOSURE[unit]} {path}")


@pytest.mark.parametrize("unit", EXPOSURE)
def test_systemd_understands_every_line_of_a_unit(machine: Machine, unit: str) -> None:
    verified = machine.attempt(f"SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no {unit}.service")
    assert (verified.returncode, verified.stderr) == (0, "")


def statuses(machine: Machine, unit: str) -> Iterator[dict[str, str]]:
    """/proc/PID/status of every process of a unit."""
    found = machine.run(f"systemctl show --value -p MainPID {unit} | xargs -I@ sh -c 'echo @; pgrep -P @ || true'")
    for pid in found.split():
        lines = machine.run(f"cat /proc/{pid}/status").splitlines()
        yield dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.parametrize("unit", DAEMONS)
def test_no_process_is_root_or_could_become_it(watching: Machine, unit: str) -> None:
    user = watching.run(f"id -u _{unit}")
    for status in statuses(watching, unit):
        assert status["Uid"].split() == [user] * 4 != ["0"] * 4
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("unit", DAEMONS)
def test_no_core_dump_tells_the_token(watching: Machine, unit: str) -> None:
    for status in statuses(watching, unit):
        limits = watching.run(f"grep 'Max core file size' /proc/{status['Pid']}/limits")
        assert limits.split()[4:6] == ["1", "1"]


def test_limits_are_far_above_what_the_daemons_use(watching: Machine) -> None:
    memory = 1024 * int(watching.run("awk '/^MemTotal/ {print $2}' /proc/meminfo"))
    assert int(watching.show("monitoring-supervisor", "MemoryMax")) == pytest.approx(memory / 2, rel=0.01)
    for unit, used_of_it in (("monitoring-agent", 0.5), ("monitoring-supervisor", 0.1)):
        resident = sum(1024 * int(status["VmRSS"].split()[0]) for status in statuses(watching, unit))
        threads = sum(int(status["Threads"]) for status in statuses(watching, unit))
        assert resident < used_of_it * int(watching.show(unit, "MemoryMax"))
        assert threads < 0.5 * int(watching.show(unit, "TasksMax"))


def test_names_that_nobody_resolves_use_up_neither_the_supervisor_s_tasks_nor_its_time(own_machine: Machine) -> None:
    """As many names at once as there are threads for them, and more: of a name server that does not answer."""
    silent = "import socket, time; held = socket.socket(type=socket.SOCK_DGRAM); held.bind(('127.0.0.77', 53))"
    own_machine.run(f'systemd-run python3 -c "{silent}; time.sleep(1000)"')
    own_machine.run("rm -f /etc/resolv.conf; echo nameserver 127.0.0.77 >/etc/resolv.conf")
    names = [f"web-{number}.example.org" for number in range(100)]
    supervise(own_machine, f"WHITELIST_AGENT={','.join(['127.0.0.1', *names])}\n")

    def threads() -> int:
        return sum(int(status["Threads"]) for status in statuses(own_machine, "monitoring-supervisor"))

    own_machine.wait_until(lambda: threads() > resolver.THREADS, 20, "as many as there can be are looked up")
    assert threads() < 0.75 * int(own_machine.show("monitoring-supervisor", "TasksMax"))
    assert about(own_machine)["state"] == "up"


# Where each daemon may write: nowhere else, and nothing it wrote there can be run.
WRITABLE = {
    "monitoring-agent": ("/tmp", "/var/tmp", "/dev/shm", "/var/lib/monitoring-agent"),
    "monitoring-supervisor": ("/tmp", "/var/tmp", "/dev/shm", "/var/lib/monitoring", "/run/monitoring"),
}


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_daemon_can_neither_write_elsewhere_nor_run_what_it_wrote(watching: Machine, unit: str) -> None:
    pid = watching.show(unit, "MainPID")
    # As root, so that it is not the permissions of files that refuse.
    enter = f"nsenter -t {pid} -m"
    elsewhere = ("/", "/etc/monitoring", "/usr", "/usr/bin", "/usr/lib", "/run", "/run/lock", "/var/lib", "/var/log")
    for place in elsewhere:
        assert "Read-only" in watching.attempt(f"{enter} touch {place}/there").stderr, place
    for path in WRITABLE[unit]:
        watching.run(f"{enter} cp /usr/bin/true {path}/true")
        assert "Permission denied" in watching.attempt(f"{enter} {path}/true").stderr, path
        watching.run(f"{enter} rm {path}/true")


@pytest.fixture
def varied(machine: Machine) -> Iterator[Machine]:
    """A machine with more to see: mounts where the sandbox covers something, a failed unit, another user's process."""
    machine.run(
        "mkdir -p /home/big /srv/fixed && mount -t tmpfs -o size=123m tmpfs /home/big"
        " && mount -t tmpfs -o ro,size=45m tmpfs /srv/fixed"
        " && systemd-run --unit=doomed /bin/false"
        " && systemd-run --unit=other -p User=nobody -p MemoryMax=64M sleep 1000"
        # Root's, and larger than what the daemons use.
        " && systemd-run --unit=large python3 -c 'import time; held = [0] * (25 << 20); time.sleep(1000)'"
    )
    # The same daemon as the same user, without the sandbox.
    user = "-p User=_monitoring-agent -p Group=_monitoring"
    machine.run(
        f"systemctl restart monitoring-agent && systemd-run --unit=free {user} -p StateDirectory=free"
        f" -E AGENT_LISTEN=127.0.0.1:{FREE_PORT} /usr/bin/monitoring-agent --config /etc/monitoring/monitoring.env"
    )
    yield machine
    machine.run("systemctl stop free other large; systemctl reset-failed; umount /home/big /srv/fixed")
    machine.run("rm -r /var/lib/free")


def report(machine: Machine, port: int) -> dict[str, Any]:
    """An agent's newest report; empty as long as there is none."""
    status, body = ask(machine, "/getmetrics", token=True, port=port)
    document: dict[str, Any] = json.loads(body) if status == 200 else {}
    return document


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """What there is in a report that does not come and go, by where it is."""
    if prefix.startswith(MOVING):
        return {}
    if not isinstance(value, dict):
        return {prefix: value}
    return {path: leaf for key, inner in value.items() for path, leaf in leaves(inner, f"{prefix}/{key}").items()}


def lost(path: str, inside: Any, outside: Any) -> bool:
    """Whether less is said inside: another text, another size, a counter that is far behind, or nothing at all."""
    if isinstance(outside, bool) or not isinstance(outside, int | float) or path.endswith(SIZES):
        return bool(inside != outside)
    is_behind = path.endswith("_total") and outside > 100 and not inside > outside / 2
    return is_behind or (outside != 0 and inside == 0)


def both(machine: Machine) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said inside and outside of the sandbox, without what is about the agents themselves."""
    inside, outside = report(machine, 5000), report(machine, FREE_PORT)
    for document in (inside, outside):
        for key in OWN:
            document.pop(key, None)
        # systemd-nspawn mounts one of its own, which systemd 252's sandbox leaves out.
        document.get("host", {}).pop("boot_id", None)
    return inside, outside


def test_no_collector_loses_anything_by_the_sandbox(varied: Machine) -> None:
    names = {collector.name for collector in collectors()}
    different: set[str] = {"nothing was asked yet"}
    always_lost: set[str] | None = None

    def the_same() -> bool:
        nonlocal different, always_lost
        inside, outside = both(varied)
        said, to_say = leaves(inside), leaves(outside)
        different = names.symmetric_difference(inside.get("collectors", ())) or to_say.keys() ^ said.keys()
        if different:
            return False
        # What comes and goes from one moment to the next is lost only if it never came.
        lost_now = {path for path, leaf in to_say.items() if lost(path, said[path], leaf)}
        always_lost = lost_now if always_lost is None else always_lost & lost_now
        different = always_lost
        return not different

    # What changes on the machine meanwhile is seen by one of them first.
    try:
        varied.wait_until(the_same, 60, "both see the same")
    except AssertionError as error:
        raise AssertionError(sorted(different)[:30]) from error
    inside, outside = both(varied)
    assert [name for name, one in inside["collectors"].items() if not one["ok"]] == []
    assert inside["host"] == outside["host"]
    assert {one["user"] for one in inside["processes"]["top_memory"].values()} >= {"root", "_monitoring-agent"}
    assert inside["filesystems"]["/home/big"]["size_bytes"] == 123 * 1024 * 1024
    assert (inside["filesystems"]["/srv/fixed"]["read_only"], inside["filesystems"]["/"]["read_only"]) == (True, False)
    assert "doomed.service" in inside["units"]["failed"]
    assert abs(inside["processes"]["processes"] - outside["processes"]["processes"]) <= 5
    root = int(varied.run("df --output=size -B1 / | tail -1"))
    assert inside["filesystems"]["/"]["size_bytes"] == root
