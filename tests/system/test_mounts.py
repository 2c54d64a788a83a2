"""Which of its mounts the installed agent tells a filesystem by, on real disks that are mounted in every odd way."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .machine import Machine
from .test_facts import report
from .test_oracles import MIB, df

# Each disk has another size, by which its numbers are known.
DISKS = ("bound", "mounted-after", "twice", "part", "covered", "buried", "with-a-file", "odd")

MOUNTS = r"""
set -e
on() { mkdir -p "$2"; mount /dev/disks/$1 "$2"; mkdir -p "$2/sub/deeper"; }
bind() { mkdir -p "$2"; mount --bind "$1" "$2"; }
# A folder of it is at a shorter path than the whole.
on bound /srv/a/long/path; bind /srv/a/long/path/sub /b
# The same, and the whole came later.
on mounted-after /srv/another/long/path; bind /srv/another/long/path/sub /c; umount /srv/another/long/path
on mounted-after /srv/another/long/path
# The whole at two places.
on twice /srv/yet/another/long/path; bind /srv/yet/another/long/path /srv/t
# A folder of it alone.
on part /srv/gone; bind /srv/gone/sub /srv/part; bind /srv/gone/sub/deeper /p; umount /srv/gone
# Under another one at the same place, and under another one at a folder above, which has such a folder too.
on covered /srv/covered; mount -t tmpfs -o size=3m tmpfs /srv/covered
on buried /srv/above/buried; mount -t tmpfs -o size=5m tmpfs /srv/above; mkdir /srv/above/buried
# A single file of it at a shorter path than a folder.
on with-a-file /srv/gone; echo 127.0.0.1 >/srv/gone/f; touch /etc/one-file; mount --bind /srv/gone/f /etc/one-file
bind /srv/gone/sub/deeper /srv/deep; umount /srv/gone
on odd $'/srv/two words\\and\na line'
"""
ODD = r"$'/srv/two words\\and\na line'"  # for bash
SHOWN = {
    "bound": "/srv/a/long/path",
    "mounted-after": "/srv/another/long/path",
    "twice": "/srv/t",
    "part": "/srv/part",
    "with-a-file": "/srv/deep",
    "odd": r"/srv/two words\and\na line",
}


@contextmanager
def loop_device(image: Path, size_bytes: int) -> Iterator[str]:
    """A disk with an empty ext4 on it: its numbers, as mknod has them. It goes when the machine that has it does."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "3", str(image)], check=True)
    attach = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield f"7 {device.removeprefix('/dev/loop')}"
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(scope="module")
def mounted(machine: Machine, mounts_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        machine.run("mkdir -p /dev/disks")
        for number, disk in enumerate(DISKS):
            numbers = stack.enter_context(loop_device(folder / disk, (20 + number) * MIB))
            machine.run(f"mknod /dev/disks/{disk} b {numbers}")
        machine.run(MOUNTS)
        yield machine


def by_device(machine: Machine) -> Mapping[str, list[str]]:
    """Where the agent says that the disks are mounted, by the disk."""
    found: dict[str, list[str]] = {disk: [] for disk in DISKS}
    for point, about in report(machine).get("filesystems", {}).items():
        if about["device"].startswith("/dev/disks/"):
            found[about["device"].rpartition("/")[2]].append(point)
    return found


def test_each_filesystem_is_told_once_by_the_mount_that_shows_most_of_it_at_the_shortest_path(
    mounted: Machine,
) -> None:
    expected = {disk: [SHOWN[disk]] if disk in SHOWN else [] for disk in DISKS}
    try:
        mounted.wait_until(lambda: by_device(mounted) == expected, 40, "all were looked at")
    except AssertionError as error:
        raise AssertionError(f"{by_device(mounted)} is not {expected}") from error
    said: dict[str, dict[str, Any]] = report(mounted)["filesystems"]
    for disk, point in SHOWN.items():
        size, available, inodes = df(mounted, "-B1 --output=size,avail,itotal", ODD if disk == "odd" else point)
        about = said[point]
        assert about["state"] == "ok"
        assert (about["size_bytes"], about["available_bytes"], about["inodes"]) == (size, available, inodes)
    # What lies on top is told instead of what lies below, and no number of the one under the name of the other.
    assert (said["/srv/covered"]["type"], said["/srv/covered"]["size_bytes"]) == ("tmpfs", 3 * MIB)
    assert (said["/srv/above"]["type"], said["/srv/above"]["size_bytes"]) == ("tmpfs", 5 * MIB)


def test_df_tells_the_same_filesystems_where_it_does_not_go_by_the_order_of_the_mounts(mounted: Machine) -> None:
    lines = mounted.run("df -B1 --output=source,target | grep ^/dev/disks/").splitlines()
    by_df = dict(line.split(None, 1) for line in lines)
    for disk in ("bound", "twice", "part"):
        assert by_df[f"/dev/disks/{disk}"] == SHOWN[disk]
