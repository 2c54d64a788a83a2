"""Simulated agents: what each answers over HTTP, how it misbehaves, and when it was asked."""

import asyncio
import time
from array import array
from enum import StrEnum
from typing import Any, cast

from monitoring_agent.shared import wire
from tests.fleet.content import Content

HEALTH, METRICS, EXPOSITION = "/healthcheck", "/getmetrics", "/metrics"
REMEMBERED_REQUESTS = 4096
MAX_HEAD_BYTES = 65536
DRIP_SECONDS = 0.1

# What gunicorn says, so that the asker parses as much as in life.
_HEAD = (
    b"HTTP/1.1 %b\r\nServer: gunicorn\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\n"
    b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n"
)
_JSON, _TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"


def _answer(status: bytes, document: dict[str, Any]) -> bytes:
    body = wire.encode(document)
    return _HEAD % (status, _JSON, len(body)) + body


_HEALTHY = _answer(b"200 OK", {"status": "ok"})
_NOT_FOUND = _answer(b"404 NOT FOUND", {"error": "there is nothing here"})
_NO_TOKEN = _answer(b"401 UNAUTHORIZED", {"error": "the token is missing"})


class Behaviour(StrEnum):
    """How an agent treats whoever asks it."""

    GOOD = "good"
    DEAD = "dead"  # nothing listens
    SILENT = "silent"  # accepts, reads, never answers
    DRIPPING = "dripping"  # answers a byte at a time for ever


class SimulatedAgent:
    """One agent. `asked` has the times of the newest requests by path, on CLOCK_MONOTONIC (one for all processes)."""

    def __init__(self, number: int, host: str, port: int, content: Content, behaviour: Behaviour) -> None:
        self.name = f"{host}:{port}"
        self.host, self.port = host, port
        self.behaviour = behaviour
        self.server: asyncio.Server | None = None
        self.open: set[asyncio.Transport] = set()
        self._content = content
        self._answers = 0
        about = {**content.host, "hostname": f"simulated-{number}", "machine_id": f"{number:032x}"}
        self._about = wire.encode(about)
        self.forget()

    def forget(self) -> None:
        """Begin the records anew."""
        self.connections = 0
        self.asked: dict[str, array[float]] = {}

    def record(self, path: str) -> None:
        """It was asked this just now."""
        times = self.asked.get(path)
        if times is None:
            times = self.asked[path] = array("d")
        elif len(times) >= REMEMBERED_REQUESTS:
            del times[: REMEMBERED_REQUESTS // 2]
        times.append(time.monotonic())

    def answer(self, path: str) -> bytes:
        """The whole answer to a question."""
        if path == HEALTH:
            return _HEALTHY
        if path == METRICS:
            self._answers += 1
            own = b'{"schema":%d,"sequence":%d,"collected_at":%.3f,"host":%b' % (
                wire.SCHEMA,
                self._answers,
                time.time(),
                self._about,
            )
            rest = self._content.report(self._answers)
            return b"".join((_HEAD % (b"200 OK", _JSON, len(own) + len(rest)), own, rest))
        if path == EXPOSITION:
            self._answers += 1
            own = b"schema %d\nsequence %d\ncollected_at %.3f\n" % (wire.SCHEMA, self._answers, time.time())
            rest = self._content.exposition(self._answers)
            return b"".join((_HEAD % (b"200 OK", _TEXT, len(own) + len(rest)), own, rest))
        return _NOT_FOUND


class Connection(asyncio.Protocol):
    """The server's side of one connection. Knows of HTTP what askers of ours use: GET, keep-alive, no body."""

    def __init__(self, agent: SimulatedAgent, needs_token: bool) -> None:
        self._agent = agent
        self._needs_token = needs_token
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._agent.open.add(self._transport)
        self._agent.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._agent.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        rest = self._begun + data
        while True:
            head, end, after = rest.partition(b"\r\n\r\n")
            if not end:
                break
            rest = after
            self._asked(head)
        self._begun = rest
        if len(rest) > MAX_HEAD_BYTES:
            self._transport.abort()

    def _asked(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1:2]
        path = target[0].partition(b"?")[0].decode("latin-1") if target else ""
        agent = self._agent
        agent.record(path)
        if agent.behaviour is Behaviour.SILENT:
            return
        if self._needs_token and path != HEALTH and b"\r\nauthorization: bearer " not in head.lower():
            self._transport.write(_NO_TOKEN)
        elif agent.behaviour is Behaviour.DRIPPING:
            self._drip(0)
        else:
            self._transport.write(agent.answer(path))

    def _drip(self, number: int) -> None:
        """The next byte of an answer that seems right and does not end: JSON may have any amount of space in it."""
        if self._transport.is_closing():
            return
        head = _HEAD % (b"200 OK", _JSON, wire.MAX_BODY_BYTES) + b"{"
        self._transport.write(head[number : number + 1] or b" ")
        asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip, number + 1)
