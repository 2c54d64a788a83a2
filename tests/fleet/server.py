"""The process of the simulated fleet: listens for every agent, and obeys its owner, a line of JSON at a time."""

import asyncio
import contextlib
import gc
import ipaddress
import json
import resource
import signal
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet.agents import Behaviour, Connection, SimulatedAgent
from tests.fleet.content import Content, contents, real_report

KINDS = 8
BACKLOG = 64
# Of our own: standard streams, the loop, and what Python opens in passing.
SPARE_DESCRIPTORS = 64


class CannotStart(Exception):
    """The fleet cannot be had; the text says why, and the remedy."""


@dataclass(frozen=True)
class Plan:
    """The fleet that is wanted. Port 0 finds one that is free at every address.

    `tls` is a directory with cert.pem, key.pem and ca.pem: with it all speak https to who has a certificate of the CA.
    """

    agents: int
    network: str = "127.1.0.0/16"
    port: int = 0
    behaviours: tuple[tuple[int, Behaviour], ...] = ()
    needs_token: bool = False
    tls: Path | None = None


def hosts(plan: Plan) -> list[str]:
    """The address of each agent. Raises CannotStart unless all lie in 127.0.0.0/8."""
    network = ipaddress.IPv4Network(plan.network)
    if not network.subnet_of(ipaddress.IPv4Network("127.0.0.0/8")):
        raise CannotStart(f"{network} is not part of 127.0.0.0/8: a simulated fleet stays on this machine")
    if plan.agents > network.num_addresses - 2:
        raise CannotStart(f"{network} has no room for {plan.agents} agents; write for example 127.0.0.0/8")
    return [str(network[number + 1]) for number in range(plan.agents)]


class FleetServer:
    """Owns the agents. One loop, one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tls = _tls(plan.tls) if plan.tls else None
        self.agents: list[SimulatedAgent] = []
        self.content: Content | None = None
        self.stop = asyncio.Event()
        self._began: tuple[float, float] = (0.0, 0.0)

    async def run(self, *, controlled: bool) -> None:
        """Serve until told to stop: by a signal, or, if controlled, by the end of standard input."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        _allow_descriptors(2 * self._plan.agents + SPARE_DESCRIPTORS)
        await self._open()
        gc.collect()
        gc.freeze()
        self.forget()
        self._say(self.introduction())
        owner = loop.create_task(self._obey_owner()) if controlled else None
        await self.stop.wait()
        if owner:
            owner.cancel()
        for agent in self.agents:
            self._silence(agent)

    async def _open(self) -> None:
        plan, behaviours = self._plan, dict(self._plan.behaviours)
        addresses = hosts(plan)
        port = plan.port or _free_port(addresses)
        kinds = contents(real_report(), min(KINDS, plan.agents))
        self.content = kinds[0]
        for number, host in enumerate(addresses):
            behaviour = behaviours.get(number, Behaviour.GOOD)
            self.agents.append(SimulatedAgent(number, host, port, kinds[number % len(kinds)], behaviour))
        await asyncio.gather(*(self._let(agent, agent.behaviour) for agent in self.agents))

    async def _let(self, agent: SimulatedAgent, behaviour: Behaviour) -> None:
        """Have the agent behave so from now on. Of many, await all at once: between two of them may lie long work."""
        agent.behaviour = behaviour
        if behaviour is Behaviour.DEAD:
            self._silence(agent)
        elif agent.server is None:
            loop = asyncio.get_running_loop()
            try:
                agent.server = await loop.create_server(
                    lambda: Connection(agent, self._plan.needs_token),
                    agent.host,
                    agent.port,
                    backlog=BACKLOG,
                    ssl=self._tls,
                )
            except OSError as error:
                raise CannotStart(f"{agent.name} cannot be listened at: {error.strerror}") from None

    def _silence(self, agent: SimulatedAgent) -> None:
        if agent.server is not None:
            agent.server.close()
            agent.server = None
        for transport in list(agent.open):
            transport.abort()

    def forget(self) -> None:
        """Begin all records anew."""
        for agent in self.agents:
            agent.forget()
        self._began = (time.monotonic(), time.process_time())

    def introduction(self) -> dict[str, Any]:
        """What the fleet is: the names of its agents, and what one of them says."""
        assert self.content is not None
        return {
            "agents": [agent.name for agent in self.agents],
            "values": self.content.values,
            "report_bytes": len(self.agents[0].answer("/getmetrics")),
            "exposition_bytes": len(self.agents[0].answer("/metrics")),
        }

    def statement(self) -> dict[str, Any]:
        """What happened since the records began, times on CLOCK_MONOTONIC."""
        since, cpu = self._began
        return {
            "since": since,
            "until": time.monotonic(),
            "cpu_seconds": time.process_time() - cpu,
            "agents": {
                agent.name: {
                    "behaviour": agent.behaviour,
                    "connections": agent.connections,
                    "open": len(agent.open),
                    "asked": {path: times.tolist() for path, times in agent.asked.items()},
                }
                for agent in self.agents
            },
        }

    async def _obey_owner(self) -> None:
        """Carry out orders until there are no more: an owner that is gone, however it ended, leaves no fleet behind."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            try:
                self._say(await self._obey(json.loads(line)))
            except CannotStart as error:
                self._say({"error": str(error)})
        self.stop.set()

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["order"]:
            case "statement":
                return self.statement()
            case "forget":
                self.forget()
            case "behave":
                behaviour = Behaviour(order["behaviour"])
                await asyncio.gather(*(self._let(self.agents[number], behaviour) for number in order["agents"]))
        return {}

    def _say(self, document: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _tls(directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.pem")
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _allow_descriptors(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > hard != resource.RLIM_INFINITY:
        raise CannotStart(f"{needed} file descriptors are needed and {hard} allowed; see ulimit -Hn")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _free_port(addresses: list[str]) -> int:
    """A port that nothing uses at any of the addresses just now."""
    for _ in range(20):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for host in addresses:
                probe = stack.enter_context(socket.socket())
                probe.bind((host, port))
                port = int(probe.getsockname()[1])
            return port
    raise CannotStart(f"no port is free at all of {addresses[0]} to {addresses[-1]}")
