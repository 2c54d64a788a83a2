"""What is said of processes, beside what these know of themselves, and of this machine, beside its own tool."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitoring_agent.collectors import facts
from monitoring_agent.collectors.processes import Processes
from monitoring_agent.host import Host

# The two looks of the agent are not at the very moments at which the work began and ended.
CPU_POINTS = 20.0
TRAFFIC = 0.3

SPIN = "while True: pass"
WRITTEN_BYTES = 16 * 1024 * 1024
WRITE = f"""
import os, sys, time
sys.stdin.read(1)
with open(sys.argv[1], "wb") as file:
    file.write(bytes({WRITTEN_BYTES}))
    os.fsync(file.fileno())
print(flush=True)
time.sleep(60)
"""


@contextmanager
def running(*program: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_loop_leads_the_top_five_with_the_processor_time_that_it_had() -> None:
    collector = Processes()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    collector.collect(Host())
    began = time.monotonic()
    with running(SPIN) as process:
        time.sleep(3)
        top = collector.collect(Host())["top_cpu"]
        wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert top[str(process.pid)]["cpu_percent"] == pytest.approx(used / wall * 100, abs=CPU_POINTS)
    assert top[str(process.pid)]["name"] == Path(sys.executable).name[:15]


def test_a_process_that_writes_is_among_the_top_five_with_what_it_wrote() -> None:
    collector = Processes()
    # Not in /tmp, which may be in memory.
    with TemporaryDirectory(dir="/var/tmp") as disk, running(WRITE, f"{disk}/written") as process:
        collector.collect(Host())
        began = time.monotonic()
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"x")
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(1)
        wall = time.monotonic() - began
        top = collector.collect(Host())["top_io"]
    assert top[str(process.pid)]["io_bytes_per_second"] * wall == pytest.approx(WRITTEN_BYTES, rel=TRAFFIC)


def test_where_the_traffic_of_others_is_not_told_the_top_five_say_so() -> None:
    looked = subprocess.run(["cat", "/proc/1/io"], capture_output=True, check=False)  # process 1 is root's
    scope = Processes().collect(Host()).get("top_io_scope")
    assert scope == ("own" if looked.returncode else None)


def test_processes_that_end_while_they_are_read_are_simply_gone() -> None:
    collector = Processes()
    lives = "import subprocess\nwhile True: subprocess.run(['true'])"
    with running(lives), running(lives):
        began = time.monotonic()
        while time.monotonic() - began < 2:
            sample = collector.collect(Host())
            assert 0 < sample["processes"] <= sample["threads"]
            assert all(one["cpu_percent"] >= 0 for one in sample.get("top_cpu", {}).values())


def test_the_kind_of_this_machine_is_that_of_its_container_or_else_of_its_virtual_machine() -> None:
    kinds = [
        subprocess.run(["systemd-detect-virt", option], capture_output=True, text=True, check=False).stdout.strip()
        for option in ("--container", "--vm")
    ]
    assert facts.collect(Host())["virtualization"] == next((kind for kind in kinds if kind != "none"), "none")
