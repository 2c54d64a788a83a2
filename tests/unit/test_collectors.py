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
    uptime,
    vmstat,
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


def test_guest_time_is_not_counted_twice() -> None:
    before = cpu.parse("cpu  0 0 0 0 0 0 0 0 0 0\n")
    derived = cpu.derive(before, cpu.parse("cpu  50 0 0 50 0 0 0 0 50 0\n"), 1.0)
    assert (derived["busy_percent"], derived["guest_seconds_total"]) == (50.0, 50 / os.sysconf("SC_CLK_TCK"))
    assert "guest_percent" not in derived


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


def test_memory_is_all_of_meminfo_and_what_people_ask_of_it(host: Host) -> None:
    sample = memory.collect(host)
    assert sample["used_bytes"] == (4015976 - 2811776) * 1024
    assert sample["used_percent"] == pytest.approx(100 * (4015976 - 2811776) / 4015976, abs=0.01)
    assert sample["swap_used_bytes"] == (998396 - 952316) * 1024
    assert sample["meminfo"]["Active_anon_bytes"] == 702340 * 1024
    assert len(sample["meminfo"]) == 25


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "nonsense\n" * 5])
def test_meminfo_that_is_cut_off_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="/proc/meminfo lacks MemTotal or MemAvailable"):
        memory.parse(text)


def test_paging_and_kills_for_want_of_memory(host: Host) -> None:
    sample = vmstat.collect(host)
    assert (sample["oom_kills_total"], sample["major_faults_total"]) == (1, 5120)
    assert (sample["paged_in_kibibytes_total"], sample["swapped_out_pages_total"]) == (1200344, 11820)
    with pytest.raises(ValueError, match="/proc/vmstat"):
        vmstat.parse("")


def test_disks_are_whole_devices_and_lines_that_are_cut_off_are_left_out(host: Host) -> None:
    sample = disks.collect(host)
    assert set(sample) == {"vda", "nvme0n1", "dm-0", "sr0"}
    assert sample["vda"] == {
        "reads_total": 41843,
        "reads_merged_total": 1020,
        "read_bytes_total": 3297612 * 512,
        "read_time_seconds_total": 8.174,
        "writes_total": 136938,
        "writes_merged_total": 70110,
        "written_bytes_total": 4484868 * 512,
        "write_time_seconds_total": 19.054,
        "in_flight": 3,
        "busy_seconds_total": 14.076,
        "queue_seconds_total": 29.804,
        "discards_total": 0,
        "discards_merged_total": 0,
        "discarded_sectors_total": 0,
        "discard_time_seconds_total": 0.0,
        "flushes_total": 4410,
        "flush_time_seconds_total": 2.576,
    }
    assert len(sample["dm-0"]) == 11


LEFT_OUT = (
    "ram0 loop12 fd0 sda1 sdab12 hda3 vdb2 xvda1 nvme0n1p2 nvme10n2p11 mmcblk0p1 nbd0p3 md0p1 md127p12 md_d0p1".split()
)
WHOLE = "sda sdab vdb xvda nvme0n1 mmcblk0 nbd0 dm-0 md127 md_d0 md_home md_p1 sr0 zd16 bcache0 drbd1 rbd0".split()


def test_partitions_loop_and_ram_devices_are_left_out_and_no_other_one() -> None:
    names = [*LEFT_OUT, *WHOLE]
    text = "".join(f"8 {number} {name} 1 0 8 1 1 0 8 1 0 1 1\n" for number, name in enumerate(names))
    assert list(disks.parse(text)) == WHOLE


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
        "received_packets_total": 914415,
        "receive_errors_total": 2,
        "receive_drops_total": 7,
        "receive_fifo_total": 0,
        "receive_frame_total": 0,
        "receive_compressed_total": 0,
        "receive_multicast_total": 0,
        "sent_bytes_total": 95519532,
        "sent_packets_total": 305008,
        "send_errors_total": 1,
        "send_drops_total": 3,
        "send_fifo_total": 0,
        "send_collisions_total": 0,
        "send_carrier_total": 0,
        "send_compressed_total": 0,
    }


def test_an_alias_of_an_interface_keeps_its_name() -> None:
    assert list(network.parse("eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nhalf: 1 2")) == ["eth0:1"]


def test_pressure_is_time_stalled_in_seconds_and_empty_without_psi(host: Host, tmp_path: Path) -> None:
    assert pressure.collect(host)["io"] == {
        "some_stalled_seconds_total": 5.149908, "full_stalled_seconds_total": 4.441933
    }  # fmt: skip
    assert pressure.collect(Host(str(tmp_path))) == {}


def test_processes_are_counted_by_state_whatever_their_names_are(host: Host) -> None:
    sample = processes.Processes().collect(host)
    assert (sample["processes"], sample["threads"], sample["limit"]) == (5, 19, 4194304)
    assert sample["states"] == {
        "running": 1, "sleeping": 2, "uninterruptible": 1, "zombie": 1, "stopped": 0, "traced": 0, "idle": 0
    }  # fmt: skip
    assert sample["top_memory"]["312"]["name"] == "odd) Z 9 (name"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The frozen machine, to be changed."""
    root = tmp_path / "root"
    shutil.copytree(TREE, root)
    return root


def live(root: Path, pid: int, ticks: int, started: int = 100, pages: int = 500, flags: int = 0) -> None:
    """Let a process of the machine have used so many ticks."""
    (root / f"proc/{pid}").mkdir(exist_ok=True)
    rest = f"R 1 1 1 0 -1 {flags} 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0 {pages} 0"
    (root / f"proc/{pid}/stat").write_text(f"{pid} (busy{pid}) {rest}\n", encoding="ascii")


def test_the_top_five_are_those_that_used_most_since_the_last_look(copied: Path) -> None:
    host, collector = Host(str(copied)), processes.Processes()
    for pid in range(800, 808):
        live(copied, pid, 1000)
    assert "top_cpu" not in collector.collect(host)
    for pid in range(800, 808):
        live(copied, pid, 1000 + pid - 800)
    live(copied, 807, 50, started=999)  # another process with an old number
    live(copied, 900, 300)  # one that began since
    (copied / "proc/uptime").write_text("46521.92 91204.50\n", encoding="ascii")
    top = collector.collect(host)["top_cpu"]
    ticks = os.sysconf("SC_CLK_TCK")
    assert list(top) == ["900", "807", "806", "805", "804"]
    assert top["900"] == {"name": "busy900", "user": top["900"]["user"], "cpu_percent": round(300 / ticks * 10, 1)}


def test_traffic_is_counted_from_the_look_that_could_see_it_first(copied: Path) -> None:
    host, collector = Host(str(copied)), processes.Processes()
    live(copied, 800, 1000)
    live(copied, 801, 1000)
    live(copied, 802, 1000, pages=0)  # as in its first moments, or when it is swapped out
    live(copied, 803, 1000, pages=0, flags=processes.PF_KTHREAD)
    (copied / "proc/801/io").write_text("read_bytes: 1000\nwrite_bytes: 500\n", encoding="ascii")
    (copied / "proc/802/io").write_text("read_bytes: 2000\nwrite_bytes: 500\n", encoding="ascii")
    collector.collect(host)
    live(copied, 900, 10)
    for pid in (800, 801, 802, 803, 900):
        (copied / f"proc/{pid}/io").write_text("read_bytes: 4000\nwrite_bytes: 2500\n", encoding="ascii")
    (copied / "proc/uptime").write_text("46521.92 91204.50\n", encoding="ascii")
    top = {pid: one["io_bytes_per_second"] for pid, one in collector.collect(host)["top_io"].items()}
    assert top == {"900": 650.0, "801": 500.0, "802": 400.0}  # the first has begun since; of 800 nothing was known


def test_the_top_five_never_show_arguments(copied: Path) -> None:
    (copied / "proc/4711/cmdline").write_bytes(b"worker\0--password=secret\0")
    assert "secret" not in str(processes.Processes().collect(Host(str(copied))))


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
    assert sample["processor"] == "QEMU Virtual CPU version 2.5+"
    assert len(sample["machine_id"]) == 32
    assert sample["machine_id"] != "0123456789abcdef0123456789abcdef"


def test_facts_that_cannot_be_found_out_are_absent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(TREE, root)
    shutil.rmtree(root / "etc")
    (root / "proc/sys/kernel/random/boot_id").unlink()
    sample = facts.collect(Host(str(root)))
    assert not {"machine_id", "boot_id", "distribution"} & set(sample)


def test_a_container_without_systemd_knows_all_the_same_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    trees = {kind: facts.collect(Host(str(TREE.parent / kind))) for kind in ("docker", "lxc", "vm")}
    assert (trees["docker"]["virtualization"], trees["lxc"]["virtualization"]) == ("docker", "lxc")
    assert "virtualization" not in trees["vm"]


def test_the_kind_of_machine_is_the_one_that_systemd_detects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detect = tmp_path / "systemd-detect-virt"
    detect.write_text("#!/bin/sh\necho none\nexit 1\n", encoding="ascii")
    detect.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.collect(Host(str(TREE)))["virtualization"] == "none"


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


def shown(*lines: str) -> dict[str, str]:
    """Which of these mounts are told, by number; a line is `identity parent number root point`."""
    text = "".join(f"{line} rw shared:1 - ext4 /dev/x rw\n" for line in lines)
    return {mount.number: mount.point for mount in filesystems.parse(text)}


WHOLE_AND_PART = ("30 28 8:1 / /srv/long/path", "31 28 8:1 /sub /b", "32 28 8:1 /sub/deeper /c")


@pytest.mark.parametrize("order", [1, -1])
def test_the_whole_of_a_filesystem_is_told_though_a_part_of_it_has_a_shorter_path(order: int) -> None:
    assert shown("28 1 8:0 / /", *WHOLE_AND_PART[::order]) == {"8:0": "/", "8:1": "/srv/long/path"}
    assert shown(*WHOLE_AND_PART[1:][::order]) == {"8:1": "/b"}
    assert shown(*("30 28 8:1 / /srv/long/path", "31 28 8:1 / /srv/p")[::order]) == {"8:1": "/srv/p"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_mount_under_another_one_is_not_told(order: int) -> None:
    def ordered(*lines: str) -> dict[str, str]:
        return shown("28 1 8:0 / /", *lines[::order])

    assert ordered("30 28 8:1 / /srv", "31 30 8:2 / /srv") == {"8:0": "/", "8:2": "/srv"}
    assert ordered("30 28 8:1 / /srv/data", "31 28 8:2 / /srv") == {"8:0": "/", "8:2": "/srv"}
    # What is mounted on it is there no longer either; and what is mounted on the one above is.
    below = ("30 28 8:1 / /srv/data", "33 30 8:3 / /srv/data/more", "31 28 8:2 / /srv", "34 31 8:4 / /srv/data")
    assert ordered(*below) == {"8:0": "/", "8:2": "/srv", "8:4": "/srv/data"}
    # Unless it is mounted elsewhere too.
    again = ("30 28 8:1 / /srv/data", "35 28 8:1 / /mnt/other/place", "31 28 8:2 / /srv")
    assert ordered(*again) == {"8:0": "/", "8:1": "/mnt/other/place", "8:2": "/srv"}


def test_a_filesystem_around_the_root_or_one_that_is_its_own_parent_covers_nothing() -> None:
    lines = ("1 1 0:2 / /", "28 1 8:0 / /", "30 28 8:1 / /srv", "31 30 8:2 / /srv/data", "40 99 8:3 / /from/outside")
    assert shown(*lines) == {"8:0": "/", "8:1": "/srv", "8:2": "/srv/data", "8:3": "/from/outside"}


def test_read_only_is_the_filesystem_and_not_the_sandbox_around_the_agent() -> None:
    mounts = {mount.point: mount for mount in filesystems.parse(mountinfo())}
    assert not mounts["/"].read_only
    assert mounts["/srv/data"].read_only


def test_an_overlay_is_a_filesystem_only_as_the_root() -> None:
    line = "28 1 0:45 / / rw - overlay overlay rw,lowerdir=/a"
    assert [mount.kind for mount in filesystems.parse(line)] == ["overlay"]


@pytest.fixture
def mounted(copied: Path) -> Path:
    """The frozen machine with the directories that its mounts are at."""
    for point in ("run", "srv/data", "srv/covered", "mnt/back up\\\ndir"):
        (copied / point).mkdir(parents=True, exist_ok=True)
    return copied


def test_names_of_filesystems_are_text_on_one_line(mounted: Path) -> None:
    sample = Filesystems().collect(Host(str(mounted)))
    assert "/mnt/back up\\\\ndir" in sample
    assert sample["/"]["device"] == "/dev/vda1"


def test_a_mount_whose_name_is_not_utf8_is_looked_at_all_the_same(mounted: Path) -> None:
    os.mkdir(bytes(mounted) + b"/mnt/caf\xe9")
    with (mounted / "proc/self/mountinfo").open("ab") as file:
        file.write(b"70 28 0:70 / /mnt/caf\xe9 rw - ext4 /dev/caf\xe9 rw\n")
    about = Filesystems().collect(Host(str(mounted)))["/mnt/caf\ufffd"]
    assert (about["state"], about["device"]) == ("ok", "/dev/caf\ufffd")


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


def test_a_single_file_that_is_mounted_is_no_filesystem(mounted: Path) -> None:
    (mounted / "etc/hosts").write_text("", encoding="ascii")
    with (mounted / "proc/self/mountinfo").open("a", encoding="ascii") as file:
        file.write("70 28 0:70 /docker/hosts /etc/hosts rw - ext4 /dev/host rw\n")
    assert "/etc/hosts" not in Filesystems().collect(Host(str(mounted)))
    # But a folder of the same disk, which a container may have been given, is.
    (mounted / "srv/volume").mkdir()
    with (mounted / "proc/self/mountinfo").open("a", encoding="ascii") as file:
        file.write("71 28 0:70 /docker/volumes/with-a-long-name /srv/volume rw - ext4 /dev/host rw\n")
    sample = Filesystems().collect(Host(str(mounted)))
    assert "/etc/hosts" not in sample
    assert sample["/srv/volume"]["state"] == "ok"


def test_mountinfo_that_is_cut_off_gives_what_is_whole() -> None:
    text = mountinfo()
    for length in range(0, len(text), 7):
        filesystems.parse(text[:length])


def test_a_name_that_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"caf\xe9")
    assert Host(str(tmp_path)).read("/file") == "caf�"
