"""Runs within a virtual machine: gives its agent something to see, and prints what it says and what others say.

As root of that machine, with nothing but the standard library. One line of JSON on standard output.
"""

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 300.0
FINIT_MODULE = {"x86_64": 313, "aarch64": 273}

SEEN = r"""
set -eu
for number in 0 1 2 3; do truncate -s 16M /run/disk$number; losetup /dev/loop$number /run/disk$number; done
export MDADM_NO_UDEV=1
mkdir -p /etc/mdadm; echo 'CREATE names=yes' >/etc/mdadm/mdadm.conf
create() { mdadm --create "$1" --run --assume-clean --metadata=1.2 --level=1 --raid-devices=2 "$2" "$3"; }
create /dev/md/home /dev/loop0 /dev/loop1
create /dev/md0 /dev/loop2 /dev/loop3
mdadm /dev/md0 --fail /dev/loop3

ip link add bond7 type bond mode active-backup miimon 50
for number in 0 1; do
    ip link add slave$number type veth peer name switch$number
    ip link set slave$number master bond7
    ip link set slave$number up
done
ip link set switch0 up
ip link set bond7 up

run() { systemd-run --quiet "$@"; }
run --unit=busy -p CPUQuota=20% sh -c 'while :; do :; done'
run --unit=holder --slice=machine.slice python3 -c 'import time; held = bytearray(60 << 20); time.sleep(10000)'
run --unit=greedy -p MemoryMax=40M -p OOMPolicy=continue sh -c 'python3 -c "held = b\"x\" * (200 << 20)"; sleep 10000'
run --unit=writer -p IOAccounting=yes sh -c 'dd if=/dev/zero of=/dev/md_home bs=1M count=8 oflag=direct; sleep 10000'
"""

GROUPS = {
    "system.slice/busy.service": "busy",
    "machine.slice/holder.service": "holder",
    "system.slice/greedy.service": "greedy",
    "system.slice/writer.service": "writer",
    "system.slice/monitoring-agent.service": "monitoring-agent",
}
UNKNOWN = 2**64 - 1  # as systemd prints it
PROPERTIES = ("CPUUsageNSec", "MemoryCurrent", "TasksCurrent", "IOWriteBytes", "MemoryMax")


def load_modules() -> None:
    """There is no modprobe in so small a root, and no list of what depends on what."""
    libc = ctypes.CDLL(None, use_errno=True)
    for path in sorted(Path("/root/modules").iterdir()):
        with path.open("rb") as file:
            if libc.syscall(FINIT_MODULE[platform.machine()], file.fileno(), b"", 0) != 0:
                raise OSError(ctypes.get_errno(), f"{path}: {os.strerror(ctypes.get_errno())}")


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def report() -> dict[str, Any]:
    token = Path("/etc/monitoring/token").read_text(encoding="ascii").split()[0]
    request = urllib.request.Request(
        "http://127.0.0.1:5000/getmetrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False  # what is missing is for the tests to say
        time.sleep(1)
    return True


def is_seen() -> bool:
    now = report()
    groups = now.get("control_groups", {})
    return (
        GROUPS.keys() <= groups.keys()
        and groups["system.slice/greedy.service"].get("oom_kills_total", 0) > 0
        and groups["system.slice/writer.service"].get("written_bytes_total", 0) > 0
        and len(now.get("hardware", {}).get("arrays", ())) > 1
        and now.get("links", {}).get("bond7", {}).get("slaves") == 2
    )


def used() -> dict[str, dict[str, int]]:
    """What systemd and the kernel's own files say of each unit, as numbers."""
    units = {}
    for group, unit in GROUPS.items():
        shown = said("systemctl", "show", "-p", ",".join(PROPERTIES), f"{unit}.service")
        pairs = (line.split("=", 1) for line in shown.splitlines())
        numbers = {name: int(value) for name, value in pairs if value.isdigit() and int(value) != UNKNOWN}
        for resource in ("cpu", "memory", "io"):
            first = Path(f"/sys/fs/cgroup/{group}/{resource}.pressure").read_text(encoding="ascii").split()[4]
            numbers[f"{resource}_stalled_usec"] = int(first.removeprefix("total="))
        units[group] = numbers
    return units


def look() -> dict[str, Any]:
    """A report whose control groups were looked at between two looks of systemd."""
    before, first = used(), report()["control_groups"]
    wait_until(lambda: bool(report()["control_groups"] != first))
    return {"before": before, "report": report(), "after": used()}


def dumped() -> dict[str, bool]:
    """Whether a service's processes leave core dumps when they crash and the kernel gives these to a program."""
    Path("/proc/sys/kernel/core_pattern").write_text("|/usr/bin/tee /run/dumped.%P", encoding="ascii")
    said("systemd-run", "--unit=careless", "sleep", "10000")
    crashed = {}
    for unit in ("monitoring-agent", "careless"):
        main = said("systemctl", "show", "--value", "-p", "MainPID", unit)
        crashed[unit] = [*said("pgrep", "-P", main).split(), main]
        for pid in crashed[unit]:
            os.kill(int(pid), signal.SIGSEGV)
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
    dumps = {unit: [Path(f"/run/dumped.{pid}") for pid in pids] for unit, pids in crashed.items()}
    wait_until(dumps["careless"][0].exists)
    return {unit: any(path.exists() for path in paths) for unit, paths in dumps.items()}


def main() -> None:
    load_modules()
    done = subprocess.run(["bash", "-c", SEEN], capture_output=True, text=True, check=False)
    wait_until(is_seen)
    answer = {
        "prepared": [done.returncode, done.stdout + done.stderr],
        **look(),
        "kinds": {option: said("systemd-detect-virt", option) for option in ("--vm", "--container")},
        "control_groups": said("stat", "-f", "-c", "%T", "/sys/fs/cgroup"),
        "mdstat": Path("/proc/mdstat").read_text(encoding="ascii"),
        "arrays": {path.name: said("mdadm", "--detail", str(path)) for path in Path("/dev").glob("md[0_]*")},
        "bond": Path("/proc/net/bonding/bond7").read_text(encoding="ascii"),
        "kernel_log": said("journalctl", "-k", "-o", "cat", "--no-pager", "--grep", "Memory cgroup out of memory"),
        "dumped": dumped(),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    termios.tcdrain(sys.stdout.fileno())


if __name__ == "__main__":
    main()
