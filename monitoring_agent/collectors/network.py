"""Traffic of the network interfaces, as psutil reads it from /proc/net/dev."""

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample


def collect(host: Host) -> Sample:
    """`{"eth0": {received_bytes_total, sent_bytes_total, received_packets_total, …}}`.

    Without psutil's own correction for wrapped counters: it would keep every interface that ever was, and a
    counter that falls already has no rate.
    """
    interfaces = host.psutil().net_io_counters(pernic=True, nowrap=False)
    return {
        name: {
            "received_bytes_total": counters.bytes_recv,
            "sent_bytes_total": counters.bytes_sent,
            "received_packets_total": counters.packets_recv,
            "sent_packets_total": counters.packets_sent,
            "receive_errors_total": counters.errin,
            "send_errors_total": counters.errout,
            "receive_drops_total": counters.dropin,
            "send_drops_total": counters.dropout,
        }
        for name, counters in interfaces.items()
    }
