"""What the supervisor reads: answers of agents, requests at its socket, and its own files.

Each function takes any bytes, and raises on a mistake of ours.
"""

import asyncio
import atexit
import contextlib
import copy
import functools
import json
import math
import random
import tempfile
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import APART, Layout, Unlike, numbers
from monitoring_agent.shared.patch import apply, difference
from monitoring_supervisor import minutes, views, words
from monitoring_supervisor.agent_client import MAX_ANSWER_BYTES, AgentClient
from monitoring_supervisor.ctl import show, units
from monitoring_supervisor.fleet import Agent, Fleet
from monitoring_supervisor.gaps import Gap
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.machines import Machines
from monitoring_supervisor.model import Failure, Kind, Policy, Question, Scrape, Standing, State, Target
from monitoring_supervisor.resolver import Resolver
from monitoring_supervisor.store import blocks, reading, snapshot
from monitoring_supervisor.store.blocks import Damaged
from monitoring_supervisor.store.recovery import recover

LIFE = 1_794_900_000.5
MAX_DETAIL_LETTERS = 1000
TARGET = Target("10.0.0.1:5000", "10.0.0.1", 5000, labels=(("role", "db"),))


def reports(data: bytes) -> None:
    """Answers to the question for metrics, one a line: whatever is taken of them can be kept, told and shown."""
    random.seed(1)
    later, now = Latest(), Latest()
    faults = 0
    for body in data.split(b"\n"):
        for latest in (later, now):
            try:
                latest.take(body)
            except Unusable as error:
                faults += 1
                assert str(error).isprintable()
                assert len(str(error)) < MAX_DETAIL_LETTERS
            if latest is now:
                latest.catch_up()
    assert faults or later.faults or now.faults or later.document == now.document
    document = later.document
    if document is None:
        return
    assert later.encoded() == wire.encode(document)
    _tell(document, later)


def _tell(document: dict[str, Any], latest: Latest) -> None:
    points = latest.close_minute()
    assert len(points) <= minutes.MAX_POINTS
    kept = blocks.single(0.0, points)
    assert blocks.unpack_points(blocks.pack_points(kept)) == kept
    both = blocks.joined([kept, blocks.single(60.0, points)])
    assert blocks.unpack_points(blocks.pack_points(both), list(points)).columns == both.columns
    for path, point in points.items():
        assert all(map(math.isfinite, point if isinstance(point, list) else [point]))
        units.worded(path, point[1] if isinstance(point, list) else point)
    for path in reading.paths(document):
        assert reading.find(document, path) is not None
    Machines().hear(TARGET.name, document)
    _show(document)


def _show(document: dict[str, Any]) -> None:
    agent = Agent(TARGET, Standing(State.UP, LIFE), LIFE, LIFE, Latest(copy.deepcopy(document)))
    about = views.account(agent)
    assert json.loads(wire.encode(about)) == about
    text = [*show._head(TARGET.name, about, LIFE), *show._tree(document, everything=True), words._last_seen(document)]
    assert [line for line in text if not line.isprintable()] == []


def past(data: bytes) -> None:
    """What an agent tells of its past: blocks and minutes that can be kept, or nothing of use."""
    try:
        found = recover(TARGET.name, Gap(LIFE, 100, 200, 1, 0.5, LIFE + 100), data)
    except Unusable:
        return
    assert found.reached > 100
    if found.block is not None:
        assert blocks.unpack(blocks.pack(found.block.lines)) == found.block.lines
        assert max(found.block.began, found.block.ended) <= LIFE + 100.5
    for points in found.minutes:
        assert max(points.at) <= LIFE + 100.5
        assert blocks.unpack_points(blocks.pack_points(points)) == points


def patches(data: bytes) -> None:
    """Two reports, a line each: the difference makes one of the other, as a merge patch and by numbers."""
    try:
        before, after = (wire.decode(line) for line in data.split(b"\n", 1))
    except ValueError:
        return
    if _has_null(before) or _has_null(after):
        return
    change = difference(before, after)
    merged = copy.deepcopy(before)
    apply(merged, copy.deepcopy(change))
    assert merged == after
    agent, asker = Layout(), Layout()
    try:
        values = agent.values(before)
        at, to = agent.moves(before, after)
        minutes.require_small([before, after])
    except (Unlike, minutes.TooLarge):
        return
    asker.add(agent.beyond(0))
    values += [None] * (asker.count - len(values))
    minutes.merge(values, minutes.counted(asker), minutes.Cells(asker.count), numbers(at, asker.count), to, 1)
    assert asker.document(values) == {key: value for key, value in after.items() if key not in APART}


def _has_null(node: Any) -> bool:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return node is None or any(map(_has_null, children))


def kept(data: bytes) -> None:
    """History: lines come back as they were, and what the disk made of them is damaged or readable."""
    lines = data.split(b"\n")
    # In JSON a quote is not alone; of one at the very end of something else nothing would be left.
    for before in (b"", lines[0]) if data.count(b'"') != 1 else ():
        assert blocks.unpack(blocks.pack(lines, before), before) == lines
    for read in (blocks.unpack, blocks.unpack_points):
        with contextlib.suppress(Damaged):
            read(data)


def _fleet() -> Fleet:
    fleet = Fleet(Policy(), {})
    report = {"schema": 1, "sequence": 1, "collected_at": LIFE, "host": {"hostname": "web-1"}, "load": {"load_1m": 1}}
    failure = Failure(Kind.REFUSED, "connection refused")
    for number, state in enumerate(State):
        target = Target(f"10.0.0.{number}:5000", f"10.0.0.{number}", 5000, labels=(("role", "db"),))
        standing = Standing(state, LIFE, failure=None if state is State.UP else failure)
        fleet.agents[target.name] = Agent(target, standing, latest=Latest(copy.deepcopy(report)))
    return fleet


def control(data: bytes) -> None:
    """A request at the control socket: one line of JSON, or a refusal in words."""
    try:
        pieces = views.answer(wire.decode(data), _fleet(), {}, LIFE)
    except (wire.NotJson, views.BadRequest):
        return
    answer = b"".join(pieces)
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    json.loads(answer)


@functools.cache
def _saved() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="fuzz-")
    atexit.register(directory.cleanup)
    return Path(directory.name) / "metrics_data.json"


def saved(data: bytes) -> None:
    """metrics_data.json after an accident: damaged, or a fleet with which the supervisor can go on."""
    _saved().write_bytes(data)
    try:
        found = snapshot.load(_saved())
    except snapshot.Damaged:
        return
    fleet = Fleet(Policy(), found.agents)
    fleet.watch({name: agent.target for name, agent in found.agents.items()}, LIFE)
    for request in ({"ask": "agents"}, {"ask": "top", "by": "cpu", "limit": 5}):
        json.loads(b"".join(views.answer(request, fleet, found.supervisor, LIFE)))
    json.loads(b"".join(snapshot.render(fleet, {}, LIFE)))


def saved_seed() -> bytes:
    """A file as it should be."""
    return b"".join(snapshot.render(_fleet(), {"troubles": []}, LIFE))


class _Server(asyncio.Protocol):
    """Answers the first request with these bytes, in pieces of this size, and hangs up."""

    said, size = b"", 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(_Server.said), _Server.size):
            self._transport.write(_Server.said[start : start + _Server.size])
        self._transport.close()


class _Wire:
    """A loop with a server and, for each question, a client of ours."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._fail)
        self.errors: list[dict[str, Any]] = []
        server = self.loop.run_until_complete(self.loop.create_server(_Server, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        self.target = Target(f"127.0.0.1:{port}", "127.0.0.1", port)

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)

    async def ask(self, question: Question) -> list[Scrape]:
        """Everything that was heard of one question."""
        heard: list[Scrape] = []
        client = AgentClient(self.target, heard.append, Resolver(), None)
        client.ask(question, b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")
        deadline = self.loop.time() + 5
        while not heard and self.loop.time() < deadline:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.close()
        return heard


@functools.cache
def _wire() -> _Wire:
    return _Wire()


def answers(data: bytes) -> None:
    """What an agent says over HTTP, the first byte telling in how small pieces: one outcome, a report or a failure."""
    _Server.said, _Server.size = data[1:], max(1, data[0] * 16 if data else 1)
    question = Question.HEALTH if len(data) % 2 else Question.METRICS
    (scrape,) = _wire().loop.run_until_complete(_wire().ask(question))
    assert _wire().errors == []
    assert scrape.ours is None
    assert len(scrape.body) <= MAX_ANSWER_BYTES
    if scrape.failure is not None:
        assert scrape.failure.detail.isprintable()
        assert len(scrape.failure.detail) < MAX_DETAIL_LETTERS
