"""Simulated agents: what each answers over HTTP, how it misbehaves, and when it was asked."""

import asyncio
import re
import time
from array import array
from enum import StrEnum
from typing import Any, cast

from monitoring_agent.shared import wire
from monitoring_agent.since import MAX_PAST_REPORTS, MAX_STEPS_BEHIND
from tests.fleet.content import Content

HEALTH, METRICS, EXPOSITION = "/healthcheck", "/getmetrics", "/metrics"
PAST = "/getmetrics?past"  # for the records: what is asked of the past is no poll
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
_BABBLE = _answer(b"200 OK", {"schema": wire.SCHEMA, "report": "later"})
_NOT_FOUND = _answer(b"404 NOT FOUND", {"error": "there is nothing here"})
_NO_TOKEN = _answer(b"401 UNAUTHORIZED", {"error": "the token is missing"})


class Behaviour(StrEnum):
    """How an agent treats whoever asks it."""

    GOOD = "good"
    DEAD = "dead"  # nothing listens
    SILENT = "silent"  # accepts, reads, never answers
    DRIPPING = "dripping"  # answers a byte at a time for ever
    BABBLING = "babbling"  # is healthy, but what it says in place of a report is none


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
        self._asked_at = time.monotonic()
        self._life = repr(round(time.time(), 3)).encode()
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

    def answer(self, path: str, query: bytes = b"") -> bytes:
        """The whole answer to a question. It goes on by one report with each, and with each second without any."""
        if path == HEALTH:
            return _HEALTHY
        if path == METRICS and self.behaviour is Behaviour.BABBLING:
            return _BABBLE
        if path == METRICS:
            now = time.monotonic()
            self._answers += max(1, int(now - self._asked_at))
            self._asked_at = now
            body = self._past(query) or self._changes(query) or self._whole(query)
            return _HEAD % (b"200 OK", _JSON, len(body)) + body
        if path == EXPOSITION:
            self._answers += 1
            own = b"schema %d\nsequence %d\ncollected_at %.3f\n" % (wire.SCHEMA, self._answers, time.time())
            rest = self._content.exposition(self._answers)
            return b"".join((_HEAD % (b"200 OK", _TEXT, len(own) + len(rest)), own, rest))
        return _NOT_FOUND

    def _report(self, number: int) -> bytes:
        own = b'{"schema":%d,"sequence":%d,"collected_at":%.3f,"host":%b,"agent":{"version":"%b","started_at":%b}' % (
            wire.SCHEMA,
            number,
            time.time() - (self._answers - number),
            self._about,
            wire.VERSION.encode(),
            self._life,
        )
        return own + self._content.report(number)

    def _whole(self, query: bytes) -> bytes:
        report = self._report(self._answers)
        if b"layout=" not in query:
            return report
        return b'{"schema":%d,%b,"report":%b}' % (wire.SCHEMA, self._content.layout, report)

    def _changes(self, query: bytes) -> bytes | None:
        """What moved since the report that is held, if that is not long ago."""
        asked = re.fullmatch(rb"changes=(\d+)&life=(\S+)&layout=1-\d+", query)
        if asked is None or asked[2] != self._life:
            return None
        held = int(asked[1])
        if not 0 <= self._answers - held <= MAX_STEPS_BEHIND:
            return None
        moves = b",".join(self._moves(number) for number in range(held + 1, self._answers + 1))
        return b'{"schema":%d,"since":%d,"until":%d,"moves":[%b]}' % (wire.SCHEMA, held, self._answers, moves)

    def _past(self, query: bytes) -> bytes | None:
        """An old report and a minute of what moved behind it. A simulated agent forgets nothing."""
        if not query.startswith(b"past="):
            return None
        first = int(query[5:].partition(b"&")[0])
        numbers = range(first + 1, min(first + MAX_PAST_REPORTS, self._answers + 1))
        parts = (self._content.layout, self._report(first), b",".join(self._moves(number) for number in numbers))
        return b'{"schema":%d,%b,"report":%b,"moves":[%b]}' % (wire.SCHEMA, *parts)

    def _moves(self, number: int) -> bytes:
        at = time.time() - (self._answers - number)
        return b'{"sequence":%d,"collected_at":%.3f%b' % (number, at, self._content.moves(number))


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
        location, _, query = target[0].partition(b"?") if target else (b"", b"", b"")
        path = location.decode("latin-1")
        agent = self._agent
        agent.record(PAST if query.startswith(b"past=") else path)
        if agent.behaviour is Behaviour.SILENT:
            return
        if self._needs_token and path != HEALTH and b"\r\nauthorization: bearer " not in head.lower():
            self._transport.write(_NO_TOKEN)
        elif agent.behaviour is Behaviour.DRIPPING:
            self._drip(0)
        else:
            self._transport.write(agent.answer(path, query))

    def _drip(self, number: int) -> None:
        """The next byte of an answer that seems right and does not end: JSON may have any amount of space in it."""
        if self._transport.is_closing():
            return
        head = _HEAD % (b"200 OK", _JSON, wire.MAX_BODY_BYTES) + b"{"
        self._transport.write(head[number : number + 1] or b" ")
        asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip, number + 1)
