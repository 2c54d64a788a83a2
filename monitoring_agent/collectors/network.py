"""Traffic of the network interfaces: /proc/net/dev (proc(5)); psutil keeps only half of its columns."""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

# The columns in their order: our key, and the rest of the name for Prometheus.
_COLUMNS = (
    ("received_bytes_total", "receive_bytes_total", "bytes received"),
    ("received_packets_total", "receive_packets_total", "packets received"),
    ("receive_errors_total", "receive_errs_total", "packets received with an error"),
    ("receive_drops_total", "receive_drop_total", "packets received and dropped"),
    ("receive_fifo_total", "receive_fifo_total", "packets lost because a buffer was full"),
    ("receive_frame_total", "receive_frame_total", "packets received with a framing error"),
    ("receive_compressed_total", "receive_compressed_total", "compressed packets received"),
    ("receive_multicast_total", "receive_multicast_total", "multicast packets received"),
    ("sent_bytes_total", "transmit_bytes_total", "bytes sent"),
    ("sent_packets_total", "transmit_packets_total", "packets sent"),
    ("send_errors_total", "transmit_errs_total", "packets not sent for an error"),
    ("send_drops_total", "transmit_drop_total", "packets to send that were dropped"),
    ("send_fifo_total", "transmit_fifo_total", "packets not sent because a buffer was full"),
    ("send_collisions_total", "transmit_colls_total", "collisions"),
    ("send_carrier_total", "transmit_carrier_total", "packets not sent for want of a carrier"),
    ("send_compressed_total", "transmit_compressed_total", "compressed packets sent"),
)

_KEYS = tuple(key for key, _, _ in _COLUMNS)

METRICS = tuple(
    Metric(f"*.{key}", meaning, "/proc/net/dev", f"node_network_{series}", (("device", "*"),))
    for key, series, meaning in _COLUMNS
)


def collect(host: Host) -> Sample:
    """`{"eth0": {received_bytes_total, sent_bytes_total, received_packets_total, …}}`."""
    return parse(host.read_again("/proc/net/dev"))


def parse(text: str) -> Sample:
    """The sample that a text of /proc/net/dev means; a line with too few columns is left out."""
    sample: Sample = {}
    for line in text.splitlines():
        # Only the last colon ends the name: an alias such as eth0:1 has one of its own.
        name, separator, rest = line.rpartition(":")
        columns = rest.split()
        if separator and len(columns) >= len(_COLUMNS):
            sample[printable(name.strip())] = dict(zip(_KEYS, map(int, columns), strict=False))
    return sample
