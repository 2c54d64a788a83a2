"""Sockets by protocol, and the memory they hold: /proc/net/sockstat and sockstat6 (proc(5))."""

import os

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

METRICS = (Metric("*", "the kernel's number of this name", "/proc/net/sockstat, sockstat6", "node_sockstat_*"),)


def collect(host: Host) -> Sample:
    """`{"sockets_used": 152, "TCP_inuse": 7, "TCP_mem_bytes": 4096, …}`."""
    texts = (host.read_again_if_there(f"/proc/net/{name}") or "" for name in ("sockstat", "sockstat6"))
    return parse("\n".join(texts))


def parse(text: str) -> Sample:
    """The sample that a text of lines such as `TCP: inuse 7 mem 1` means; memory also in bytes."""
    sample: Sample = {}
    for line in text.splitlines():
        protocol, _, rest = line.partition(":")
        words = rest.split()
        for name, value in zip(words[::2], words[1::2], strict=False):
            sample[f"{protocol}_{name}"] = int(value)
            if name == "mem":
                sample[f"{protocol}_mem_bytes"] = int(value) * PAGE_BYTES
    return sample
