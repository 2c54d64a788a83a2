"""Memory in use, as psutil computes it from /proc/meminfo."""

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample

FIELDS = ("total", "available", "used", "free", "active", "inactive", "buffers", "cached", "shared", "slab")


def collect(host: Host) -> Sample:
    """`{total_bytes, available_bytes, used_bytes, …, used_percent}`; used is what is not available, in per cent."""
    memory = host.psutil().virtual_memory()
    sample: Sample = {f"{field}_bytes": getattr(memory, field) for field in FIELDS}
    sample["used_percent"] = memory.percent
    return sample
