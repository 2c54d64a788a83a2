"""Traffic of the block devices: /proc/diskstats (Documentation/admin-guide/iostats.rst of the kernel).

psutil leaves out the time weighted by the queue and the requests in flight.
"""

import re

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample, with_rates

# The unit of the sector columns whatever the device's own sector size is.
SECTOR_BYTES = 512

_LEFT_OUT = re.compile(
    r"(?:ram|loop|fd|zram|sr)\d+$"  # not disks, or never busy
    r"|(?:[hsv]d|xvd)[a-z]+\d+$"  # partitions: the whole device stands for them
    r"|(?:nvme\d+n\d+|mmcblk\d+|nbd\d+)p\d+$"
)


def collect(host: Host) -> Sample:
    """`{"sda": {reads_total, read_bytes_total, read_time_seconds_total, …}}` for every whole device."""
    return parse(host.read("/proc/diskstats"))


def parse(text: str) -> Sample:
    """The sample that a text of /proc/diskstats means; a line with too few columns is left out."""
    sample: Sample = {}
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 14 or _LEFT_OUT.match(columns[2]):
            continue
        values = [int(column) for column in columns[3:14]]
        sample[columns[2]] = {
            "reads_total": values[0],
            "read_bytes_total": values[2] * SECTOR_BYTES,
            "read_time_seconds_total": values[3] / 1000,
            "writes_total": values[4],
            "written_bytes_total": values[6] * SECTOR_BYTES,
            "write_time_seconds_total": values[7] / 1000,
            "in_flight": values[8],
            "busy_seconds_total": values[9] / 1000,
            "queue_seconds_total": values[10] / 1000,
        }
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
