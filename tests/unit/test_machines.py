"""All collectors on frozen machines of five kinds, and on the same machines with files cut off, missing or strange."""

import dataclasses
import math
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.collectors import clock, control_groups, hardware, links, netstack, protocols, scheduler, sockets
from monitoring_agent.collectors.registry import Collector, collectors
from monitoring_agent.exposition import render
from monitoring_agent.host import Host
from monitoring_agent.metric import find
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire

TREES = Path(__file__).parents[1] / "trees"
KINDS = ("vm", "physical", "lxc", "docker", "arm")


def tree(kind: str) -> Host:
    return Host(str(TREES / kind))


def fresh() -> list[Collector]:
    """All collectors but the one that would ask this machine's apt instead of the frozen one's."""
    return [one for one in collectors() if one.name != "packages"]


def leaves(sample: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in sample.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, where)
        else:
            yield where, value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("collector", fresh(), ids=lambda one: one.name)
def test_every_collector_works_on_every_kind_of_machine(collector: Collector, kind: str) -> None:
    sample = collector.collect(tree(kind))
    wire.encode(sample)
    for path, value in leaves(collector.derive(sample, collector.collect(tree(kind)), 1.0)):
        if isinstance(value, float):
            assert math.isfinite(value), path
        if isinstance(value, int | float) and "celsius" not in path and "offset" not in path and "status" not in path:
            assert value >= 0, path


@pytest.mark.parametrize("collector", fresh(), ids=lambda one: one.name)
def test_every_value_has_its_meaning_in_the_table(collector: Collector) -> None:
    for kind in KINDS:
        sample = collector.collect(tree(kind))
        described = {
            id_of(found.names, metric.path) for metric in collector.metrics for found in find(sample, metric.path)
        }
        for path, _ in leaves(sample):
            assert path in described, f"{collector.name}.{path}"


def id_of(names: tuple[str, ...], path: str) -> str:
    """The path with the names that its stars stood for."""
    rest = iter(names)
    return ".".join(next(rest) if part == "*" else part for part in path.split("."))


def test_every_metric_of_the_table_is_seen_on_some_machine_or_this_one() -> None:
    rare = {
        "host.domain", "host.virtualization", "filesystems.*.hung_seconds", "filesystems.*.error",
    }  # fmt: skip
    elsewhere = {"units", "restarts", "processes"} | (set() if clock_may_be_read() else {"clock"})
    unseen = set()
    for collector in fresh():
        if collector.name in elsewhere:
            continue  # seen in a booted machine
        samples = []
        for kind in KINDS:
            sample = collector.collect(tree(kind))
            samples += [sample, collector.derive(sample, collector.collect(tree(kind)), 1.0)]
        for metric in collector.metrics:
            name = f"{collector.name}.{metric.path}"
            if not any(list(find(sample, metric.path)) for sample in samples) and not is_derived(metric.path):
                unseen.add(name)
    assert unseen <= rare


def clock_may_be_read() -> bool:
    """Not where a package is built within a container, whose filter of system calls forbids adjtimex."""
    try:
        return bool(clock.ask_kernel())
    except PermissionError:
        return False


def is_derived(path: str) -> bool:
    return path.endswith(("_latency_seconds", "busy_percent"))


def broken(whole: bytes, choice: random.Random) -> tuple[bytes | None, ...]:
    """What can become of a file: missing, empty, cut off, with more columns, strange, and counters that start anew."""
    return (
        None,
        b"",
        whole[: choice.randrange(len(whole) + 1)],
        whole + b" 5 6 7\n",
        whole.replace(b"\n", b" 5 6 7\n"),
        whole.replace(b"0", b"-7").replace(b"1", b"x"),
        re.sub(rb"\d", b"0", whole),
        re.sub(rb"\d", b"99", whole),
        b"\xff\0",
    )


def check(report: dict[str, Any], what: str) -> None:
    """No rate is negative or infinite, and every error says with which file something was wrong."""
    for name, health in report["collectors"].items():
        if not health["ok"]:
            assert "/" in health["error"], (what, name, health["error"])
    for path, value in leaves({name: part for name, part in report.items() if name not in {"collectors", "clock"}}):
        if isinstance(value, float):
            assert math.isfinite(value), (what, path)
        if isinstance(value, int | float) and path.endswith(("_per_second", "_percent", "_latency_seconds")):
            assert value >= 0, (what, path)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_becomes_of_a_file_the_next_report_has_an_error_that_names_it_or_a_sample_without_a_wrong_rate(
    kind: str, tmp_path: Path
) -> None:
    choice = random.Random(kind)
    root = tmp_path / "root"
    shutil.copytree(TREES / kind, root, symlinks=True)
    seconds = 0.0
    made = [dataclasses.replace(one, period_seconds=1, may_block=False) for one in fresh()]
    sampler = Sampler(made, Host(str(root)), clock=lambda: seconds)
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        whole = path.read_bytes()
        for content in (*broken(whole, choice), whole):
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            seconds += 1
            sampler.tick()
            newest = sampler.recall.newest()
            assert newest is not None
            check(wire.decode(newest.body), f"{path.relative_to(root)}: {(content or b'missing')[:200]!r}")
    assert all(health["ok"] for health in sampler.health().values())  # as soon as the files are whole again


# Files of columns, in which newer kernels have put more columns behind those they had.
COLUMNS = (
    "proc/stat", "proc/diskstats", "proc/net/dev", "proc/net/arp", "proc/net/softnet_stat", "proc/net/snmp",
    "proc/net/netstat", "proc/pressure/cpu", "proc/pressure/io", "proc/loadavg", "proc/uptime",
    "proc/sys/fs/file-nr", "proc/schedstat", "proc/4711/stat", "proc/self/mountinfo",
)  # fmt: skip


def test_more_columns_of_a_newer_kernel_change_nothing(tmp_path: Path) -> None:
    def collected() -> dict[str, Any]:
        made = [one for one in fresh() if one.name not in {"clock", "filesystems"}]
        samples = {one.name: one.collect(Host(str(root))) for one in made}
        return samples | {"disks": samples["disks"]["vda"]}  # the other disks there are of an older kernel

    root = tmp_path / "root"
    shutil.copytree(TREES / "vm", root)
    before = collected()
    for name in COLUMNS:
        path = root / name
        path.write_bytes(path.read_bytes().replace(b"\n", b" 7 8 9\n"))
    assert collected() == before


def test_the_physical_server_tells_of_its_hardware() -> None:
    sample = hardware.collect(tree("physical"))
    chip = sample["temperatures"]["platform_coretemp_0"]
    assert chip["temp1"] == {
        "celsius": 47.0, "critical_celsius": 100.0, "critical_over_celsius": 98.0, "high_celsius": 80.0, "alarm": 0,
        "critical_alarm": 1, "label": "Package id 0",
    }  # fmt: skip
    assert sample["fans"] == {"nct6775": {"fan1": {"revolutions_per_minute": 1250, "label": "CPU fan"}}}
    assert sample["mains"] == {"AC": {"online": 1}}
    assert sample["batteries"] == {"BAT0": {"charged_percent": 87, "status": "Not charging"}}
    assert sample["memory_controllers"] == {"0": {"correctable_errors_total": 12, "uncorrectable_errors_total": 0}}
    assert set(sample["arrays"]) == {"md0", "md_home"}
    assert sample["arrays"]["md_home"] == {
        "state": "active-idle", "level": "raid10", "sync_action": "idle", "disks": 4, "disks_missing": 0,
        "disks_by_state": {"active": 4, "failed": 0, "spare": 0},
        "modes": {"active": 1, "inactive": 0, "recovering": 0, "resync": 0, "check": 0},
    }  # fmt: skip
    assert sample["arrays"]["md0"] == {
        "state": "clean", "level": "raid1", "sync_action": "recover", "synchronised_percent": 25.0,
        "disks": 2, "disks_missing": 1, "disks_by_state": {"active": 1, "failed": 1, "spare": 1},
        "modes": {"active": 0, "inactive": 0, "recovering": 1, "resync": 0, "check": 0},
    }  # fmt: skip
    assert sample["zones"] == {"0": {"celsius": 48.5, "type": "x86_pkg_temp"}}
    assert sample["cooling"] == {"0": {"level": 3, "highest_level": 10, "type": "Processor"}}
    assert sample["processors"]["3"] == {
        "hertz": 3_400_000_000, "highest_hertz": 4_800_000_000, "lowest_hertz": 800_000_000
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "action", "mode"),
    [
        ("clear", None, "inactive"),
        ("inactive", None, "inactive"),
        ("active", "idle", "active"),
        ("clean", "recover", "recovering"),
        ("active", "resync", "resync"),
        ("active", "check", "check"),
        ("clean", "repair", "check"),
        ("readonly", None, "active"),  # levels without redundancy have no such file
    ],
)
def test_what_an_array_does_is_said_in_node_exporter_s_words(
    state: str, action: str | None, mode: str, tmp_path: Path
) -> None:
    md = tmp_path / "sys/block/md_d3/md"
    md.mkdir(parents=True)
    (md / "array_state").write_text(state + "\n", encoding="ascii")
    if action:
        (md / "sync_action").write_text(action + "\n", encoding="ascii")
    array = hardware.collect(Host(str(tmp_path)))["arrays"]["md_d3"]
    assert [one for one, on in array["modes"].items() if on] == [mode]
    assert "disks_missing" not in array


def test_names_of_any_bytes_are_text_that_can_be_shown_and_sent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(TREES / "vm", root)
    strange = b"\xff\xfe\x1b[2J\"\\"
    (root / "proc/sys/kernel/hostname").write_bytes(strange + b"\n")
    (root / "proc/4711/stat").write_bytes((root / "proc/4711/stat").read_bytes().replace(b"(", b"(" + strange, 1))
    for name in ("proc/net/dev", "proc/net/arp"):
        (root / name).write_bytes((root / name).read_bytes().replace(b"eth0", strange))
    os.rename(root / "sys/class/net/eth0", os.path.join(os.fsencode(root / "sys/class/net"), strange))
    battery = os.path.join(os.fsencode(root / "sys/class/power_supply"), strange)
    os.makedirs(battery)
    Path(os.fsdecode(battery), "capacity").write_text("7\n", encoding="ascii")
    group = os.path.join(os.fsencode(root / "sys/fs/cgroup/system.slice"), strange + b".service")
    os.makedirs(group)
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpu\n", encoding="ascii")
    Path(os.fsdecode(group), "memory.current").write_text("4096\n", encoding="ascii")
    samples = [(one, one.collect(Host(str(root)))) for one in fresh()]
    by_name = {one.name: sample for one, sample in samples}
    shown = "\ufffd\ufffd\\x1b[2J\"\\"
    assert by_name["host"]["hostname"] == shown
    assert by_name["network"][shown]["received_bytes_total"] == 835783048
    assert by_name["links"][shown]["state"] == "up"
    assert by_name["netstack"]["neighbours"][shown] == 3
    assert by_name["hardware"]["batteries"][shown]["charged_percent"] == 7
    assert by_name["control_groups"][f"system.slice/{shown}.service"] == {"memory_bytes": 4096}
    assert any(one["name"].startswith(shown) for one in by_name["processes"]["top_memory"].values())
    for sample in by_name.values():
        wire.encode(sample).decode("utf-8")
    assert b"\x1b" not in render(samples, {})


def test_a_bond_tells_how_many_of_its_interfaces_have_a_link() -> None:
    sample = links.collect(tree("physical"))
    # The other one has a carrier, but nobody answers the bond's questions behind it.
    assert (sample["bond0"]["slaves"], sample["bond0"]["slaves_active"], sample["eth1"]["up"]) == (2, 1, 1)
    assert "speed_bytes_per_second" not in sample["eth1"]


def test_units_and_containers_are_told_from_the_slices_above_them() -> None:
    sample = control_groups.collect(tree("physical"))
    assert set(sample) == {
        "system.slice/nginx.service",
        "system.slice/system-getty.slice/getty@tty1.service",
        "machine.slice/machine-web.scope",
    }
    assert sample["system.slice/nginx.service"] == {
        "memory_bytes": 52428800, "tasks": 5, "cpu_seconds_total": 5.0, "throttled_seconds_total": 0.25,
        "oom_kills_total": 1, "cpu_stalled_seconds_total": 0.123456, "memory_stalled_seconds_total": 0.002,
        "io_stalled_seconds_total": 0.002, "read_bytes_total": 4196, "written_bytes_total": 1024,
    }  # fmt: skip
    assert sample["machine.slice/machine-web.scope"]["memory_limit_bytes"] == 268435456
    assert control_groups.collect(tree("vm")) == {}


def test_the_virtual_machine_tells_of_its_network() -> None:
    assert links.collect(tree("vm"))["eth0"]["speed_bytes_per_second"] == 125_000_000
    assert protocols.collect(tree("vm"))["TcpExt_TCPTimeouts_total"] == 77
    assert protocols.collect(tree("vm"))["Icmp6_InMsgs_total"] == 3
    assert protocols.collect(tree("vm"))["Tcp_CurrEstab"] == 12
    assert sockets.collect(tree("vm"))["TCP_mem_bytes"] == 3 * 4096
    sample = netstack.collect(tree("vm"))
    assert sample["conntrack_used_percent"] == 0.06
    assert sample["softnet"]["0"] == {"processed_total": 0xC8A1, "dropped_total": 2, "times_squeezed_total": 5}
    assert sample["neighbours"] == {"eth0": 3}
    assert links.collect(tree("vm"))["eth0"]["receive_nohandler_total"] == 12


def test_what_the_protocols_count_has_a_rate_and_what_they_hold_has_none() -> None:
    (collector,) = (one for one in fresh() if one.name == "protocols")
    before = collector.collect(tree("vm"))
    now = before | {"Tcp_RetransSegs_total": before["Tcp_RetransSegs_total"] + 15, "Tcp_CurrEstab": 20}
    sample = collector.derive(before, now, 5.0)
    assert (sample["Tcp_RetransSegs_per_second"], sample["Tcp_InSegs_per_second"]) == (3.0, 0.0)
    assert not [name for name in sample if name.startswith(("Tcp_CurrEstab_", "Ip_Forwarding_"))]
    assert render([(collector, sample)], {}).count(b"node_netstat_Tcp_RetransSegs 325\n") == 1


def test_the_scheduler_tells_how_long_tasks_ran_and_waited() -> None:
    assert scheduler.collect(tree("vm"))["1"] == {
        "running_seconds_total": 3000.0, "waiting_seconds_total": 1.0, "timeslices_total": 1945123
    }  # fmt: skip
    assert scheduler.collect(tree("arm")) == {}


def test_no_link_in_a_frozen_tree_leads_above_itself() -> None:
    """As they do in sysfs: the build of the package copies the trees with what links lead to, and would never end."""
    links = [path for path in TREES.rglob("*") if path.is_symlink()]
    assert links
    assert [link for link in links if link.resolve() in link.parent.resolve().parents] == []
