"""Names of agents to addresses, so that a name server that does not answer costs only the names it was asked for."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

# How long an address is taken for good; then it is asked for again, and used until the answer is there.
FRESH_SECONDS = 60.0
# The system's resolver blocks a thread for each question, for half a minute when its servers are dead.
THREADS = 32


@dataclass
class _Known:
    addresses: list[str]
    asked: float  # on the loop's clock


def resolve(host: str) -> list[str]:
    """The addresses of a name, by the system's own resolver. Raises socket.gaierror."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """One question at a time for each name, whoever waits for it; the last good answer stays good when none comes."""

    def __init__(
        self, resolve: Callable[[str], list[str]] = resolve, fresh_seconds: float = FRESH_SECONDS
    ) -> None:
        self._resolve = resolve
        self._fresh_seconds = fresh_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolver")
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Future[list[str]]] = {}

    async def lookup(self, host: str) -> list[str]:
        """The addresses of a host; an address is its own. Raises socket.gaierror."""
        if is_address(host):
            return [host]
        now = asyncio.get_running_loop().time()
        known = self._known.get(host)
        if known is not None and now - known.asked < self._fresh_seconds:
            return known.addresses
        question = self._asking.get(host) or self._ask(host)
        if known is not None:
            return known.addresses
        # Whoever gives up waiting must not end the question for the others.
        return await asyncio.shield(question)

    def _ask(self, host: str) -> asyncio.Future[list[str]]:
        question = asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, host)
        self._asking[host] = question
        question.add_done_callback(lambda done: self._answered(host, done))
        return question

    def _answered(self, host: str, question: asyncio.Future[list[str]]) -> None:
        del self._asking[host]
        if question.cancelled():
            return
        now = question.get_loop().time()
        if question.exception() is None:
            self._known[host] = _Known(question.result(), now)
        elif host in self._known:
            self._known[host].asked = now  # not again at once


def is_address(host: str) -> bool:
    """Whether the host is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
