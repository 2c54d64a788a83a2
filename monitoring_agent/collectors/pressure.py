"""Time lost waiting for processor, memory and disk: /proc/pressure (Documentation/accounting/psi.rst of the kernel)."""

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample

RESOURCES = ("cpu", "memory", "io")


def collect(host: Host) -> Sample:
    """`{"cpu": {"some_stalled_seconds_total": …, "full_stalled_seconds_total": …}, …}`; empty without PSI."""
    sample: Sample = {}
    for resource in RESOURCES:
        try:
            text = host.read(f"/proc/pressure/{resource}")
        except OSError:
            continue  # a kernel built without PSI has no file, one booted with psi=0 refuses to read it
        sample[resource] = parse(text)
    return sample


def parse(text: str) -> Sample:
    """The counters of one file of /proc/pressure. Raises ValueError if a line has no total."""
    sample: Sample = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        _, separator, micros = rest.rpartition("total=")
        if not separator:
            raise ValueError("a line of /proc/pressure has no total")
        sample[f"{kind}_stalled_seconds_total"] = int(micros) / 1_000_000
    return sample
