"""Processor time by mode, for the machine and each processor, and what the kernel counts beside it.

One read of /proc/stat (proc(5)) gives what psutil would read the same file four times for.
"""

import os
from typing import Any

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample, with_rates, with_shares

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# The columns in their order. Guest time is already part of user and nice, so it has no share of its own.
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUESTS = ("guest", "guest_nice")
_KEYS = tuple(f"{mode}_seconds_total" for mode in (*MODES, *GUESTS))

_SHARING, _GUESTS = _KEYS[: len(MODES)], _KEYS[len(MODES) :]

_COUNTS = {
    "ctxt": "context_switches_total",
    "processes": "forks_total",
    "procs_running": "tasks_running",
    "procs_blocked": "tasks_blocked",
}

_MEANINGS = {
    "user": "running programs",
    "nice": "running programs of low priority",
    "system": "in the kernel",
    "idle": "with nothing to do",
    "iowait": "with nothing to do while a disk was waited for",
    "irq": "serving interrupts",
    "softirq": "serving soft interrupts",
    "steal": "wanted, but given to another virtual machine",
}

METRICS = (
    *(Metric(f"{mode}_seconds_total", f"time of all processors {_MEANINGS[mode]}", "/proc/stat") for mode in MODES),
    *(
        Metric(
            f"cores.*.{mode}_seconds_total",
            f"time of a processor {_MEANINGS[mode]}",
            "/proc/stat",
            "node_cpu_seconds_total",
            (("cpu", "*"), ("mode", mode)),
        )
        for mode in MODES
    ),
    *(
        Metric(
            f"{prefix}{guest}_seconds_total",
            "time running virtual machines, also contained in user and nice",
            "/proc/stat",
            series,
            labels,
        )
        for guest, mode in (("guest", "user"), ("guest_nice", "nice"))
        for prefix, series, labels in (
            ("", "", ()),
            ("cores.*.", "node_cpu_guest_seconds_total", (("cpu", "*"), ("mode", mode))),
        )
    ),
    Metric("busy_percent", "time of all processors neither idle nor waiting for a disk", "/proc/stat"),
    Metric("cores.*.busy_percent", "time of a processor neither idle nor waiting for a disk", "/proc/stat"),
    Metric("limit_cores", "processors' time that a container may use; busy_percent is its own share of it", "cpu.max"),
    Metric("used_seconds_total", "time of all processors that a container used", "cpu.stat"),
    Metric("throttled_seconds_total", "time for which a container was held back by its limit", "cpu.stat"),
    Metric("context_switches_total", "switches from one task to another", "/proc/stat", "node_context_switches_total"),
    Metric("forks_total", "processes and threads started", "/proc/stat", "node_forks_total"),
    Metric("interrupts_total", "interrupts served", "/proc/stat", "node_intr_total"),
    Metric("soft_interrupts_total", "soft interrupts served", "/proc/stat"),
    Metric("tasks_running", "tasks that run or want to", "/proc/stat", "node_procs_running"),
    Metric("tasks_blocked", "tasks that wait for a disk", "/proc/stat", "node_procs_blocked"),
)


def collect(host: Host) -> Sample:
    """`{modes…, cores: {"0": {modes…}}, context_switches_total, interrupts_total, …}`; times in seconds.

    In a container, of which these may be the host's, also `{limit_cores, used_seconds_total, throttled_seconds_total}`.
    """
    sample = parse(host.read_again("/proc/stat"))
    container = container_of(host)
    if container:
        sample |= {f"{name}_seconds_total": seconds for name, seconds in container.cpu_seconds().items()}
        cores = container.cores()
        if cores is not None:
            sample["limit_cores"] = cores
    return sample


def parse(text: str) -> Sample:
    """The sample that a text of /proc/stat means. Raises ValueError if it does not start with the cpu lines."""
    if not text.startswith("cpu "):
        raise ValueError("/proc/stat does not start with the line of all processors")
    total: Sample = {}
    cores: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "cpu":
            total = _times(rest)
        elif name.startswith("cpu"):
            cores[name[3:]] = _times(rest)
        elif name in _COUNTS:
            total[_COUNTS[name]] = int(rest.partition(" ")[0])
        elif name == "intr":
            # The line goes on with a column for each of up to thousands of interrupts; only the sum is wanted.
            total["interrupts_total"] = int(rest.partition(" ")[0])
        elif name == "softirq":
            total["soft_interrupts_total"] = int(rest.partition(" ")[0])
    total["cores"] = cores
    return total


def _times(columns: str) -> Sample:
    """Older kernels have fewer columns than we know, newer ones may have more."""
    times: Sample = {
        key: int(ticks) / TICKS_PER_SECOND for key, ticks in zip(_KEYS, columns.split(), strict=False)
    }
    if not times:
        raise ValueError("/proc/stat has a processor without times")
    return times


def derive(previous: Sample, current: Sample, seconds: float) -> Sample:
    """The shares of time by mode and `busy_percent`, of the machine and of each processor, and the other rates."""
    others = {key: value for key, value in current.items() if key not in _KEYS and key != "cores"}
    cores_before = previous.get("cores", {})
    return {
        **_shares(previous, current),
        **_of_container(with_rates(previous, others, seconds), len(current["cores"])),
        "cores": {name: _shares(cores_before.get(name, {}), core) for name, core in current["cores"].items()},
    }


def _of_container(rates: Sample, cores: int) -> Sample:
    """The rates, in a container with how busy it is itself, whatever its host is."""
    cores = min(rates.get("limit_cores", cores), cores)
    if "used_percent" in rates and cores:
        rates["busy_percent"] = min(100.0, round(rates["used_percent"] / cores, 2))
    return rates


def _shares(previous: Sample, current: Sample) -> Sample:
    """The times in the current sample, and the shares of those that are not already part of others."""
    result = with_shares(previous, {key: current[key] for key in _SHARING if key in current})
    if "idle_percent" in result:
        idle = result["idle_percent"] + result.get("iowait_percent", 0.0)
        result["busy_percent"] = round(max(0.0, 100.0 - idle), 2)
    return result | {key: current[key] for key in _GUESTS if key in current}
