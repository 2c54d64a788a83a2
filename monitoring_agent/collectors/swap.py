"""Swap space and the traffic to and from it, as psutil reads them from /proc/meminfo and /proc/vmstat."""

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample


def collect(host: Host) -> Sample:
    """`{total_bytes, used_bytes, free_bytes, used_percent, swapped_in_bytes_total, swapped_out_bytes_total}`."""
    swap = host.psutil().swap_memory()
    return {
        "total_bytes": swap.total,
        "used_bytes": swap.used,
        "free_bytes": swap.free,
        "used_percent": swap.percent,
        "swapped_in_bytes_total": swap.sin,
        "swapped_out_bytes_total": swap.sout,
    }
