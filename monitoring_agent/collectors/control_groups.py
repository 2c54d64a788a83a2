"""What each systemd unit and container uses: the files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst).

They are plain files that anyone may read, where a container engine's socket would be as good as root.
"""

import os
import re

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

ROOT = "/sys/fs/cgroup"
# Slices that hold units and containers; nested ones are followed, within limits.
SLICES = ("system.slice", "machine.slice", "user.slice", "kubepods.slice", "docker", "lxc", "lxc.payload")
MAX_DEPTH = 5
MAX_GROUPS = 2000

_ID = (("id", "*"),)

METRICS = (
    Metric("*.cpu_seconds_total", "processor time it used", "cpu.stat", "container_cpu_usage_seconds_total", _ID),
    Metric("*.throttled_seconds_total", "time it was held back by its limit", "cpu.stat"),
    Metric("*.memory_bytes", "memory it uses, caches too", "memory.current", "container_memory_usage_bytes", _ID),
    Metric("*.memory_limit_bytes", "memory it may use", "memory.max"),
    Metric("*.oom_kills_total", "its processes killed for want of memory", "memory.events"),
    Metric("*.read_bytes_total", "bytes it read from disks", "io.stat", "container_fs_reads_bytes_total", _ID),
    Metric("*.written_bytes_total", "bytes it wrote to disks", "io.stat", "container_fs_writes_bytes_total", _ID),
    Metric("*.tasks", "its processes and threads", "pids.current"),
    *(
        Metric(f"*.{what}_stalled_seconds_total", f"time in which a task of it waited for {name}", f"{what}.pressure")
        for what, name in (("cpu", "a processor"), ("memory", "memory"), ("io", "a disk"))
    ),
)

_NUMBERS = {"memory.current": "memory_bytes", "memory.max": "memory_limit_bytes", "pids.current": "tasks"}


def collect(host: Host) -> Sample:
    """`{"system.slice/nginx.service": {cpu_seconds_total, memory_bytes, …}}`; empty on cgroup v1."""
    if not host.exists(f"{ROOT}/cgroup.controllers"):
        return {}
    return {printable(group): _read(host, group) for group in _groups(host)}


def _groups(host: Host) -> list[str]:
    """The groups that stand for something a person would name: units and containers, not the slices above them."""
    found: list[str] = []
    todo = [(name, 0) for name in SLICES if host.exists(f"{ROOT}/{name}")]
    while todo and len(found) < MAX_GROUPS:
        group, depth = todo.pop()
        try:
            children = [entry.name for entry in os.scandir(host.path(f"{ROOT}/{group}")) if entry.is_dir()]
        except OSError:
            continue  # it went away
        for child in sorted(children):
            name = f"{group}/{child}"
            if child.endswith(".slice") and depth < MAX_DEPTH:
                todo.append((name, depth + 1))
            else:
                found.append(name)
    return sorted(found[:MAX_GROUPS])


def _read(host: Host, group: str) -> Sample:
    """The values of one group; a controller that is not switched on has no file."""
    sample: Sample = {}
    for file, key in _NUMBERS.items():
        text = _text(host, group, file).strip()
        if text.isdigit():
            sample[key] = int(text)
    times = dict(re.findall(r"^(\w+) (\d+)$", _text(host, group, "cpu.stat"), re.M))
    for name, key in (("usage_usec", "cpu_seconds_total"), ("throttled_usec", "throttled_seconds_total")):
        if name in times:
            sample[key] = int(times[name]) / 1_000_000
    killed = re.search(r"^oom_kill (\d+)$", _text(host, group, "memory.events"), re.M)
    if killed:
        sample["oom_kills_total"] = int(killed[1])
    traffic = _text(host, group, "io.stat")
    if traffic:
        for name, key in (("rbytes", "read_bytes_total"), ("wbytes", "written_bytes_total")):
            sample[key] = sum(map(int, re.findall(rf"\b{name}=(\d+)", traffic)))
    for resource in ("cpu", "memory", "io"):
        stalled = re.search(r"^some .*\btotal=(\d+)", _text(host, group, f"{resource}.pressure"), re.M)
        if stalled:
            sample[f"{resource}_stalled_seconds_total"] = int(stalled[1]) / 1_000_000
    return sample


def _text(host: Host, group: str, file: str) -> str:
    try:
        return host.read(f"{ROOT}/{group}/{file}")
    except OSError:
        return ""  # the group went away, or pressure is switched off
