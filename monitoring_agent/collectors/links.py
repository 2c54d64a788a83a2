"""The state of the network interfaces: /sys/class/net (Documentation/ABI/testing/sysfs-class-net of the kernel)."""

import os

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

_SOURCE = "/sys/class/net"
_DEVICE = (("device", "*"),)

# File, key and meaning of the numbers; the name for Prometheus is node_network_ with the file's, but for these.
_NUMBERS = (
    ("carrier", "carrier", "1 if a cable or a partner is there"),
    ("carrier_changes", "carrier_changes_total", "how often the carrier came or went"),
    ("carrier_up_count", "carrier_up_changes_total", "how often the carrier came"),
    ("carrier_down_count", "carrier_down_changes_total", "how often the carrier went"),
    ("statistics/rx_nohandler", "receive_nohandler_total", "packets received that nobody wanted"),
    ("mtu", "mtu_bytes", "size of the largest packet"),
    ("tx_queue_len", "transmit_queue_length", "packets that may wait to be sent"),
)
_TEXTS = (
    ("operstate", "state"),
    ("duplex", "duplex"),
    ("address", "address"),
    ("broadcast", "broadcast"),
    ("ifalias", "alias"),
)

METRICS = (
    *(Metric(f"*.{key}", meaning, _SOURCE, f"node_network_{key}", _DEVICE) for _, key, meaning in _NUMBERS),
    Metric("*.up", "1 if the interface is operational", _SOURCE, "node_network_up", _DEVICE),
    Metric("*.speed_bytes_per_second", "speed that was agreed on", _SOURCE, "node_network_speed_bytes", _DEVICE),
    Metric(
        "*.state",
        "operational state (RFC 2863), such as up, down, unknown",
        _SOURCE,
        "node_network_info",
        (
            ("address", ".address"),
            ("broadcast", ".broadcast"),
            ("device", "*"),
            ("duplex", ".duplex"),
            ("ifalias", ".alias"),
            ("operstate", ".state"),
        ),
    ),
    Metric("*.duplex", "full or half", _SOURCE),
    Metric("*.address", "hardware address", _SOURCE),
    Metric("*.broadcast", "hardware address for all", _SOURCE),
    Metric("*.alias", "the administrator's name for it", _SOURCE),
    Metric(
        "*.slaves", "interfaces joined in a bond", "/sys/class/net/*/bonding", "node_bonding_slaves", (("master", "*"),)
    ),
    Metric(
        "*.slaves_active",
        "interfaces of a bond that have a link",
        "/sys/class/net/*/bonding",
        "node_bonding_active",
        (("master", "*"),),
    ),
)


def collect(host: Host) -> Sample:
    """`{"eth0": {state, up, carrier, mtu_bytes, speed_bytes_per_second, duplex, …}}`."""
    try:
        names = os.listdir(host.path(_SOURCE))
    except FileNotFoundError:
        return {}
    return {printable(name): link for name in sorted(names) if (link := _link(host, name))}


def _link(host: Host, name: str) -> Sample:
    link: Sample = {}
    for file, key in _TEXTS:
        text = _read(host, name, file)
        if text:
            link[key] = printable(text)
    for file, key, _ in _NUMBERS:
        text = _read(host, name, file)
        if text and text.isdigit():
            link[key] = int(text)
    speed = _read(host, name, "speed")  # in Mbit/s; -1 where there is none
    if speed and speed.isdigit():
        link["speed_bytes_per_second"] = int(speed) * 1_000_000 // 8
    if "state" in link:
        link["up"] = int(link["state"] == "up")
    slaves = _read(host, name, "bonding/slaves")
    if slaves is not None:
        link["slaves"] = len(slaves.split())
        link["slaves_active"] = sum(_read(host, slave, "bonding_slave/mii_status") == "up" for slave in slaves.split())
    return link


def _read(host: Host, name: str, file: str) -> str | None:
    """None where the interface has no such file, or refuses to say it while it is down."""
    try:
        return host.read(f"{_SOURCE}/{name}/{file}").strip()
    except OSError:
        return None
