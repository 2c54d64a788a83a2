"""How long tasks ran on each processor and waited for it: /proc/schedstat (Documentation/scheduler/sched-stats.rst)."""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

METRICS = tuple(
    Metric(f"*.{key}", meaning, "/proc/schedstat", f"node_schedstat_{key}", (("cpu", "*"),))
    for key, meaning in (
        ("running_seconds_total", "time that tasks ran on a processor"),
        ("waiting_seconds_total", "time that tasks waited for it, added up"),
        ("timeslices_total", "turns that it gave to tasks"),
    )
)


def collect(host: Host) -> Sample:
    """`{"0": {running_seconds_total, waiting_seconds_total, timeslices_total}}`; empty on a kernel without it."""
    return parse(host.read_if_there("/proc/schedstat") or "")


def parse(text: str) -> Sample:
    """The last three of the nine columns of each processor; a line with fewer is left out."""
    sample: Sample = {}
    for line in text.splitlines():
        name, *columns = line.split() or [""]
        if name.startswith("cpu") and len(columns) >= 9 and all(column.isdecimal() for column in columns[6:9]):
            running, waiting, timeslices = map(int, columns[6:9])  # nanoseconds
            sample[name[3:]] = {
                "running_seconds_total": running / 1e9,
                "waiting_seconds_total": waiting / 1e9,
                "timeslices_total": timeslices,
            }
    return sample
