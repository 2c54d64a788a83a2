"""What IP, ICMP, TCP and UDP count: /proc/net/snmp, /proc/net/netstat and /proc/net/snmp6 (proc(5), RFC 4293 and 4022).

Of some three hundred counters those are kept that node_exporter keeps, with the kernel's names in ours.
"""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

_GAUGES = {
    "Tcp_CurrEstab": "TCP connections that are established",
    "Ip_Forwarding": "1 if it forwards packets as a router does, else 2",
}
_COUNTERS = {
    "IpExt_InOctets": "bytes received over IPv4",
    "IpExt_OutOctets": "bytes sent over IPv4",
    "Ip6_InOctets": "bytes received over IPv6",
    "Ip6_OutOctets": "bytes sent over IPv6",
    "Icmp_InMsgs": "ICMP messages received",
    "Icmp_InErrors": "ICMP messages received with an error",
    "Icmp_OutMsgs": "ICMP messages sent",
    "Icmp6_InMsgs": "ICMPv6 messages received",
    "Icmp6_InErrors": "ICMPv6 messages received with an error",
    "Icmp6_OutMsgs": "ICMPv6 messages sent",
    "Tcp_ActiveOpens": "TCP connections asked for from here",
    "Tcp_PassiveOpens": "TCP connections asked for from elsewhere",
    "Tcp_InSegs": "TCP segments received",
    "Tcp_OutSegs": "TCP segments sent, without those sent again",
    "Tcp_RetransSegs": "TCP segments sent again",
    "Tcp_InErrs": "TCP segments received with an error",
    "Tcp_OutRsts": "TCP resets sent",
    "TcpExt_ListenOverflows": "TCP connections refused because a program did not accept them in time",
    "TcpExt_ListenDrops": "the same, and those dropped for any other reason",
    "TcpExt_SyncookiesSent": "cookies sent in place of remembering who asked for a TCP connection",
    "TcpExt_SyncookiesRecv": "right ones that came back",
    "TcpExt_SyncookiesFailed": "wrong ones that came back",
    "TcpExt_TCPSynRetrans": "requests for a TCP connection sent again",
    "TcpExt_TCPTimeouts": "times that no answer came to a TCP segment",
    "TcpExt_TCPOFOQueue": "TCP segments received out of order, and kept",
    "TcpExt_TCPRcvQDrop": "TCP segments dropped because a program's queue was full",
    "Udp_InDatagrams": "UDP datagrams received",
    "Udp_OutDatagrams": "UDP datagrams sent",
    "Udp_InErrors": "UDP datagrams received that could not be delivered",
    "Udp_NoPorts": "UDP datagrams received at a port where nobody listens",
    "Udp_RcvbufErrors": "UDP datagrams dropped because a program's buffer was full",
    "Udp_SndbufErrors": "UDP datagrams not sent because a buffer was full",
    "UdpLite_InErrors": "UDP-Lite datagrams received that could not be delivered",
    "Udp6_InDatagrams": "UDP datagrams received over IPv6",
    "Udp6_OutDatagrams": "UDP datagrams sent over IPv6",
    "Udp6_InErrors": "UDP datagrams received over IPv6 that could not be delivered",
    "Udp6_NoPorts": "UDP datagrams received over IPv6 at a port where nobody listens",
    "Udp6_RcvbufErrors": "UDP datagrams dropped over IPv6 because a program's buffer was full",
    "Udp6_SndbufErrors": "UDP datagrams not sent over IPv6 because a buffer was full",
    "UdpLite6_InErrors": "UDP-Lite datagrams received over IPv6 that could not be delivered",
}
# Our key by the kernel's name.
_KEYS = {name: name for name in _GAUGES} | {name: f"{name}_total" for name in _COUNTERS}

_SOURCES = {"IpExt": "/proc/net/netstat", "TcpExt": "/proc/net/netstat"}


def _source(name: str) -> str:
    protocol = name.partition("_")[0]
    return "/proc/net/snmp6" if protocol.endswith("6") else _SOURCES.get(protocol, "/proc/net/snmp")


METRICS = tuple(
    Metric(_KEYS[name], meaning, _source(name), f"node_netstat_{name}")
    for name, meaning in (_GAUGES | _COUNTERS).items()
)


def collect(host: Host) -> Sample:
    """`{"Tcp_RetransSegs_total": 12, …}`."""
    sample: Sample = {}
    for name in ("/proc/net/snmp", "/proc/net/netstat"):
        sample |= parse_pairs(host.read_again_if_there(name) or "")
    return sample | parse_ip6(host.read_again_if_there("/proc/net/snmp6") or "")


def parse_pairs(text: str) -> Sample:
    """The kept counters of a text in which a line of names is followed by the line of their values."""
    sample: Sample = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        protocol, _, columns = names.partition(":")
        for column, value in zip(columns.split(), values.split()[1:], strict=False):
            key = _KEYS.get(f"{protocol}_{column}")
            if key:
                sample[key] = int(value)
    return sample


def parse_ip6(text: str) -> Sample:
    """The kept counters of a text of lines such as `Icmp6InMsgs 5`."""
    sample: Sample = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        protocol, separator, column = name.partition("6")
        key = _KEYS.get(f"{protocol}6_{column}")
        if separator and key and value.strip().isdigit():
            sample[key] = int(value)
    return sample
