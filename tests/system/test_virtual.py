"""The installed agent in a virtual machine of its own: cgroup v2 with all controllers, disk arrays, a bond."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import roots, virtual
from .conftest import Installation

MODULES = ("raid1", "loop", "bonding", "veth")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def seen(installation: Installation) -> Iterator[dict[str, Any]]:
    scratch = Path(f"{installation.layers[0]}-virtual")
    try:
        program = Path(__file__).with_name("inside.py")
        printed = virtual.run(installation.layers, MODULES, ["mdadm"], program, scratch)
        answer: dict[str, Any] = json.loads(printed)
        assert answer["prepared"][0] == 0, answer["prepared"][1]
        yield answer | {"groups": answer["report"]["control_groups"]}
    finally:
        roots.remove(scratch)


def test_nothing_fails_in_a_virtual_machine_and_its_kind_is_known(seen: dict[str, Any]) -> None:
    assert {name: one for name, one in seen["report"]["collectors"].items() if not one["ok"]} == {}
    assert seen["report"]["host"]["virtualization"] == seen["kinds"]["--vm"] == "qemu"
    assert seen["kinds"]["--container"] == "none"


# What the agent and systemctl, or the file of the kernel, call the same counter, and how many of the one are one of the
# other.
COUNTERS = {
    "cpu_seconds_total": ("CPUUsageNSec", 1e9),
    "written_bytes_total": ("IOWriteBytes", 1),
    "cpu_stalled_seconds_total": ("cpu_stalled_usec", 1e6),
    "memory_stalled_seconds_total": ("memory_stalled_usec", 1e6),
    "io_stalled_seconds_total": ("io_stalled_usec", 1e6),
}


def test_a_unit_has_used_what_systemd_says(seen: dict[str, Any]) -> None:
    assert seen["control_groups"] == "cgroup2fs"
    compared = set()
    for group, before in seen["before"].items():
        ours, after = seen["groups"][group], seen["after"][group]
        for name, (theirs, scale) in COUNTERS.items():
            if theirs in before:
                assert before[theirs] / scale <= ours[name] <= after[theirs] / scale, (group, name)
                compared.add(name)
    assert compared == set(COUNTERS)
    busy = seen["groups"]["system.slice/busy.service"]
    assert busy["cpu_seconds_total"] > 1
    assert busy["throttled_seconds_total"] > busy["cpu_seconds_total"]  # it may have a fifth of the time
    writer = seen["groups"]["system.slice/writer.service"]
    assert writer["written_bytes_total"] >= 8 * MIB


def test_a_unit_holds_the_memory_and_tasks_that_systemd_says(seen: dict[str, Any]) -> None:
    for group in ("machine.slice/holder.service", "system.slice/greedy.service", "system.slice/busy.service"):
        ours, before, after = (seen[when][group] for when in ("groups", "before", "after"))
        lowest, highest = sorted((before["MemoryCurrent"], after["MemoryCurrent"]))
        assert lowest - MIB <= ours["memory_bytes"] <= highest + MIB
        assert ours["tasks"] == before["TasksCurrent"] == after["TasksCurrent"]
    assert seen["groups"]["machine.slice/holder.service"]["memory_bytes"] > 60 * MIB
    greedy = "system.slice/greedy.service"
    assert seen["groups"][greedy]["memory_limit_bytes"] == seen["before"][greedy]["MemoryMax"] == 40 * MIB
    assert "memory_limit_bytes" not in seen["groups"]["system.slice/busy.service"]


def test_kills_for_want_of_memory_are_those_of_the_unit_and_as_many_as_the_kernel_logged(seen: dict[str, Any]) -> None:
    kills = {name: one["oom_kills_total"] for name, one in seen["groups"].items() if one.get("oom_kills_total")}
    assert kills == {"system.slice/greedy.service": len(seen["kernel_log"].splitlines())}


def test_an_agent_that_crashes_leaves_no_dump_to_a_program_either(seen: dict[str, Any]) -> None:
    assert seen["dumped"] == {"monitoring-agent": False, "careless": True}


def test_arrays_are_those_of_mdadm_also_one_with_a_name_for_a_number(seen: dict[str, Any]) -> None:
    arrays = seen["report"]["hardware"]["arrays"]
    assert set(arrays) == set(re.findall(r"^(md\S+) : ", seen["mdstat"], re.M)) == {"md0", "md_home"}
    for name, ours in arrays.items():
        detail = dict(line.strip().split(" : ", 1) for line in seen["arrays"][name].splitlines() if " : " in line)
        assert (ours["level"], ours["disks"]) == (detail["Raid Level"], int(detail["Raid Devices"]))
        disks = ours["disks_by_state"]
        assert disks["active"] == int(detail["Active Devices"])
        assert disks["failed"] == int(detail["Failed Devices"])
        assert disks["spare"] == int(detail["Spare Devices"])
        assert ours["disks_missing"] == ours["disks"] - disks["active"]
        assert (ours["disks_missing"] > 0) == ("degraded" in detail["State"])
    assert arrays["md0"]["disks_missing"] == arrays["md0"]["disks_by_state"]["failed"] == 1


def test_a_bond_has_the_interfaces_and_links_that_its_driver_says(seen: dict[str, Any]) -> None:
    slaves = seen["bond"].split("Slave Interface: ")[1:]
    bond = seen["report"]["links"]["bond7"]
    assert bond["slaves"] == len(slaves) == 2
    assert bond["slaves_active"] == sum("MII Status: up" in slave for slave in slaves) == 1
