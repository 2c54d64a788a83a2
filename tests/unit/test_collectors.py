"""Every collector on a frozen machine, and on files that are cut off."""

import os
import shutil
from pathlib import Path

import pytest

from monitoring_agent.collectors import (
    cpu,
    disks,
    facts,
    filesystems,
    load,
    memory,
    network,
    pressure,
    processes,
    swap,
    uptime,
)
from monitoring_agent.collectors.filesystems import Filesystems
from monitoring_agent.host import Host

TREE = Path(__file__).parents[1] / "trees" / "vm"


@pytest.fixture
def host() -> Host:
    return Host(str(TREE))


def test_cpu_times_are_in_seconds_for_the_machine_and_each_processor(host: Host) -> None:
    sample = cpu.collect(host)
    ticks = os.sysconf("SC_CLK_TCK")
    assert sample["user_seconds_total"] == 150230 / ticks
    assert sample["steal_seconds_total"] == 250 / ticks
    assert sample["cores"]["1"]["softirq_seconds_total"] == 310 / ticks
    assert (sample["context_switches_total"], sample["forks_total"]) == (40123456, 51234)
    assert (sample["interrupts_total"], sample["soft_interrupts_total"]) == (18234567, 9123456)


def test_busy_is_what_is_neither_idle_nor_waiting_for_the_disk() -> None:
    before = cpu.parse("cpu  0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n")
    after = cpu.parse("cpu  20 0 10 60 10 0 0 0\ncpu0 20 0 10 60 10 0 0 0\n")
    derived = cpu.derive(before, after, 1.0)
    assert derived["busy_percent"] == derived["cores"]["0"]["busy_percent"] == 30.0
    assert derived["user_percent"] == 20.0


def test_a_processor_that_was_switched_on_has_no_shares_yet() -> None:
    before = cpu.parse("cpu  0 0 0 0\n")
    derived = cpu.derive(before, cpu.parse("cpu  1 0 0 9\ncpu7 1 0 0 9\n"), 1.0)
    assert "busy_percent" in derived
    assert "busy_percent" not in derived["cores"]["7"]


def test_an_old_kernel_with_fewer_columns_is_understood() -> None:
    sample = cpu.parse("cpu  1 2 3 4\n")
    assert set(sample) == {
        "user_seconds_total", "nice_seconds_total", "system_seconds_total", "idle_seconds_total", "cores"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "cpu", "cpu  \n", "nonsense"])
def test_a_stat_file_without_processors_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="/proc/stat"):
        cpu.parse(text)


def test_load_and_uptime(host: Host) -> None:
    assert load.collect(host) == {
        "load_1m": 0.52, "load_5m": 0.48, "load_15m": 0.40, "tasks_runnable": 2, "tasks": 187
    }  # fmt: skip
    assert uptime.collect(host) == {"uptime_seconds": 46511.92}


def test_load_and_uptime_that_are_cut_off_are_errors() -> None:
    with pytest.raises(ValueError, match="/proc/loadavg"):
        load.parse("0.52 0.48")
    with pytest.raises(ValueError, match="/proc/uptime"):
        uptime.parse("")


def test_memory_and_swap_are_in_bytes(host: Host) -> None:
    sample = memory.collect(host)
    assert sample["total_bytes"] == 4015976 * 1024
    assert sample["available_bytes"] == 2811776 * 1024
    assert sample["used_percent"] == pytest.approx(100 * (4015976 - 2811776) / 4015976, abs=0.1)
    assert swap.collect(host) == {
        "total_bytes": 998396 * 1024,
        "used_bytes": (998396 - 952316) * 1024,
        "free_bytes": 952316 * 1024,
        "used_percent": pytest.approx(4.6, abs=0.1),
        "swapped_in_bytes_total": 310 * 4096,
        "swapped_out_bytes_total": 11820 * 4096,
    }


def test_disks_are_whole_devices_and_lines_that_are_cut_off_are_left_out(host: Host) -> None:
    sample = disks.collect(host)
    assert set(sample) == {"vda", "nvme0n1", "dm-0"}
    assert sample["vda"] == {
        "reads_total": 41843,
        "read_bytes_total": 3297612 * 512,
        "read_time_seconds_total": 8.174,
        "writes_total": 136938,
        "written_bytes_total": 4484868 * 512,
        "write_time_seconds_total": 19.054,
        "in_flight": 3,
        "busy_seconds_total": 14.076,
        "queue_seconds_total": 29.804,
    }


def test_the_latency_of_a_disk_is_time_per_operation_and_absent_without_operations() -> None:
    before = disks.parse("254 0 vda 10 0 0 100 5 0 0 50 0 100 150")
    after = disks.parse("254 0 vda 14 0 80 108 5 0 0 50 1 600 650")
    device = disks.derive(before, after, 2.0)["vda"]
    assert device["read_latency_seconds"] == 0.002
    assert "write_latency_seconds" not in device
    assert (device["read_bytes_per_second"], device["busy_percent"]) == (80 * 512 / 2, 25.0)


def test_network_interfaces_have_bytes_packets_errors_and_drops(host: Host) -> None:
    assert network.collect(host)["eth0"] == {
        "received_bytes_total": 835783048,
        "sent_bytes_total": 95519532,
        "received_packets_total": 914415,
        "sent_packets_total": 305008,
        "receive_errors_total": 2,
        "send_errors_total": 1,
        "receive_drops_total": 7,
        "send_drops_total": 3,
    }


def test_pressure_is_time_stalled_in_seconds_and_empty_without_psi(host: Host, tmp_path: Path) -> None:
    assert pressure.collect(host)["io"] == {
        "some_stalled_seconds_total": 5.149908, "full_stalled_seconds_total": 4.441933
    }  # fmt: skip
    assert pressure.collect(Host(str(tmp_path))) == {}


def test_processes_are_counted_by_state_whatever_their_names_are(host: Host) -> None:
    assert processes.collect(host) == {
        "processes": 5,
        "threads": 19,
        "running": 1,
        "sleeping": 2,
        "uninterruptible": 1,
        "zombie": 1,
        "stopped": 0,
        "traced": 0,
        "idle": 0,
    }


def test_facts_name_the_machine_without_giving_its_identity_away(host: Host) -> None:
    sample = facts.collect(host)
    assert sample["hostname"] == "web-1"
    assert sample["distribution"] == "Debian GNU/Linux 12 (bookworm)"
    assert (sample["distribution_id"], sample["distribution_version"]) == ("debian", "12")
    assert sample["kernel"] == "6.1.0-28-amd64"
    assert sample["boot_id"] == "6f1c0f62-3f0a-4a51-9d5e-0a6f2b7c8d90"
    assert sample["booted_at"] == 1794900000
    assert sample["cpus"] == 2
    assert sample["memory_bytes"] == 4015976 * 1024
    assert len(sample["machine_id"]) == 32
    assert sample["machine_id"] != "0123456789abcdef0123456789abcdef"


def test_facts_that_cannot_be_found_out_are_absent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(TREE, root)
    shutil.rmtree(root / "etc")
    (root / "proc/sys/kernel/random/boot_id").unlink()
    sample = facts.collect(Host(str(root)))
    assert not {"machine_id", "boot_id", "distribution"} & set(sample)


@pytest.mark.parametrize("identity", ["", "not hex", "0123", "uninitialized"])
def test_a_machine_without_an_identity_has_none(identity: str) -> None:
    assert facts.machine_id(identity) is None


def mountinfo() -> str:
    return (TREE / "proc/self/mountinfo").read_text(encoding="utf-8")


def test_filesystems_are_the_real_ones_once_for_each_device() -> None:
    mounts = {mount.point: mount for mount in filesystems.parse(mountinfo())}
    assert set(mounts) == {"/", "/run", "/srv/data", "/mnt/back up\\\ndir", "/srv/covered"}
    assert mounts["/srv/covered"].source == "/dev/covering"
    assert mounts["/mnt/back up\\\ndir"].kind == "nfs4"


def test_read_only_is_the_filesystem_and_not_the_sandbox_around_the_agent() -> None:
    mounts = {mount.point: mount for mount in filesystems.parse(mountinfo())}
    assert not mounts["/"].read_only
    assert mounts["/srv/data"].read_only


def test_an_overlay_is_a_filesystem_only_as_the_root() -> None:
    line = "28 1 0:45 / / rw - overlay overlay rw,lowerdir=/a"
    assert [mount.kind for mount in filesystems.parse(line)] == ["overlay"]


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """The frozen machine with the directories that its mounts are at."""
    root = tmp_path / "root"
    shutil.copytree(TREE, root)
    for point in ("run", "srv/data", "srv/covered", "mnt/back up\\\ndir"):
        (root / point).mkdir(parents=True)
    return root


def test_names_of_filesystems_are_text_on_one_line(mounted: Path) -> None:
    sample = Filesystems().collect(Host(str(mounted)))
    assert "/mnt/back up\\\\ndir" in sample
    assert sample["/"]["device"] == "/dev/vda1"


def test_a_filesystem_has_the_numbers_of_df(mounted: Path) -> None:
    about = Filesystems().collect(Host(str(mounted)))["/"]
    space = os.statvfs(mounted)
    assert about["state"] == "ok"
    assert about["size_bytes"] == space.f_blocks * space.f_frsize
    assert about["inodes"] == space.f_files
    assert 0 <= about["used_percent"] <= 100


def test_a_mount_that_went_away_is_said_and_costs_the_others_nothing(mounted: Path) -> None:
    (mounted / "srv/data").rmdir()
    sample = Filesystems().collect(Host(str(mounted)))
    assert (sample["/srv/data"]["state"], sample["/srv/data"]["error"]) == ("failed", "No such file or directory")
    assert sample["/"]["state"] == "ok"


def test_mountinfo_that_is_cut_off_gives_what_is_whole() -> None:
    text = mountinfo()
    for length in range(0, len(text), 7):
        filesystems.parse(text[:length])


def test_a_name_that_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"caf\xe9")
    assert Host(str(tmp_path)).read("/file") == "caf�"
