"""How people write where an agent is: `address`, `name`, `address:port`, `[v6]:port`, a URL or a network."""

import ipaddress
import re
from dataclasses import dataclass

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_NETWORK_ADDRESSES = 65_536

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?\Z")


@dataclass(frozen=True)
class Address:
    """A place an agent listens at. `port` is None where the text named none."""

    host: str
    port: int | None = None
    tls: bool = False


def join(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_network(text: str) -> IPNetwork:
    """The network; a lone address is a network of one. Raises ValueError with the remedy."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write for example 10.0.0.0/24") from None
    if ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"{text!r} is an address inside a network; write {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        # Whoever comes over IPv4 is compared as that, whatever the socket calls it.
        ipv4 = f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
        raise ValueError(f"{text!r} is an IPv4 network in the form of IPv6; write {ipv4}")
    return network


def parse_address(text: str) -> Address:
    """One address. Raises ValueError saying what is wrong with it."""
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme not in {"http", "https"}:
            raise ValueError(f"{text!r} starts with {scheme!r}; only http and https are spoken")
        if "/" in rest.rstrip("/"):
            raise ValueError(f"{text!r} has a path; the paths are set by HEALTHROOT and METRICSROOT")
        rest = rest.rstrip("/")
    else:
        rest = text
    host, port = _split_port(text, rest)
    return Address(_canonical_host(text, host), port, tls=separator != "" and scheme == "https")


def parse_listen(text: str) -> Address:
    """An address with a port to listen at. Raises ValueError with the remedy."""
    address = parse_address(text)
    if "://" in text:
        raise ValueError(f"{text!r} is a URL; write address:port")
    if not _is_ip(address.host):
        raise ValueError(f"{text!r} does not start with an IP address; write for example 0.0.0.0:5000 for all")
    if address.port is None:
        raise ValueError(f"{text!r} has no port; write {join(address.host, 5000)}")
    return address


def expand(text: str) -> list[Address]:
    """All addresses that one whitelist entry means: one, or the hosts of a network. Raises ValueError."""
    if "/" not in text or "://" in text:
        return [parse_address(text)]
    network = parse_network(text)
    if network.num_addresses > MAX_NETWORK_ADDRESSES:
        raise ValueError(f"{text!r} has {network.num_addresses} addresses; at most {MAX_NETWORK_ADDRESSES} are allowed")
    return [Address(str(host)) for host in network.hosts()]


def _split_port(text: str, rest: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", rest)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2]
        if ":" not in host:
            raise ValueError(f"{text!r} has brackets around something that is not an IPv6 address")
    elif rest.count(":") > 1:
        host, port_text = rest, None
    else:
        host, separator, after = rest.partition(":")
        port_text = after if separator else None
    if port_text is None:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 1 <= int(port_text) <= 65535:
        raise ValueError(f"{text!r} has the port {port_text!r}; a port is a number from 1 to 65535")
    return host, int(port_text)


def _canonical_host(text: str, host: str) -> str:
    _, separator, zone = host.partition("%")
    if separator and not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", zone):
        raise ValueError(f"{text!r} names the interface {zone!r}; that is no name of one")
    if _is_ip(host):
        return str(ipaddress.ip_address(host))
    if ":" in host or re.fullmatch(r"[0-9.]+", host) or not _HOST_NAME.match(host):
        raise ValueError(f"{text!r} is neither an IP address nor a host name")
    return host.lower()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
