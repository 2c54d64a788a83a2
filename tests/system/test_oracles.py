"""The numbers of the installed and confined agent, held against the machine's own tools and against known work.

A counter is right if it lies between what a tool says before and what it says afterwards.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .machine import Machine
from .test_facts import report, whole_report
from .watching import ask

MIB = 1024 * 1024

# What may change between the looks of the agent and of a tool on a machine that has other work to do, as a share.
MEMORY = 0.1
DISK_SPACE = 0.05
INODES = 0.05
# Processes and threads that come and go meanwhile.
PROCESSES = 8
# TCP and IP headers on the way there, acknowledgements on the way back, and the test's own questions meanwhile.
TRANSFER = 0.05
# Beats are not exactly a second apart, and the counters of the processors move in steps of ten milliseconds.
RATES = 0.2
CPU_POINTS = 15.0
CPU_SECONDS = 0.1


def later_report(machine: Machine) -> dict[str, Any]:
    """A report whose samples of every second were all taken after now."""
    sequence = report(machine)["sequence"]
    machine.wait_until(lambda: report(machine).get("sequence", 0) >= sequence + 2, 20, "another report")
    return report(machine)


def between(machine: Machine, tool: Callable[[], dict[str, float]], ours: Callable[[Any], dict[str, float]]) -> None:
    """Every counter that the tool shows is ours too, and lies between two looks of the tool."""
    before = tool()
    said = ours(later_report(machine))
    after = tool()
    assert before
    wrong = {name: (low, said.get(name), after[name]) for name, low in before.items()
             if not low <= said.get(name, -1) <= after[name]}  # fmt: skip
    assert wrong == {}


def test_memory_is_that_of_free(machine: Machine) -> None:
    said = later_report(machine)["memory"]
    total, available = map(int, machine.run("free -b | awk '/^Mem:/ {print $2, $7}'").split())
    assert said["meminfo"]["MemTotal_bytes"] == total
    assert said["meminfo"]["MemAvailable_bytes"] == pytest.approx(available, rel=MEMORY)
    assert said["used_bytes"] == pytest.approx(total - available, abs=total * MEMORY)
    swap, used = map(int, machine.run("free -b | awk '/^Swap:/ {print $2, $3}'").split())
    assert said["meminfo"]["SwapTotal_bytes"] == swap
    assert said["swap_used_bytes"] == pytest.approx(used, abs=swap * MEMORY)


def test_filesystems_are_those_of_df_with_their_space_and_inodes(machine: Machine) -> None:
    machine.run("mkdir -p /srv/df && mount -t tmpfs -o size=37m,nr_inodes=1234 tmpfs /srv/df")
    machine.run("head -c 10000000 /dev/zero >/srv/df/ten; touch /srv/df/one /srv/df/two")
    try:
        said = machine.wait_until(lambda: filesystem(machine, "/srv/df"), 40, "the new filesystem was looked at")
        assert said["size_bytes"] == 37 * MIB
        for mount in ("/", "/srv/df"):
            said = filesystem(machine, mount)
            size, used, available, percent = df(machine, "-B1 --output=size,used,avail,pcent", mount)
            assert said["size_bytes"] == size
            assert said["size_bytes"] - said["free_bytes"] == pytest.approx(used, rel=DISK_SPACE)
            assert said["available_bytes"] == pytest.approx(available, rel=DISK_SPACE)
            assert percent - 2 <= said["used_percent"] <= percent + 1  # df rounds up
            inodes, free = df(machine, "--output=itotal,iavail", mount)
            assert said["inodes"] == inodes
            assert said["inodes_free"] == pytest.approx(free, rel=INODES)
    finally:
        machine.run("umount /srv/df")


def filesystem(machine: Machine, mount: str) -> dict[str, Any]:
    found: dict[str, Any] = report(machine).get("filesystems", {}).get(mount, {})
    return found


def df(machine: Machine, options: str, mount: str) -> list[int]:
    return [int(column.rstrip("%")) for column in machine.run(f"df {options} {mount} | tail -n 1").split()]


def test_uptime_processors_and_processes_are_those_of_uptime_nproc_and_ps(machine: Machine) -> None:
    between(
        machine,
        lambda: {"uptime_seconds": float(machine.run("cut -d' ' -f1 /proc/uptime"))},
        lambda said: dict(said["uptime"]),
    )
    said = whole_report(machine)
    assert said["host"]["cpus"] == len(said["cpu"]["cores"]) == int(machine.run("nproc"))
    processes, threads = (int(machine.run(f"ps {options} --no-headers | wc -l")) for options in ("-e", "-eL"))
    assert said["processes"]["processes"] == pytest.approx(processes, abs=PROCESSES)
    assert said["processes"]["threads"] == pytest.approx(threads, abs=PROCESSES)
    largest = machine.run("ps -e --no-headers -o pid --sort=-rss | head -n 1").strip()
    assert largest in said["processes"]["top_memory"]


# What `ip` and the agent call the same counter.
RECEIVED = {"bytes": "received_bytes_total", "packets": "received_packets_total", "errors": "receive_errors_total",
            "multicast": "receive_multicast_total"}  # fmt: skip
SENT = {"bytes": "sent_bytes_total", "packets": "sent_packets_total", "errors": "send_errors_total",
        "dropped": "send_drops_total", "collisions": "send_collisions_total"}  # fmt: skip


def test_interfaces_are_those_of_ip_with_their_counters(machine: Machine) -> None:
    machine.run("ip link add oracle type veth peer name elcaro && ip link set oracle up && ip link set elcaro up")
    try:
        machine.wait_until(lambda: "oracle" in report(machine).get("links", {}), 20, "the new interface was looked at")
        between(machine, lambda: by_ip(machine), lambda said: flat(said["network"]))
        links = report(machine)["links"]
        for one in json.loads(machine.run("ip -j link")):
            assert links[one["ifname"]]["mtu_bytes"] == one["mtu"]
            assert links[one["ifname"]]["state"] == one["operstate"].lower()
            assert links[one["ifname"]]["address"] == one["address"]
    finally:
        machine.run("ip link del oracle")


def by_ip(machine: Machine) -> dict[str, float]:
    counters: dict[str, float] = {}
    for one in json.loads(machine.run("ip -s -j link")):
        for names, kind in ((RECEIVED, "rx"), (SENT, "tx")):
            counters |= {f"{one['ifname']}.{ours}": one["stats64"][kind][theirs] for theirs, ours in names.items()}
    return counters


def flat(devices: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"{device}.{key}": value for device, about in devices.items() for key, value in about.items()}


def since(machine: Machine, sequence: int) -> list[dict[str, Any]]:
    """The reports after that one."""
    reports: list[dict[str, Any]] = json.loads(ask(machine, f"/getmetrics?since={sequence}", token=True)[1])["reports"]
    return reports


TRANSFER_BYTES = 64 * MIB
SEND = f"""
import socket, threading
with socket.create_server(("127.0.0.1", 0)) as server:
    def send():
        with socket.create_connection(server.getsockname()) as out:
            for _ in range({TRANSFER_BYTES // MIB}):
                out.sendall(bytes({MIB}))
    threading.Thread(target=send).start()
    taken, _ = server.accept()
    while taken.recv({MIB}):
        pass
"""


def test_a_transfer_over_the_loopback_is_counted_once_each_way_and_its_rate_adds_up(machine: Machine) -> None:
    before = later_report(machine)
    machine.run("python3 -", stdin=SEND.encode())
    after = later_report(machine)
    for key in ("received_bytes_total", "sent_bytes_total"):
        risen = after["network"]["lo"][key] - before["network"]["lo"][key]
        assert risen == pytest.approx(TRANSFER_BYTES, rel=TRANSFER)
    rates = [one["network"]["lo"]["received_bytes_per_second"] for one in since(machine, before["sequence"])]
    assert sum(rates[: after["sequence"] - before["sequence"]]) == pytest.approx(TRANSFER_BYTES, rel=RATES)


WRITTEN_BYTES = 48 * MIB


def test_what_dd_writes_to_the_disk_is_counted_and_nothing_that_the_kernel_does_not_count(machine: Machine) -> None:
    def by_sysfs() -> dict[str, float]:
        """The sectors that Documentation/block/stat.rst has in the seventh column, of the disks that are ours too."""
        text = machine.run("for disk in /sys/block/*; do echo ${disk##*/} $(cat $disk/stat); done")
        columns = [line.split() for line in text.splitlines()]
        return {row[0]: int(row[7]) * 512.0 for row in columns if row[0] in report(machine)["disks"]}

    def ours(said: dict[str, Any]) -> dict[str, float]:
        return {disk: about["written_bytes_total"] for disk, about in said["disks"].items()}

    before = later_report(machine)
    machine.run(f"dd if=/dev/zero of=/root/written bs=1M count={WRITTEN_BYTES // MIB} oflag=direct conv=fsync")
    between(machine, by_sysfs, ours)
    now, then = ours(report(machine)), ours(before)
    assert sum(now.values()) - sum(then.values()) >= WRITTEN_BYTES
    disks = [about for one in since(machine, before["sequence"]) for about in one["disks"].values()]
    assert 0 < max(about.get("busy_percent", 0) for about in disks) < 100 * (1 + RATES)
    machine.run("rm /root/written")


def test_a_loop_keeps_as_many_processors_busy_as_the_agent_says(machine: Machine) -> None:
    before, began = later_report(machine), time.monotonic()
    spent = machine.run("timeout 4 sh -c 'while :; do :; done' || true; times", timeout=60).split()[-2]
    minutes, _, seconds = spent.rstrip("s").partition("m")
    used = int(minutes) * 60 + float(seconds)
    after, wall = later_report(machine), time.monotonic() - began
    risen = after["cpu"]["user_seconds_total"] - before["cpu"]["user_seconds_total"]
    cores = len(after["cpu"]["cores"])
    assert used - CPU_SECONDS <= risen <= wall * cores + CPU_SECONDS
    # The second that the loop filled whole; whoever else is at work here can only make it more.
    busiest = max(one["cpu"]["busy_percent"] for one in since(machine, before["sequence"]))
    assert busiest >= 100 * used / 4 / cores - CPU_POINTS
