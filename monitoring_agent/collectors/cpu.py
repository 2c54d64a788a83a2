"""Processor time by mode, for the machine and each processor, and what the kernel counts beside it.

One read of /proc/stat (proc(5)) gives what psutil would read the same file four times for.
"""

import os
from typing import Any

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample, with_rates, with_shares

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

_COUNTERS = {"ctxt": "context_switches_total", "processes": "forks_total"}


def collect(host: Host) -> Sample:
    """`{modes…, cores: {"0": {modes…}}, context_switches_total, interrupts_total, …}`; times in seconds."""
    return parse(host.read("/proc/stat"))


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
        elif name in _COUNTERS:
            total[_COUNTERS[name]] = int(rest)
        elif name == "intr":
            # The line goes on with a column for each of up to thousands of interrupts; only the sum is wanted.
            total["interrupts_total"] = int(rest.partition(" ")[0])
        elif name == "softirq":
            total["soft_interrupts_total"] = int(rest.partition(" ")[0])
    total["cores"] = cores
    return total


def _times(columns: str) -> Sample:
    """Older kernels have fewer columns than MODES, newer ones more; guest time is already part of user and nice."""
    times: Sample = {
        f"{mode}_seconds_total": int(ticks) / TICKS_PER_SECOND
        for mode, ticks in zip(MODES, columns.split(), strict=False)
    }
    if not times:
        raise ValueError("/proc/stat has a processor without times")
    return times


def derive(previous: Sample, current: Sample, seconds: float) -> Sample:
    """The shares of time by mode and `busy_percent`, of the machine and of each processor, and the other rates."""
    times = {key: value for key, value in current.items() if key.endswith("_seconds_total")}
    counts = {key: value for key, value in current.items() if key.endswith("_total") and key not in times}
    cores_before = previous.get("cores", {})
    return {
        **_shares(previous, times),
        **with_rates(previous, counts, seconds),
        "cores": {name: _shares(cores_before.get(name, {}), core) for name, core in current["cores"].items()},
    }


def _shares(previous: Sample, current: Sample) -> Sample:
    result = with_shares(previous, current)
    if "idle_percent" in result:
        idle = result["idle_percent"] + result.get("iowait_percent", 0.0)
        result["busy_percent"] = round(max(0.0, 100.0 - idle), 2)
    return result
