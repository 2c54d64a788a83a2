"""Disks in which nothing ends, on a clock of the test's own."""

from pathlib import Path

import pytest

from monitoring_agent.collectors.stalls import Stalls
from monitoring_agent.host import Host


class Disk:
    """A block device of a machine, and the time."""

    def __init__(self, root: Path) -> None:
        self.file = root / "sys/dev/block/8:1/stat"
        self.file.parent.mkdir(parents=True)
        self.blocked = root / "proc/stat"
        self.blocked.parent.mkdir()
        self.blocked.write_text("cpu  1 2 3 4\nprocs_running 1\nprocs_blocked 1\n", encoding="ascii")
        self.host = Host(str(root))
        self.seconds = 100.0
        self.stalls = Stalls(lambda: self.seconds)

    def look(self, text: str) -> dict[str, float]:
        self.file.write_text(text, encoding="ascii")
        return self.stalls.look(self.host, ["8:1", "0:44"])


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def stat(reads: int, writes: int, in_flight: int, flushes: int = 0) -> str:
    return f"{reads} 0 0 0 {writes} 0 0 0 {in_flight} 9 9 0 0 0 0 {flushes} 0\n"


def test_a_disk_with_operations_in_progress_of_which_none_ends_is_stalled_until_one_does(disk: Disk) -> None:
    assert disk.look(stat(10, 5, 2)) == {}
    disk.seconds += 15
    assert disk.look(stat(10, 5, 2)) == {"8:1": 15.0}
    disk.seconds += 15
    assert disk.look(stat(10, 5, 3)) == {"8:1": 30.0}
    disk.seconds += 15
    assert disk.look(stat(10, 6, 3)) == {}
    disk.seconds += 15
    assert disk.look(stat(10, 6, 3)) == {"8:1": 15.0}


@pytest.mark.parametrize("text", [stat(11, 5, 2), stat(10, 5, 2, flushes=1), stat(10, 5, 0), "", "10 0 0", "x " * 17])
def test_a_disk_that_works_or_rests_or_is_not_understood_is_not_stalled(disk: Disk, text: str) -> None:
    disk.look(stat(10, 5, 2))
    disk.seconds += 15
    assert disk.look(text) == {}


def test_a_disk_that_rested_meanwhile_starts_anew(disk: Disk) -> None:
    disk.look(stat(10, 5, 2))
    disk.seconds += 15
    disk.look(stat(10, 5, 0))
    disk.seconds += 15
    assert disk.look(stat(10, 5, 2)) == {}


def test_looks_that_follow_at_once_are_too_soon_to_tell(disk: Disk) -> None:
    disk.look(stat(10, 5, 2))
    disk.seconds += 3
    assert disk.look(stat(10, 5, 2)) == {}


@pytest.mark.parametrize("text", ["procs_blocked 0\n", "", None])
def test_an_operation_that_the_kernel_never_ends_is_no_stall_while_nobody_waits(disk: Disk, text: str | None) -> None:
    disk.look(stat(10, 5, 2))
    disk.seconds += 15
    if text is None:
        disk.blocked.unlink()
    else:
        disk.blocked.write_text(text, encoding="ascii")
    assert disk.look(stat(10, 5, 2)) == {}


def test_a_suspended_device_mapper_is_stalled_although_it_counts_nothing_until_it_is_resumed(disk: Disk) -> None:
    suspended = disk.file.parent / "dm/suspended"
    suspended.parent.mkdir()
    disk.blocked.write_text("procs_blocked 0\n", encoding="ascii")
    for seconds, said, stalled in ((0, "0", {}), (15, "1", {}), (15, "1", {"8:1": 15.0}), (15, "0", {}), (15, "1", {})):
        disk.seconds += seconds
        suspended.write_text(f"{said}\n", encoding="ascii")
        assert disk.look(stat(10, 5, 0)) == stalled


def test_an_old_kernel_with_fewer_columns_is_understood(disk: Disk) -> None:
    disk.look("10 0 0 0 5 0 0 0 1 9 9\n")
    disk.seconds += 20
    assert disk.look("10 0 0 0 5 0 0 0 1 9 9\n") == {"8:1": 20.0}
