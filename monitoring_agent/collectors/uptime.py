"""How long the machine has been up: /proc/uptime (proc(5))."""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

METRICS = (Metric("uptime_seconds", "time since the machine was started", "/proc/uptime"),)


def collect(host: Host) -> Sample:
    """`{uptime_seconds}`."""
    return parse(host.read_again("/proc/uptime"))


def parse(text: str) -> Sample:
    """The sample that a text of /proc/uptime means. Raises ValueError if it is empty."""
    columns = text.split()
    if not columns:
        raise ValueError("/proc/uptime is empty")
    return {"uptime_seconds": float(columns[0])}
