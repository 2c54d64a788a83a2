"""Time lost waiting for processor, memory and disk: /proc/pressure (Documentation/accounting/psi.rst of the kernel)."""

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

RESOURCES = ("cpu", "memory", "io")

METRICS = tuple(
    Metric(
        f"{resource}.{kind}_stalled_seconds_total",
        f"time in which {who} waited for {name}",
        f"/proc/pressure/{resource}",
        "" if (resource, kind) == ("cpu", "full") else f"node_pressure_{resource}_{series}_seconds_total",
    )
    for resource, name in (("cpu", "a processor"), ("memory", "memory"), ("io", "a disk"))
    for kind, who, series in (("some", "some task", "waiting"), ("full", "every task", "stalled"))
)


def collect(host: Host) -> Sample:
    """`{"cpu": {"some_stalled_seconds_total": …, "full_stalled_seconds_total": …}, …}`; empty without PSI.

    In a container of cgroup v2 its own, elsewhere the machine's.
    """
    container = container_of(host)
    sample: Sample = {}
    for resource in RESOURCES:
        try:
            own = container.pressure(resource) if container else None
            text = host.read_again(own or f"/proc/pressure/{resource}")
        except OSError:
            continue  # a kernel built without PSI has no file, one booted with psi=0 refuses to read it
        sample[resource] = parse(text)
    return sample


def parse(text: str) -> Sample:
    """The counters of one file of /proc/pressure. Raises ValueError if a line has no total."""
    sample: Sample = {}
    for line in text.splitlines():
        kind, *columns = line.split()
        total = [column[6:] for column in columns if column.startswith("total=")]
        if not total:
            raise ValueError("a line of /proc/pressure has no total")
        sample[f"{kind}_stalled_seconds_total"] = int(total[0]) / 1_000_000
    return sample
