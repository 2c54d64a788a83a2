"""The network that the hurried supervisor lives in: who is at which address, and which names there are.

A connection is a pair of sockets, of which the kernel hands over at once what is sent; one over TCP it may hand over
a little later, when the clock has gone on already.
"""

import asyncio
import errno
import os
import socket
import ssl
from typing import Any

from tests.fleet.agents import Behaviour, Connection, SimulatedAgent


class Network:
    """The agents by address, those of them that speak TLS, and the addresses of names.

    `cut` is whether none of them can be reached.
    """

    def __init__(self) -> None:
        self.agents: dict[str, SimulatedAgent] = {}
        self.tls: dict[str, ssl.SSLContext] = {}
        self.names: dict[str, str] = {}
        self.cut = False
        self._accepting: set[asyncio.Task[Any]] = set()

    def install(self) -> None:
        """Have the resolver know the names of this network, and no others."""
        socket.getaddrinfo = self._getaddrinfo  # type: ignore[assignment]

    def _getaddrinfo(self, host: str, port: Any, **_kind: Any) -> list[Any]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.names[host], port or 0))]

    def let(self, agent: SimulatedAgent, behaviour: Behaviour) -> None:
        """Have the agent behave so from now on; one that is dead has no connections either."""
        agent.behaviour = behaviour
        self.agents[agent.host] = agent
        if behaviour is Behaviour.DEAD:
            hang_up(agent)

    async def connect(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
        """A socket whose other end the agent at this address has."""
        agent = self.agents.get(host)
        if self.cut:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        if agent is None:
            await loop.create_future()  # whoever is not there does not say so either
        assert agent is not None
        if agent.behaviour is Behaviour.DEAD or port != agent.port:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        ours, theirs = socket.socketpair()
        accepting = loop.create_task(
            loop.connect_accepted_socket(lambda: Connection(agent, needs_token=True), theirs, ssl=self.tls.get(host))
        )
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepted)
        return ours

    def _accepted(self, accepting: asyncio.Task[Any]) -> None:
        self._accepting.discard(accepting)
        error = accepting.exception()
        if error is not None and not isinstance(error, OSError):  # whoever asked may have gone away meanwhile
            raise error


def hang_up(agent: SimulatedAgent) -> None:
    """End all connections from the agent's side."""
    for transport in list(agent.open):
        transport.abort()
