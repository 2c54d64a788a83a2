"""Traffic between memory and disk, and processes killed for want of memory: /proc/vmstat (proc(5))."""

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

# The lines that are kept, our name for each, and what it means.
_KEPT = {
    "pgpgin": ("paged_in_kibibytes_total", "KiB read from block devices"),
    "pgpgout": ("paged_out_kibibytes_total", "KiB written to block devices"),
    "pswpin": ("swapped_in_pages_total", "pages read from swap space"),
    "pswpout": ("swapped_out_pages_total", "pages written to swap space"),
    "pgfault": ("faults_total", "pages that a program touched and the kernel had to map"),
    "pgmajfault": ("major_faults_total", "pages that had to be read from a disk first"),
    "oom_kill": ("oom_kills_total", "processes killed for want of memory"),
}

METRICS = tuple(Metric(name, meaning, "/proc/vmstat", f"node_vmstat_{line}") for line, (name, meaning) in _KEPT.items())


def collect(host: Host) -> Sample:
    """`{paged_in_kibibytes_total, …, oom_kills_total}`; in a container the kills are those of its own processes."""
    sample = parse(host.read_again("/proc/vmstat"))
    container = container_of(host)
    killed = container.oom_kills() if container else None
    return sample if killed is None else sample | {"oom_kills_total": killed}


def parse(text: str) -> Sample:
    """The sample that a text of /proc/vmstat means; a kernel may lack some lines. Raises ValueError if all lack."""
    sample: Sample = {}
    text = "\n" + text
    for name, (key, _) in _KEPT.items():
        # Seven lines of two hundred: looking for them is cheaper than taking all apart.
        _, found, rest = text.partition(f"\n{name} ")
        count = rest[:24].partition("\n")[0]
        if found and count.isdigit():
            sample[key] = int(count)
    if not sample:
        raise ValueError("/proc/vmstat has none of the expected lines")
    return sample
