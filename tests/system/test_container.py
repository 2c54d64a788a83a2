"""The installed agent in a container whose kernel really holds it to limits, and in one of cgroup v2."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Installation
from .machine import Machine, boot
from .test_facts import report, whole_report
from .test_oracles import later_report

MEMORY_BYTES = 400 * 1024 * 1024
CORES = 0.5
TASKS = 300
LIMITS = {
    "memory/memory.limit_in_bytes": str(MEMORY_BYTES),
    "cpu/cpu.cfs_quota_us": str(int(CORES * 100_000)),
    "cpuacct/notify_on_release": "0",  # nothing to limit, only a group of its own
    "pids/pids.max": str(TASKS),
}
# What everything else in the container needs while the loop runs.
OTHERS_SECONDS = 3.0


@pytest.fixture(scope="module")
def confined(installation: Installation) -> Iterator[Machine]:
    with boot(installation.layers, limits=LIMITS) as machine:
        yield machine


# What Machine.run starts is not in the container's control group; what the container's systemd starts is.
INSIDE = "systemd-run --quiet --collect"


def busy(machine: Machine) -> dict[str, Any]:
    """What is said of the processors while a loop is busy, and held against the time that the loop really had."""
    machine.run(f"{INSIDE} --unit=busy -p RuntimeMaxSec=60 sh -c 'while :; do :; done'")
    looks = [loop_seconds(machine)]
    before = later_report(machine)["cpu"]
    looks += [loop_seconds(machine)]
    time.sleep(3)
    looks += [loop_seconds(machine)]
    after: dict[str, Any] = later_report(machine)["cpu"]
    looks += [loop_seconds(machine)]
    machine.run("systemctl stop busy")
    used = after["used_seconds_total"] - before["used_seconds_total"]
    assert looks[2] - looks[1] <= used <= looks[3] - looks[0] + OTHERS_SECONDS
    cores = after.get("limit_cores", len(after["cores"]))
    assert after["busy_percent"] == pytest.approx(min(100, after["used_percent"] / cores), abs=0.1)
    return after


def loop_seconds(machine: Machine) -> float:
    """The processor time that the loop has had."""
    stat = machine.run(f"cat /proc/{machine.show('busy', 'MainPID')}/stat").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / 100


def test_a_container_s_memory_is_its_limit_and_what_it_uses_of_that(confined: Machine) -> None:
    said = whole_report(confined)
    assert said["host"]["memory_bytes"] == said["memory"]["limit_bytes"] == MEMORY_BYTES
    assert said["processes"]["limit"] == TASKS
    before = report(confined)["memory"]["used_bytes"]
    assert 0 < before < MEMORY_BYTES
    hold = "python3 -c 'import time; held = bytearray(100 << 20); time.sleep(100)'"
    confined.run(f"{INSIDE} --unit=holder {hold}")
    grown = confined.wait_until(
        lambda: (report(confined)["memory"]["used_bytes"] - before) / 2**20 > 90, 20, "100 MiB more are in use"
    )
    assert grown
    said = report(confined)["memory"]
    assert said["used_percent"] == pytest.approx(100 * said["used_bytes"] / MEMORY_BYTES, abs=0.1)
    confined.run("systemctl stop holder")


def test_what_is_killed_for_want_of_the_container_s_memory_is_counted(confined: Machine) -> None:
    before = report(confined)["vmstat"]["oom_kills_total"]
    confined.run(f"{INSIDE} --unit=greedy python3 -c 'held = b\"x\" * (1 << 30)'")
    confined.wait_until(lambda: report(confined)["vmstat"]["oom_kills_total"] > before, 10, "the kill is counted")


def test_a_container_s_processors_are_its_limit_and_what_it_uses_of_that(confined: Machine) -> None:
    cpu = busy(confined)
    assert cpu["limit_cores"] == CORES
    assert cpu["throttled_seconds_total"] > 0


def test_load_is_marked_as_the_host_s(confined: Machine) -> None:
    assert whole_report(confined)["load"]["scope"] == "host"


def test_a_container_of_cgroup_v2_tells_its_own_use_of_the_processors(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
    with boot(installation.layers) as machine:
        assert machine.run("stat -f -c %T /sys/fs/cgroup") == "cgroup2fs"
        assert busy(machine)["used_percent"] > 0
