"""In a container the numbers are the container's: cgroup v2 under lxcfs, and cgroup v1 under the host's own /proc."""

import shutil
from pathlib import Path

import pytest

from monitoring_agent.collectors import cpu, facts, load, memory, pressure, vmstat
from monitoring_agent.collectors.processes import Processes
from monitoring_agent.container import container_of
from monitoring_agent.host import Host

TREES = Path(__file__).parents[1] / "trees"
LXC, DOCKER = Host(str(TREES / "lxc")), Host(str(TREES / "docker"))
MIB = 1024 * 1024


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The container of cgroup v2, to be changed."""
    root = tmp_path / "root"
    shutil.copytree(TREES / "lxc", root)
    return root


def test_memory_is_what_the_container_uses_of_its_own_limit() -> None:
    sample = memory.collect(DOCKER)
    assert (sample["limit_bytes"], sample["used_bytes"], sample["used_percent"]) == (256 * MIB, 128 * MIB, 50.0)
    sample = memory.collect(LXC)
    assert (sample["limit_bytes"], sample["used_bytes"]) == (512 * MIB, 200 * MIB)
    assert (sample["swap_used_bytes"], sample["swap_used_percent"]) == (0, 0.0)


@pytest.mark.parametrize("limit", ["max", "17179869184", "0", "", "-1"])
def test_a_container_without_a_limit_of_its_own_has_the_host_s_memory(copied: Path, limit: str) -> None:
    (copied / "sys/fs/cgroup/memory.max").write_text(limit + "\n", encoding="ascii")
    sample = memory.collect(Host(str(copied)))
    assert "limit_bytes" not in sample
    assert sample["used_bytes"] == (524288 - 450000) * 1024


def test_more_inactive_cache_than_memory_in_use_is_never_less_than_nothing(copied: Path) -> None:
    (copied / "sys/fs/cgroup/memory.current").write_text("5000\n", encoding="ascii")
    sample = memory.collect(Host(str(copied)))
    assert (sample["used_bytes"], sample["used_percent"]) == (0, 0.0)


def test_processors_and_memory_of_the_machine_are_those_that_the_container_may_use() -> None:
    lxc, docker = facts.collect(LXC), facts.collect(DOCKER)
    assert (lxc["cpus"], lxc["memory_bytes"]) == (1, 512 * MIB)
    assert (docker["cpus"], docker["memory_bytes"]) == (4, 256 * MIB)


def test_processors_that_are_more_than_the_host_has_are_the_host_s(copied: Path) -> None:
    (copied / "sys/fs/cgroup/cpuset.cpus.effective").write_text("0-63,100-131\n", encoding="ascii")
    assert facts.collect(Host(str(copied)))["cpus"] == 1


def test_busy_is_the_container_s_share_of_the_time_it_may_have(copied: Path) -> None:
    before = cpu.collect(DOCKER)
    assert (before["limit_cores"], before["used_seconds_total"], before["throttled_seconds_total"]) == (1.5, 7.25, 2.5)
    after = before | {"used_seconds_total": 8.75, "throttled_seconds_total": 3.0}
    derived = cpu.derive(before, after, 2.0)
    assert (derived["busy_percent"], derived["used_percent"], derived["throttled_percent"]) == (50.0, 75.0, 25.0)
    (copied / "sys/fs/cgroup/cpu.max").write_text("max 100000\n", encoding="ascii")
    unlimited = cpu.collect(Host(str(copied)))
    assert unlimited["limit_cores"] == 1
    derived = cpu.derive(unlimited, unlimited | {"used_seconds_total": 100.0}, 1.0)
    assert derived["busy_percent"] == 100.0  # a little more than all is a matter of when the clock was read


def test_a_container_that_was_given_more_than_its_host_has_is_busy_with_what_there_is() -> None:
    before = cpu.collect(DOCKER) | {"limit_cores": 64.0}
    derived = cpu.derive(before, before | {"used_seconds_total": 11.25}, 1.0)
    assert derived["busy_percent"] == 50.0


def test_load_is_marked_as_the_host_s_in_a_container_alone() -> None:
    assert load.collect(DOCKER)["scope"] == load.collect(LXC)["scope"] == "host"
    assert "scope" not in load.collect(Host(str(TREES / "vm")))


def test_kills_limits_and_pressure_are_the_container_s() -> None:
    assert vmstat.collect(LXC)["oom_kills_total"] == 2
    assert vmstat.collect(DOCKER)["oom_kills_total"] == 4
    assert Processes().collect(LXC)["limit"] == 512
    assert Processes().collect(DOCKER)["limit"] == 100
    assert pressure.collect(LXC)["io"] == {"some_stalled_seconds_total": 4.0, "full_stalled_seconds_total": 1.5}


def test_the_control_group_of_the_whole_host_is_not_taken_for_the_container_s(tmp_path: Path) -> None:
    for kind, mark in (("lxc", "cgroup.events"), ("docker", "cpuacct/release_agent")):
        root = tmp_path / kind
        shutil.copytree(TREES / kind, root)
        if kind == "lxc":
            (root / "sys/fs/cgroup" / mark).unlink()  # the root of cgroup v2 has none
        else:
            (root / "sys/fs/cgroup" / mark).touch()  # the root of a hierarchy of cgroup v1 alone has one
        assert "used_seconds_total" not in cpu.collect(Host(str(root)))


def test_a_machine_that_is_no_container_has_no_limits_of_one() -> None:
    for kind in ("vm", "physical", "arm"):
        assert container_of(Host(str(TREES / kind))) is None
    # A physical server has control groups too, and none of them is the whole of it.
    assert "limit_bytes" not in memory.collect(Host(str(TREES / "physical")))
