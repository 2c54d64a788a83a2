"""How many processes and threads there are, in which state, and which of them use most: /proc/PID (proc(5)).

psutil would open three files for each process to say the same; it names the owners of the few that use most.
Arguments are never read: they hold passwords.
"""

import os
from typing import NamedTuple

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PF_KTHREAD = 0x00200000  # among the flags of proc(5); include/linux/sched.h
TOP = 5

STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "uninterruptible",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
}

_MEANINGS = {
    "R": "processes that run or want to",
    "S": "processes that wait until something happens",
    "D": "processes that wait for a disk or the like, and cannot be interrupted",
    "Z": "processes that ended, which their parent has not taken notice of",
    "T": "processes that a signal stopped",
    "t": "processes that a debugger holds",
    "I": "threads of the kernel with nothing to do",
}

METRICS = (
    Metric("processes", "processes", "/proc/PID/stat", "node_processes_pids"),
    Metric("threads", "threads of all processes", "/proc/PID/stat", "node_processes_threads"),
    Metric("limit", "processes and threads allowed", "/proc/sys/kernel/pid_max", "node_processes_max_processes"),
    Metric("threads_limit", "threads allowed", "/proc/sys/kernel/threads-max", "node_processes_max_threads"),
    *(
        Metric(f"states.{name}", _MEANINGS[letter], "/proc/PID/stat", "node_processes_state", (("state", letter),))
        for letter, name in STATES.items()
    ),
    *(
        Metric(f"{top}.*.{key}", meaning, source)
        for top, key, meaning, source in (
            ("top_cpu", "cpu_percent", "share of one processor since the sample before", "/proc/PID/stat"),
            ("top_memory", "resident_bytes", "memory of the process, shared pages included", "/proc/PID/stat"),
            ("top_io", "io_bytes_per_second", "bytes from and to disks since the sample before", "/proc/PID/io"),
        )
    ),
    Metric("top_io_scope", "own where the kernel tells the agent of its own user's processes alone", "/proc/PID/io"),
    *(
        Metric(f"{top}.*.{key}", meaning, "/proc/PID")
        for top in ("top_cpu", "top_memory", "top_io")
        for key, meaning in (("name", "name of the program"), ("user", "name of the owner"))
    ),
)


class Process(NamedTuple):
    """What /proc/PID/stat says of one; times in seconds, `started` in ticks since the boot tells two lives apart."""

    name: str
    state: str
    threads: int
    cpu_seconds: float
    started: int
    resident_bytes: int
    is_kernel: bool


class Processes:
    """The collector. It keeps what each process had used, to tell which uses most now, and the names of owners."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, float, int | None]] = {}
        self._seconds_before: float | None = None
        self._owners: dict[tuple[int, int], str] = {}
        self._refused = False  # whether the kernel would not tell the traffic of some process

    def collect(self, host: Host) -> Sample:
        """`{processes, threads, limit, threads_limit, states: {…}, top_cpu: {"4711": {name, user, cpu_percent}}, …}`.

        `top_io` has only processes whose /proc/PID/io the agent may read: all if it is root, or else its own user's,
        and then `top_io_scope` is `own`.
        """
        sample: Sample = {"processes": 0, "threads": 0, "states": dict.fromkeys(STATES.values(), 0)}
        processes = _read_all(host)
        for process in processes.values():
            sample["processes"] += 1
            sample["threads"] += process.threads
            if process.state in STATES:
                sample["states"][STATES[process.state]] += 1
        container = container_of(host)
        own, limit = container.tasks_limit() if container else None, host.read_if_there("/proc/sys/kernel/pid_max")
        limits = [int(known) for known in (own, limit) if known]
        if limits:
            sample["limit"] = min(limits)
        threads = host.read_if_there("/proc/sys/kernel/threads-max")
        if threads:
            sample["threads_limit"] = int(threads)
        known, self._owners = self._owners, {}
        for name, key, used in self._uses(host, processes):
            top: Sample = {}
            for pid in sorted(used, key=lambda pid: used[pid], reverse=True)[:TOP]:
                if used[pid] > 0:
                    life = (pid, processes[pid].started)
                    self._owners[life] = known.get(life) or self._owners.get(life) or host.owner(pid)
                    top[str(pid)] = {"name": processes[pid].name, "user": self._owners[life], key: used[pid]}
            sample[name] = top
        return sample | ({"top_io_scope": "own"} if self._refused else {})

    def _uses(self, host: Host, processes: dict[int, Process]) -> list[tuple[str, str, dict[int, float]]]:
        """What each process uses of memory, and since the last look of processors and disks."""
        now = float(host.read("/proc/uptime").split()[0])
        self._refused = False
        total = {
            # A thread of the kernel does nothing on its own account.
            pid: (one.started, one.cpu_seconds, None if one.is_kernel else self._io_bytes(host, pid))
            for pid, one in processes.items()
        }
        before, self._before = self._before, total
        seconds_before, self._seconds_before = self._seconds_before, now
        resident: dict[int, float] = {pid: one.resident_bytes for pid, one in processes.items()}
        uses = [("top_memory", "resident_bytes", resident)]
        if seconds_before is None or now <= seconds_before:
            return uses
        seconds = now - seconds_before
        cpu: dict[int, float] = {}
        traffic: dict[int, float] = {}
        for pid, (started, cpu_seconds, io_bytes) in total.items():
            # A process that is younger than the last look used all it used since then.
            then = before.get(pid, (started, 0.0, 0))
            _, cpu_before, io_before = then if then[0] == started else (started, 0.0, 0)
            cpu[pid] = round(max(0.0, cpu_seconds - cpu_before) / seconds * 100, 1)
            if io_bytes is not None and io_before is not None:
                traffic[pid] = round(max(0, io_bytes - io_before) / seconds, 1)
        return [*uses, ("top_cpu", "cpu_percent", cpu), ("top_io", "io_bytes_per_second", traffic)]

    def _io_bytes(self, host: Host, pid: int) -> int | None:
        """Bytes from and to disks, or None where the agent may not know, or the process has ended."""
        try:
            text = host.read(f"/proc/{pid}/io")
        except PermissionError:
            self._refused = True
            return None
        except OSError:
            return None
        counts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        try:
            return int(counts["read_bytes"]) + int(counts["write_bytes"])
        except (KeyError, ValueError):
            return None


def parse(text: str) -> Process:
    """What a text of /proc/PID/stat means. Raises ValueError if it ends too early.

    The name in parentheses may itself hold parentheses and spaces: the last one ends it.
    """
    head, _, rest = text.rpartition(")")
    columns = rest.split()
    if len(columns) < 22:
        raise ValueError("/proc/PID/stat has too few columns")
    return Process(
        name=printable(head.partition("(")[2]),
        state=columns[0],
        threads=int(columns[17]),
        cpu_seconds=(int(columns[11]) + int(columns[12])) / TICKS_PER_SECOND,
        started=int(columns[19]),
        resident_bytes=int(columns[21]) * PAGE_BYTES,
        is_kernel=bool(int(columns[6]) & PF_KTHREAD),
    )


def _read_all(host: Host) -> dict[int, Process]:
    processes: dict[int, Process] = {}
    for pid in os.listdir(host.path("/proc")):
        if not pid.isdigit():
            continue
        try:
            processes[int(pid)] = parse(host.read(f"/proc/{pid}/stat"))
        except (OSError, ValueError):
            continue  # it ended between the listing and the reading
    return processes
