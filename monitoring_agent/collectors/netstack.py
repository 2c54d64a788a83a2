"""Where packets wait or get lost inside the kernel: connection tracking, soft interrupts, and known neighbours.

/proc/sys/net/netfilter, /proc/net/softnet_stat and /proc/net/arp (proc(5)).
"""

from collections import Counter

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

_NETFILTER = "/proc/sys/net/netfilter"

METRICS = (
    Metric("conntrack_entries", "connections tracked", _NETFILTER, "node_nf_conntrack_entries"),
    Metric("conntrack_limit", "connections that can be tracked", _NETFILTER, "node_nf_conntrack_entries_limit"),
    Metric("conntrack_used_percent", "how full the table is", _NETFILTER),
    *(
        Metric(f"softnet.*.{key}", meaning, "/proc/net/softnet_stat", f"node_softnet_{key}", (("cpu", "*"),))
        for key, meaning in (
            ("processed_total", "packets a processor took in"),
            ("dropped_total", "packets dropped because its queue was full"),
            ("times_squeezed_total", "times it had to leave packets for later"),
        )
    ),
    Metric(
        "neighbours.*",
        "addresses on the network of an interface that are known or asked for",
        "/proc/net/arp",
        "node_arp_entries",
        (("device", "*"),),
    ),
)


def collect(host: Host) -> Sample:
    """`{conntrack_entries, …, softnet: {"0": {processed_total, …}}, neighbours: {"eth0": 3}}`."""
    sample: Sample = {}
    entries = host.read_if_there(f"{_NETFILTER}/nf_conntrack_count")
    limit = host.read_if_there(f"{_NETFILTER}/nf_conntrack_max")
    if entries and limit:
        sample["conntrack_entries"], sample["conntrack_limit"] = int(entries), int(limit)
        if int(limit) > 0:
            sample["conntrack_used_percent"] = round(int(entries) / int(limit) * 100, 2)
    sample["softnet"] = parse_softnet(host.read_if_there("/proc/net/softnet_stat") or "")
    sample["neighbours"] = parse_neighbours(host.read_if_there("/proc/net/arp") or "")
    return sample


def parse_softnet(text: str) -> Sample:
    """A line of hexadecimal columns for each processor; the 13th, since Linux 5.10, is its number."""
    sample: Sample = {}
    for position, line in enumerate(text.splitlines()):
        columns = [int(column, 16) for column in line.split()]
        if len(columns) < 3:
            continue
        number = columns[12] if len(columns) > 12 else position
        sample[str(number)] = {
            "processed_total": columns[0],
            "dropped_total": columns[1],
            "times_squeezed_total": columns[2],
        }
    return sample


def parse_neighbours(text: str) -> Sample:
    """How many entries there are for each interface, complete or not: all take room. The first line is a heading."""
    rows = (line.split() for line in text.splitlines()[1:])
    return dict(Counter(printable(columns[5]) for columns in rows if len(columns) >= 6))
