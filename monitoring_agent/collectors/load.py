"""How many tasks want to run: /proc/loadavg (proc(5))."""

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

METRICS = (
    Metric("load_1m", "tasks that run or want to, average of a minute", "/proc/loadavg", "node_load1"),
    Metric("load_5m", "the same over five minutes", "/proc/loadavg", "node_load5"),
    Metric("load_15m", "the same over fifteen minutes", "/proc/loadavg", "node_load15"),
    Metric("tasks_runnable", "tasks that run or want to, now", "/proc/loadavg"),
    Metric("tasks", "processes and threads", "/proc/loadavg"),
    Metric("scope", "host in a container: the kernel counts the tasks of the whole host", "/run/systemd/container"),
)


def collect(host: Host) -> Sample:
    """`{load_1m, load_5m, load_15m, tasks_runnable, tasks}`, and in a container `scope`."""
    sample = parse(host.read_again("/proc/loadavg"))
    return sample | {"scope": "host"} if container_of(host) else sample


def parse(text: str) -> Sample:
    """The sample that a text of /proc/loadavg means. Raises ValueError if columns are missing."""
    columns = text.split()
    if len(columns) < 4 or "/" not in columns[3]:
        raise ValueError("/proc/loadavg has too few columns")
    runnable, _, tasks = columns[3].partition("/")
    return {
        "load_1m": float(columns[0]),
        "load_5m": float(columns[1]),
        "load_15m": float(columns[2]),
        "tasks_runnable": int(runnable),
        "tasks": int(tasks),
    }
