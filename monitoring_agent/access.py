"""Who may ask the agent: a network check before anything is read, and the shared token."""

import hmac
import ipaddress
from dataclasses import dataclass

from monitoring_agent.shared import wire
from monitoring_agent.shared.address import IPNetwork


@dataclass(frozen=True)
class Access:
    """The allow-list and the one or two secrets, decided upon without any I/O."""

    networks: tuple[IPNetwork, ...]
    tokens: tuple[str, ...]

    def allows(self, peer: str) -> bool:
        """Whether a client at this address may speak at all. An IPv4 address in IPv6 form counts as what it is."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)

    def has_token(self, authorization: str) -> bool:
        """Whether the Authorization header carries a token; compared in constant time, with all of them."""
        shown = authorization.encode("utf-8", "replace")
        return sum(hmac.compare_digest(shown, wire.bearer(token).encode()) for token in self.tokens) > 0
