"""A mount whose server stops answering, and a disk that does, for real.

The server is the process of a FUSE filesystem, which is stopped. The disk is a loop device on a file of that
filesystem: what has to reach it hangs as on a device mapper that is suspended, which not every kernel has.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import AgentDaemon, wait_for

# The filesystems are looked at every 15 seconds.
TWO_LOOKS_SECONDS = 35.0
DISK_BYTES = 32 * 1024 * 1024


@dataclass
class Mount:
    """A FUSE filesystem that shows another directory, and an ext4 filesystem on a disk that is a file in it."""

    point: Path
    disk: Path
    server: subprocess.Popen[bytes]


@pytest.fixture
def mount(tmp_path: Path, mounts_alone: None) -> Iterator[Mount]:
    if shutil.which("bindfs") is None:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "bindfs"]
        subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    point, shown, disk = tmp_path / "nas", tmp_path / "shown", tmp_path / "disk"
    for directory in (point, shown, disk):
        directory.mkdir()
    # Should these tests be killed, it dies too, and what waits for it gets an error.
    server = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "bindfs", "-f", str(shown), str(point)])
    try:
        wait_for(lambda: str(point) in Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        image = point / "image"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)  # umount lets go of the device too
        (disk / "file").write_bytes(bytes(DISK_BYTES // 4))
        yield Mount(point, disk, server)
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", str(disk)], check=False)
        subprocess.run(["umount", str(point)], check=False)
        server.terminate()
        server.wait()


@contextmanager
def reading_from_the_disk(mount: Mount) -> Iterator[None]:
    """A process that wants to read what is not in memory."""
    command = ["dd", f"if={mount.disk}/file", "of=/dev/null", "bs=64k", "iflag=direct"]
    reader = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        mount.server.send_signal(signal.SIGCONT)
        reader.wait()


@pytest.fixture
def agent(mount: Mount, tmp_path: Path) -> Iterator[AgentDaemon]:
    agent = AgentDaemon(tmp_path / "agent")
    agent.start()
    try:
        agent.wait_ready()
        yield agent
    finally:
        mount.server.send_signal(signal.SIGCONT)
        agent.stop()


def seen(agent: AgentDaemon, point: Path) -> Any:
    return agent.report().get("filesystems", {}).get(str(point), {})


def threads(agent: AgentDaemon) -> int:
    return len(os.listdir(f"/proc/{agent.worker_pid()}/task"))


def slowest_of(agent: AgentDaemon, path: str, count: int = 200) -> float:
    durations = []
    for _ in range(count):
        started = time.monotonic()
        assert agent.get(path)[0] == 200
        durations.append(time.monotonic() - started)
    return max(durations)


def test_a_hung_mount_and_a_hung_disk_are_told_while_everything_else_goes_on_and_recover_alone(
    agent: AgentDaemon, mount: Mount
) -> None:
    wait_for(lambda: seen(agent, mount.point).get("state") == seen(agent, mount.disk).get("state") == "ok")
    before = threads(agent)

    mount.server.send_signal(signal.SIGSTOP)
    with reading_from_the_disk(mount):
        watch_it_hang(agent, mount, before)
    wait_for(lambda: seen(agent, mount.point).get("state") in {"ok", "slow"}, TWO_LOOKS_SECONDS)
    assert seen(agent, mount.point)["size_bytes"] > 0
    wait_for(lambda: seen(agent, mount.disk).get("state") in {"ok", "slow"}, TWO_LOOKS_SECONDS)
    assert "hung_seconds" not in seen(agent, mount.disk)


def watch_it_hang(agent: AgentDaemon, mount: Mount, before: int) -> None:
    hung: Any = wait_for(
        lambda: seen(agent, mount.point) if seen(agent, mount.point).get("state") == "hung" else None, TWO_LOOKS_SECONDS
    )
    assert hung["hung_seconds"] >= 2
    assert "size_bytes" not in hung

    # Asked all the while, for longer than the next look takes.
    first = agent.report()
    threads_seen: set[int] = set()
    started = time.monotonic()
    while time.monotonic() - started < 20:
        assert slowest_of(agent, "/getmetrics", 20) < 1
        assert slowest_of(agent, "/healthcheck", 20) < 1
        threads_seen.add(threads(agent))
        time.sleep(0.5)
    last = agent.report()
    assert last["sequence"] - first["sequence"] >= 19
    assert last["filesystems"]["/"]["state"] == "ok"
    assert last["collectors"]["filesystems"]["age_seconds"] < 17
    assert seen(agent, mount.point)["hung_seconds"] > hung["hung_seconds"] + 10
    # What the kernel knows of a disk that hangs it tells from memory: only that nothing ends gives it away.
    wait_for(lambda: seen(agent, mount.disk).get("state") == "hung", TWO_LOOKS_SECONDS)
    assert seen(agent, mount.disk)["hung_seconds"] >= 10
    # One stuck probe and never a second; the threads that answer requests come one by one up to their number.
    assert len(asking_for_space(agent)) == 1
    assert max(threads_seen) <= before + 10


def asking_for_space(agent: AgentDaemon) -> list[Path]:
    """The threads of the worker that are in statfs(2)."""
    number = {"x86_64": "137", "aarch64": "43"}[os.uname().machine]
    tasks = Path(f"/proc/{agent.worker_pid()}/task").iterdir()
    return [task for task in tasks if (task / "syscall").read_text(encoding="ascii").split()[0] == number]
