"""Memory and swap space: /proc/meminfo (proc(5)), all of it, and what people ask of it.

psutil would read the file twice, for memory and for swap, and keep half of it.
"""

import functools
import re

from monitoring_agent.container import Container, Memory, container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

METRICS = (
    Metric("used_percent", "memory that is not available for programs", "/proc/meminfo"),
    Metric("used_bytes", "memory that is not available for programs", "/proc/meminfo"),
    Metric("limit_bytes", "memory that a container may use; the values above then are its own", "memory.max"),
    Metric("swap_used_percent", "swap space in use", "/proc/meminfo"),
    Metric("swap_used_bytes", "swap space in use", "/proc/meminfo"),
    Metric("meminfo.*", "the line of /proc/meminfo of this name", "/proc/meminfo", "node_memory_*"),
)

_LINE = re.compile(r"^(\S+):\s+(\d+)( kB)?$", re.M)


def collect(host: Host) -> Sample:
    """`{used_bytes, used_percent, swap_used_bytes, swap_used_percent, meminfo: {MemTotal_bytes, …}}`.

    In a container with a limit `limit_bytes`, and what is used is used by it, of its limit.
    """
    sample = parse(host.read_again("/proc/meminfo"))
    container = container_of(host)
    return sample | _confined(container, sample["meminfo"]) if container else sample


def parse(text: str) -> Sample:
    """The sample that a text of /proc/meminfo means. Raises ValueError if it lacks the total or what is available."""
    meminfo = {
        _key(name, unit): int(count) * (1024 if unit else 1) for name, count, unit in _LINE.findall(text)
    }
    total, available = meminfo.get("MemTotal_bytes", 0), meminfo.get("MemAvailable_bytes")
    if total <= 0 or available is None:
        raise ValueError("/proc/meminfo lacks MemTotal or MemAvailable")
    sample: Sample = {
        "used_bytes": max(0, total - available),
        "used_percent": round(max(0, total - available) / total * 100, 2),
    }
    swap, free = meminfo.get("SwapTotal_bytes"), meminfo.get("SwapFree_bytes")
    if swap is not None and free is not None:
        sample["swap_used_bytes"] = max(0, swap - free)
        sample["swap_used_percent"] = round(max(0, swap - free) / swap * 100, 2) if swap else 0.0
    return {**sample, "meminfo": meminfo}


@functools.lru_cache(maxsize=256)
def _key(name: str, unit: str) -> str:
    """Active(anon) is named Active_anon, as node_exporter does."""
    return name.replace("(", "_").replace(")", "") + ("_bytes" if unit else "")


def _confined(container: Container, meminfo: Sample) -> Sample:
    """What stands in place of the host's numbers where the container has a limit; without one it shares the host's."""
    memory, swap = container.memory(), container.swap()
    sample: Sample = {}
    if memory.limit_bytes is not None and memory.limit_bytes <= meminfo["MemTotal_bytes"]:
        sample["limit_bytes"] = memory.limit_bytes
        sample |= _used("used", memory)
    if swap.limit_bytes is not None and swap.limit_bytes <= meminfo.get("SwapTotal_bytes", 0):
        sample |= _used("swap_used", swap)
    return sample


def _used(name: str, of: Memory) -> Sample:
    if of.used_bytes is None or of.limit_bytes is None:
        return {}
    percent = min(100.0, round(of.used_bytes / of.limit_bytes * 100, 2)) if of.limit_bytes else 0.0
    return {f"{name}_bytes": of.used_bytes, f"{name}_percent": percent}
