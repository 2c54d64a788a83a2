"""What a simulated agent says: a real report of our sampler, made to move, as JSON and for Prometheus."""

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monitoring_agent.collectors.registry import collectors
from monitoring_agent.host import Host
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from tests.fleet.movement import Counter, Gauge, Moving, Piece, Rate, chance, frames, remembered

# Said anew for each agent and answer; everything else is shared by the agents of a kind.
OWN_KEYS = ("schema", "sequence", "collected_at", "host", "agent")
PAGE_BYTES = 4096

Tree = dict[str, Any]


def real_report() -> Tree:
    """A report of this machine with rates in it. The sampler's clock is pushed, not waited for."""
    pushed = 0.0
    sampler = Sampler(collectors(), Host(), clock=lambda: time.monotonic() + pushed)
    sampler.tick()
    time.sleep(0.2)  # the collectors that run apart have answered by then
    pushed = 1.0
    sampler.tick()
    newest = sampler.recall.newest()
    assert newest is not None
    return wire.decode(newest.body)


def count_values(node: Any) -> int:
    """How many numbers and truths there are; text is not a value."""
    if isinstance(node, dict):
        return sum(count_values(child) for child in node.values())
    return int(isinstance(node, int | float))


@dataclass(frozen=True)
class Content:
    """What agents of one kind say: `host` of the template, and the moving rest by the number of the answer."""

    host: Tree
    values: int
    report: Callable[[int], bytes]  # begins with a comma, to stand behind the own keys
    moves: Callable[[int], bytes]  # the same for what moved since the answer before, by the numbers of the layout
    layout: bytes
    exposition: Callable[[int], bytes]


def contents(report: Tree, kinds: int) -> list[Content]:
    """So many kinds of agents after one report, each with a load and a course of its own."""
    uptime = max(60.0, float(report["uptime"]["uptime_seconds"]))
    return [_content(report, uptime, kind) for kind in range(kinds)]


def _content(report: Tree, uptime: float, kind: int) -> Content:
    shared = {key: value for key, value in report.items() if key not in OWN_KEYS}
    periods = {one.name: one.period_seconds for one in collectors()}
    moving: Tree = {}
    for section, node in shared.items():
        period = periods.get(section, 1)
        if period == float("inf"):
            moving[section] = node
        else:  # the sampler renews some sections more slowly than it reports
            moving[section] = _set_in_motion(node, f"{kind}/{section}", uptime, max(1, round(period)))
    json_pieces = _as_json(moving)
    assert json_pieces[0] == b"{"
    exposed = {**moving, "host": report["host"]}
    whole = frames([b",", *json_pieces[1:]])
    layout = Layout()
    layout.values({**dict.fromkeys(OWN_KEYS, 0), "host": report["host"], "agent": {"version": "", "started_at": 0}})
    layout.values(json.loads(b"{" + whole(1)[1:]))
    moves = _moves(whole, layout)
    numbers = b'"layout":[1,%d],"numbers":%b' % (layout.count, wire.encode(layout.tree))
    return Content(report["host"], count_values(report), whole, moves, numbers, frames(_exposed(exposed)))


def _moves(whole: Callable[[int], bytes], layout: Layout) -> Callable[[int], bytes]:
    count = layout.count

    def moves(answer: int) -> bytes:
        before, after = (json.loads(b"{" + whole(number)[1:]) for number in (answer - 1, answer))
        at, to = layout.moves(before, after)
        assert layout.count == count
        return b"," + wire.encode({"at": at, "to": to})[1:]

    return remembered(moves)


def _set_in_motion(node: Tree, path: str, uptime: float, renewed_every: int) -> Tree:
    """The tree with what moves in place of its numbers. Zeros and sizes stay: on most machines most of them do."""
    result: Tree = {}
    for key, value in node.items():
        phase = zlib.crc32(f"{path}/{key}".encode())
        if isinstance(value, dict):
            result[key] = _set_in_motion(value, f"{path}/{key}", uptime, renewed_every)
        elif isinstance(value, bool | str | list) or not value or key in {"total_bytes", "size_bytes", "inodes"}:
            result[key] = value
        elif key.endswith("_total"):
            decimals = 0 if isinstance(value, int) else max(2, len(repr(value).partition(".")[2]))
            # The average since this machine started, for quieter and for busier ones; time itself goes no faster.
            busy = 0.3 + (0.7 if decimals else 2.0) * chance(phase)
            result[key] = Counter(value, value / uptime * busy, phase, decimals, renewed_every)
        else:
            result[key] = _rate_or_gauge(key, value, result, phase, renewed_every)
    # A rate of a counter moves with it, also if it was zero in the second that the template is from.
    for key in result:
        for suffix, of, scale, decimals in (("_per_second", "_total", 1, 3), ("_percent", "_seconds_total", 100, 2)):
            counter = result.get(key.removesuffix(suffix) + of) if key.endswith(suffix) else None
            if isinstance(counter, Counter):
                result[key] = Rate(counter, scale, decimals)
    return result


def _rate_or_gauge(key: str, value: float, before: Tree, phase: int, renewed_every: int) -> Moving:
    decimals = 0 if isinstance(value, int) else max(2, len(repr(value).partition(".")[2]))
    grain = PAGE_BYTES if key.endswith("_bytes") and isinstance(value, int) and value > PAGE_BYTES else 1
    swing = 0.04
    if key in {"duration_seconds", "read_latency_seconds", "write_latency_seconds"}:
        swing = 0.6
    elif grain > 1:
        swing = 0.002  # memory moves by some pages of its many
    return Gauge(value, swing, phase, decimals, renewed_every, grain)


def _as_json(node: Any) -> list[Piece]:
    if isinstance(node, Moving):
        return [node]
    if not isinstance(node, dict):
        return [json.dumps(node).encode()]
    pieces: list[Piece] = [b"{"]
    for number, (key, child) in enumerate(node.items()):
        pieces += [b"," if number else b"", json.dumps(key).encode(), b":", *_as_json(child)]
    return [*pieces, b"}"]


def _exposed(tree: Tree) -> list[Piece]:
    """The text format of Prometheus, one sample a value; what lies between section and key becomes a label."""
    families: dict[str, list[Piece]] = {}
    for section, node in tree.items():
        _expose(families, section, [], node)
    pieces: list[Piece] = []
    for name, samples in families.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        pieces += [f"# HELP {name} As the agent's report has it.\n# TYPE {name} {kind}\n".encode(), *samples]
    return pieces


def _expose(families: dict[str, list[Piece]], section: str, between: list[str], node: Any) -> None:
    for key, value in node.items():
        if isinstance(value, dict):
            _expose(families, section, [*between, key], value)
        elif isinstance(value, int | float | Moving):
            number: Piece = value if isinstance(value, Moving) else b"%a" % (value + 0)
            label = f"{{of={json.dumps('/'.join(between))}}}" if between else ""
            family = families.setdefault(f"{section}_{key}", [])
            family += [f"{section}_{key}{label} ".encode(), number, b"\n"]
