"""Traffic of the block devices: /proc/diskstats (Documentation/admin-guide/iostats.rst of the kernel).

psutil leaves out the time weighted by the queue and the requests in flight.
"""

import re

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample, with_rates

# The unit of the sector columns whatever the device's own sector size is.
SECTOR_BYTES = 512

_LEFT_OUT = re.compile(
    r"(?:ram|loop|fd)\d+$"  # not disks
    r"|(?:[hsv]d|xvd)[a-z]+\d+$"  # partitions: the whole device stands for them
    r"|(?:nvme\d+n\d+|mmcblk\d+|nbd\d+|md\d+|md_d\d+)p\d+$"
)

# The columns behind the name in their order: key, divisor of times in milliseconds or factor of sectors, and the rest
# of the name for Prometheus.
_COLUMNS: tuple[tuple[str, float, str, str], ...] = (
    ("reads_total", 1, "reads_completed_total", "reads done"),
    ("reads_merged_total", 1, "reads_merged_total", "reads that were joined to another one"),
    ("read_bytes_total", SECTOR_BYTES, "read_bytes_total", "bytes read"),
    ("read_time_seconds_total", 0.001, "read_time_seconds_total", "time that all reads took"),
    ("writes_total", 1, "writes_completed_total", "writes done"),
    ("writes_merged_total", 1, "writes_merged_total", "writes that were joined to another one"),
    ("written_bytes_total", SECTOR_BYTES, "written_bytes_total", "bytes written"),
    ("write_time_seconds_total", 0.001, "write_time_seconds_total", "time that all writes took"),
    ("in_flight", 1, "io_now", "operations in progress"),
    (
        "busy_seconds_total",
        0.001,
        "io_time_seconds_total",
        "time with operations in progress; its per cent is the utilisation",
    ),
    (
        "queue_seconds_total",
        0.001,
        "io_time_weighted_seconds_total",
        "time with operations in progress times their number",
    ),
    ("discards_total", 1, "discards_completed_total", "discards done"),
    ("discards_merged_total", 1, "discards_merged_total", "discards that were joined to another one"),
    ("discarded_sectors_total", 1, "discarded_sectors_total", "sectors of 512 bytes discarded"),
    ("discard_time_seconds_total", 0.001, "discard_time_seconds_total", "time that all discards took"),
    ("flushes_total", 1, "flush_requests_total", "flushes done"),
    ("flush_time_seconds_total", 0.001, "flush_requests_time_seconds_total", "time that all flushes took"),
)
_KEYS = tuple(key for key, _, _, _ in _COLUMNS)
_SECTORS = tuple(key for key, factor, _, _ in _COLUMNS if factor > 1)
_MILLISECONDS = tuple(key for key, factor, _, _ in _COLUMNS if factor < 1)
_OLD_COLUMNS = 11  # Linux before 4.18 ends there

METRICS = (
    *(
        Metric(f"*.{key}", meaning, "/proc/diskstats", f"node_disk_{series}", (("device", "*"),))
        for key, _, series, meaning in _COLUMNS
    ),
    Metric("*.read_latency_seconds", "what a read took on average since the sample before", "/proc/diskstats"),
    Metric("*.write_latency_seconds", "what a write took on average since the sample before", "/proc/diskstats"),
)


def collect(host: Host) -> Sample:
    """`{"sda": {reads_total, read_bytes_total, read_time_seconds_total, …}}` for every whole device."""
    return parse(host.read_again("/proc/diskstats"))


def parse(text: str) -> Sample:
    """The sample that a text of /proc/diskstats means; a line with too few columns is left out."""
    sample: Sample = {}
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 3 + _OLD_COLUMNS or _LEFT_OUT.match(columns[2]):
            continue
        device: Sample = dict(zip(_KEYS, map(int, columns[3:]), strict=False))
        for key in _SECTORS:
            device[key] *= SECTOR_BYTES
        for key in _MILLISECONDS:
            if key in device:
                device[key] /= 1000
        sample[columns[2]] = device
    return sample


def derive(previous: Sample, current: Sample, seconds: float) -> Sample:
    """The rates of each device, and how long a read and a write took on average in the time between."""
    result = with_rates(previous, current, seconds)
    for name, device in result.items():
        before = previous.get(name, {})
        for kind, count, time in (
            ("read", "reads_total", "read_time_seconds_total"),
            ("write", "writes_total", "write_time_seconds_total"),
        ):
            operations = device[count] - before.get(count, device[count])
            spent = device[time] - before.get(time, device[time])
            if operations > 0 and spent >= 0:
                device[f"{kind}_latency_seconds"] = round(spent / operations, 6)
    return result
