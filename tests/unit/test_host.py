"""Reading the machine's files again and again."""

import os
from pathlib import Path

import pytest

from monitoring_agent.host import Host


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_of_the_kernel_stays_open_and_is_read_anew_each_time() -> None:
    host, before = Host(), descriptors()
    try:
        first = float(host.read_again("/proc/uptime").split()[0])
        while (now := float(host.read_again("/proc/uptime").split()[0])) == first:
            pass
        assert 0 < now - first < 5
        assert descriptors() == before + 1
        # Longer than what the kernel gives at once.
        assert host.read_again("/proc/kallsyms") == Path("/proc/kallsyms").read_text(encoding="utf-8")
    finally:
        host.close()
    assert descriptors() == before


def test_a_descriptor_that_no_longer_answers_is_replaced() -> None:
    host = Host()
    try:
        assert host.read_again("/proc/uptime")
        (kept,) = [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")
                   and os.readlink(f"/proc/self/fd/{fd}") == "/proc/uptime"]  # fmt: skip
        # What was opened turns into something that refuses to be read, as a file of a module that is gone does.
        directory = os.open("/", os.O_RDONLY)
        os.dup2(directory, int(kept))
        os.close(directory)
        assert float(host.read_again("/proc/uptime").split()[0]) > 0
    finally:
        host.close()


def test_a_file_that_is_replaced_is_seen(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    (tmp_path / "proc").mkdir()
    path = tmp_path / "proc" / "uptime"
    before = descriptors()
    path.write_text("1.00 2.00\n")
    assert host.read_again("/proc/uptime") == "1.00 2.00\n"
    other = tmp_path / "other"
    other.write_text("3.00 4.00\n")
    other.replace(path)
    assert host.read_again("/proc/uptime") == "3.00 4.00\n"
    path.unlink()
    assert host.read_again_if_there("/proc/uptime") is None
    with pytest.raises(FileNotFoundError):
        host.read_again("/proc/uptime")
    assert descriptors() == before
