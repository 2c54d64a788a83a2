"""What a container may use and has used: the control group at the top of what it sees.

Documentation/admin-guide/cgroup-v2.rst and cgroup-v1 of the kernel. /proc shows a container its host's numbers, unless
lxcfs covers them.
"""

import functools
import re
from dataclasses import dataclass

from monitoring_agent.host import Host

_ROOT = "/sys/fs/cgroup"
# cgroup v1 has no word for "no limit", but a number that no machine reaches.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Memory:
    """Bytes that the container may use and does; None is unknown, or no limit."""

    limit_bytes: int | None
    used_bytes: int | None  # without the cache of files that nobody reads now: the kernel drops it when it has to


@dataclass(frozen=True)
class Container:
    """The container that the machine is. What its control group does not tell is None."""

    kind: str
    host: Host
    unified: bool  # cgroup v2

    def memory(self) -> Memory:
        """Its memory. A limit of the groups around it is known on cgroup v1 alone."""
        stat = self._numbers("memory.stat", "memory/memory.stat")
        if self.unified:
            limit, used, cache = self._number("memory.max"), self._number("memory.current"), stat.get("inactive_file")
        else:
            limit = stat.get("hierarchical_memory_limit")
            used, cache = self._number("", "memory/memory.usage_in_bytes"), stat.get("total_inactive_file")
        if limit is not None and not 0 < limit < _NO_LIMIT:
            limit = None
        return Memory(limit, None if used is None else max(0, used - (cache or 0)))

    def swap(self) -> Memory:
        """Its swap space; known on cgroup v2 alone, where it has a limit of its own."""
        return Memory(self._number("memory.swap.max"), self._number("memory.swap.current"))

    def cores(self) -> float | None:
        """How many processors' time it may use, or None for all of them."""
        processors, quota = self.processors(), self._quota()
        known = [cores for cores in (processors, quota) if cores is not None]
        return min(known) if known else None

    def processors(self) -> int | None:
        """How many processors it may run on."""
        text = self._text("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus")
        spans = re.findall(r"(\d+)(?:-(\d+))?", text)
        return sum(int(last or first) - int(first) + 1 for first, last in spans) or None

    def _quota(self) -> float | None:
        if self.unified:
            columns = self._text("cpu.max").split()
        else:
            columns = [self._text("", f"cpu/cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        if len(columns) != 2 or not all(column.isdigit() and int(column) for column in columns):
            return None  # "max", or -1
        return round(int(columns[0]) / int(columns[1]), 3)

    def cpu_seconds(self) -> dict[str, float]:
        """`{used, throttled}`: processor time that it had, and for how long it was held back by its limit."""
        stat = self._numbers("cpu.stat", "cpu/cpu.stat")
        if self.unified:
            times = {"used": stat.get("usage_usec"), "throttled": stat.get("throttled_usec")}
            return {key: time / 1e6 for key, time in times.items() if time is not None}
        times = {"used": self._number("", "cpuacct/cpuacct.usage"), "throttled": stat.get("throttled_time")}
        return {key: time / 1e9 for key, time in times.items() if time is not None}

    def oom_kills(self) -> int | None:
        """How many of its processes were killed for want of memory."""
        return self._numbers("memory.events", "memory/memory.oom_control").get("oom_kill")

    def tasks_limit(self) -> int | None:
        """How many processes and threads it may have."""
        return self._number("pids.max", "pids/pids.max")

    def pressure(self, resource: str) -> str | None:
        """The file of its own pressure, if there is one."""
        name = f"{_ROOT}/{resource}.pressure"
        return name if self.unified and self.host.exists(name) else None

    def _text(self, unified: str, version1: str = "") -> str:
        name = unified if self.unified else version1
        if not name or not _is_its_own(self.host, self.unified, name.partition("/")[0]):
            return ""
        try:
            return self.host.read(f"{_ROOT}/{name}")
        except OSError:
            return ""  # a controller that is not there, or not for this container

    def _number(self, unified: str, version1: str = "") -> int | None:
        text = self._text(unified, version1).strip()
        return int(text) if text.isdigit() else None

    def _numbers(self, unified: str, version1: str) -> dict[str, int]:
        text = self._text(unified, version1)
        return {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)$", text, re.M)}


@functools.lru_cache(maxsize=16)
def _is_its_own(host: Host, unified: bool, controller: str) -> bool:
    """Whether the group that is seen is the container's, and not the root of the whole host's. Looked up once."""
    if unified:
        return host.exists(f"{_ROOT}/cgroup.events")
    return not host.exists(f"{_ROOT}/{controller}/release_agent")


@functools.lru_cache(maxsize=1)
def container_of(host: Host) -> Container | None:
    """The container that this machine is, or None. Looked up once: no machine becomes a container."""
    kind = (host.read_if_there("/run/systemd/container") or "").strip()
    for name, mark in (("docker", "/.dockerenv"), ("podman", "/run/.containerenv")):
        kind = kind or (name if host.exists(mark) else "")
    return Container(kind, host, host.exists(f"{_ROOT}/cgroup.controllers")) if kind else None
