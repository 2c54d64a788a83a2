"""What IP, ICMP, TCP and UDP count: /proc/net/snmp, /proc/net/netstat and /proc/net/snmp6 (proc(5), RFC 4293 and 4022).

Of some three hundred counters those are kept that node_exporter keeps, under the kernel's own names.
"""

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

_KEPT = frozenset(
    "IpExt_InOctets IpExt_OutOctets Ip_Forwarding Ip6_InOctets Ip6_OutOctets"
    " Icmp_InMsgs Icmp_InErrors Icmp_OutMsgs Icmp6_InMsgs Icmp6_InErrors Icmp6_OutMsgs"
    " TcpExt_ListenOverflows TcpExt_ListenDrops TcpExt_SyncookiesSent TcpExt_SyncookiesRecv TcpExt_SyncookiesFailed"
    " TcpExt_TCPSynRetrans TcpExt_TCPTimeouts TcpExt_TCPOFOQueue TcpExt_TCPRcvQDrop"
    " Tcp_ActiveOpens Tcp_PassiveOpens Tcp_InSegs Tcp_OutSegs Tcp_InErrs Tcp_OutRsts Tcp_RetransSegs Tcp_CurrEstab"
    " Udp_InDatagrams Udp_OutDatagrams Udp_InErrors Udp_NoPorts Udp_RcvbufErrors Udp_SndbufErrors UdpLite_InErrors"
    " Udp6_InDatagrams Udp6_OutDatagrams Udp6_InErrors Udp6_NoPorts Udp6_RcvbufErrors Udp6_SndbufErrors"
    " UdpLite6_InErrors".split()
)

METRICS = (Metric("*", "the kernel's counter of this name", "/proc/net/snmp, netstat, snmp6", "node_netstat_*"),)


def collect(host: Host) -> Sample:
    """`{"Tcp_RetransSegs": 12, …}`."""
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
            key = f"{protocol}_{column}"
            if key in _KEPT:
                sample[key] = int(value)
    return sample


def parse_ip6(text: str) -> Sample:
    """The kept counters of a text of lines such as `Icmp6InMsgs 5`."""
    sample: Sample = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        protocol, separator, column = name.partition("6")
        key = f"{protocol}6_{column}"
        if separator and key in _KEPT and value.strip().isdigit():
            sample[key] = int(value)
    return sample
