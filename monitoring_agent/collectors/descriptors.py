"""Open files of the whole machine, and the entropy that is left: /proc/sys/fs and /proc/sys/kernel/random (proc(5))."""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

METRICS = (
    Metric("files_open", "file descriptors in use", "/proc/sys/fs/file-nr", "node_filefd_allocated"),
    Metric("files_limit", "file descriptors allowed", "/proc/sys/fs/file-nr", "node_filefd_maximum"),
    Metric(
        "entropy_available_bits",
        "randomness the kernel has in store",
        "/proc/sys/kernel/random",
        "node_entropy_available_bits",
    ),
    Metric(
        "entropy_pool_bits", "randomness the kernel can store", "/proc/sys/kernel/random", "node_entropy_pool_size_bits"
    ),
)


def collect(host: Host) -> Sample:
    """`{files_open, files_limit, entropy_available_bits, entropy_pool_bits}`."""
    columns = host.read("/proc/sys/fs/file-nr").split()
    if len(columns) < 3:
        raise ValueError("/proc/sys/fs/file-nr has too few columns")
    sample: Sample = {"files_open": int(columns[0]), "files_limit": int(columns[2])}
    for key, file in (("entropy_available_bits", "entropy_avail"), ("entropy_pool_bits", "poolsize")):
        text = host.read_if_there(f"/proc/sys/kernel/random/{file}")
        if text:
            sample[key] = int(text)
    return sample
