"""Who may ask the agent: a network check before anything is read, and the shared token."""

import hmac
import ipaddress
from dataclasses import dataclass

from monitoring_agent.shared import wire
from monitoring_agent.shared.address import IPNetwork


@dataclass(frozen=True)
class Access:
    """The allow-list and the secret, decided upon without any I/O."""

    networks: tuple[IPNetwork, ...]
    token: str

    def allows(self, peer: str) -> bool:
        """Whether a client at this address may speak at all. An IPv4 address in IPv6 form counts as what it is."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)

    def has_token(self, authorization: str) -> bool:
        """Whether the Authorization header carries the token; compared in constant time."""
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), wire.bearer(self.token).encode())
