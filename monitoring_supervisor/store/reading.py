"""Reads history.db, also while the supervisor writes it: reports as they were, courses of metrics, changes of state.

    with Reader(Path("/var/lib/monitoring/history.db")) as reader:
        for at, report in reader.reports("10.0.0.5:5000", since, until): …

Times are Unix seconds of the supervisor's clock. Every method raises sqlite3.Error when the file cannot be read.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document
from monitoring_supervisor.latest import Latest, Unusable, one_by_one
from monitoring_supervisor.minutes import Point
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.blocks import Points

MINUTE_SECONDS, HOUR_SECONDS = 60.0, 3600.0
# Entries are in the order in which they were written. What came late, or after a clock was set, is this far out of it.
DISORDER_SECONDS = 2 * HOUR_SECONDS

Series = list[tuple[float, Point]]


@dataclass(frozen=True)
class Event:
    """An agent's state became `state`; why, if it failed."""

    agent: str
    at: float
    state: str
    kind: str | None
    detail: str | None


@dataclass(frozen=True)
class Availability:
    """Of the seconds in which an agent was watched and its state known, in how many it was not down."""

    known_seconds: float
    up_seconds: float

    @property
    def percent(self) -> float | None:
        """None if nothing is known of the time."""
        return 100 * self.up_seconds / self.known_seconds if self.known_seconds else None


class Reader:
    """One connection that only reads. It never holds up the supervisor. Raises FileNotFoundError if there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self.damaged = 0  # entries that could not be read and were left out
        self._connection = _connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def agents(self) -> list[str]:
        """The names of all agents of which there is something, sorted."""
        return [name for (name,) in self._connection.execute("SELECT name FROM agents ORDER BY name")]

    def reports(self, agent: str, since: float, until: float) -> Iterator[tuple[float, Document]]:
        """The agent's reports in this time, each with when it was collected."""
        row = self._connection.execute("SELECT id, block FROM agents WHERE name = ?", (agent,)).fetchone()
        if row is None:
            return
        identity, newest = row
        for numbers in self._chains(identity, newest, since, until):
            latest, before = Latest(), b""
            for number in numbers:
                block = self._connection.execute("SELECT body, skew FROM blocks WHERE id = ?", (number,)).fetchone()
                if block is None:
                    break  # too old, and deleted just now
                lines = self._lines(block[0], before)
                before = lines[-1]
                for document in self._unfold(latest, lines):
                    at = document["collected_at"] + block[1]
                    if since <= at <= until:
                        yield at, document

    def series(self, agent: str, paths: Iterable[str], since: float, until: float, step: float) -> dict[str, Series]:
        """The course of these numbers, a point each `step` seconds: a value, or [least, mean, greatest].

        Steps below a minute are made from the reports, below an hour from minutes, and others from hours; what is too
        young to be there yet comes from the finer ones.
        """
        wanted = list(dict.fromkeys(paths))
        found: dict[str, Series] = {path: [] for path in wanted}
        begin = since
        if step >= HOUR_SECONDS:
            begin = self._add(found, self._hours(agent, wanted, begin, until), begin, until, HOUR_SECONDS)
        if step >= MINUTE_SECONDS:
            begin = self._add(found, self._minutes(agent, wanted, begin, until), begin, until, MINUTE_SECONDS)
        for at, document in self.reports(agent, begin, until):
            for path in wanted:
                value = find(document, path)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found[path].append((at, value))
        return {path: _in_steps(series, path, step) for path, series in found.items()}

    def events(self, agent: str | None, since: float, until: float) -> list[Event]:
        """The changes of state in this time, of one agent or of all, in order."""
        rows = self._connection.execute(
            "SELECT name, at, events.state, kind, detail FROM events JOIN agents ON agents.id = agent"
            " WHERE at BETWEEN ? AND ? AND (? IS NULL OR name = ?) ORDER BY at, events.id",
            (since, until, agent, agent),
        )
        return [Event(*row) for row in rows]

    def known_until(self) -> float:
        """Up to when the supervisor ran and wrote, in Unix seconds; 0 if it never did."""
        row = self._connection.execute("SELECT max(ended) FROM runs").fetchone()
        return float(row[0] or 0.0)

    def availability(self, agent: str, since: float, until: float) -> Availability:
        """How much of this time the agent was up, as far as the supervisor ran and watched it."""
        runs = self._connection.execute(
            "SELECT began, ended FROM runs WHERE ended > ? AND began < ? ORDER BY began", (since, until)
        ).fetchall()
        before = self._connection.execute(
            "SELECT events.state FROM events JOIN agents ON agents.id = agent WHERE name = ? AND at <= ?"
            " ORDER BY at DESC, events.id DESC LIMIT 1",
            (agent, since),
        ).fetchone()
        known = up = 0.0
        state, begin = before[0] if before else None, since
        for at, following in [*((event.at, event.state) for event in self.events(agent, since, until)), (until, None)]:
            watched = sum(max(0.0, min(at, ended) - max(begin, began)) for began, ended in runs)
            if state in {"up", "suspect", "down"}:
                known += watched
                up += watched if state != "down" else 0.0
            state, begin = following, at
        return Availability(known, up)

    def _chains(self, agent: int, newest: int | None, since: float, until: float) -> list[list[int]]:
        """The numbers of the blocks of each chain that has something of this time; in order."""
        chains: dict[int, list[int]] = defaultdict(list)
        times: dict[int, list[float]] = defaultdict(list)
        number = newest
        while number is not None:
            row = self._block(number, agent)
            if row is None:
                break
            previous, head, began, ended = row
            if ended < since - DISORDER_SECONDS:
                break
            first = self._block(head, agent)
            if first is not None and first[2] > until + DISORDER_SECONDS:
                number = first[0]  # all of the chain is later
                continue
            chains[head].append(number)
            times[head] += [began, ended]
            number = previous
        overlapping = [
            head
            for head, own in times.items()
            # Without its head, deleted for its age, the rest of a chain cannot be read.
            if min(own) <= until and max(own) >= since and self._block(head, agent) is not None
        ]
        for head in overlapping:
            # The chain may begin before what was gone through.
            while chains[head][-1] > head and (row := self._block(chains[head][-1], agent)) and row[0] is not None:
                chains[head].append(row[0])
        return [
            [number for number in reversed(chains[head]) if (row := self._block(number, agent)) and row[1] == head]
            for head in sorted(overlapping, key=lambda head: min(times[head]))
        ]

    def _block(self, number: int, agent: int) -> Any:
        return self._connection.execute(
            "SELECT previous, head, began, ended FROM blocks WHERE id = ? AND agent = ?", (number, agent)
        ).fetchone()

    def _lines(self, body: bytes, before: bytes) -> list[bytes]:
        try:
            return blocks.unpack(body, before)
        except blocks.Damaged:
            self.damaged += 1
            return [b""]

    def _unfold(self, latest: Latest, lines: list[bytes]) -> Iterator[Document]:
        """Every report of a block; what does not follow from the one before is left out."""
        try:
            for line in filter(None, lines):
                for answer in one_by_one(wire.decode(line)):
                    latest.take_document(answer, 0)
                    yield latest.document or {}
        except (wire.NotJson, Unusable):
            self.damaged += 1
            latest.sequence = None

    def _minutes(self, agent: str, paths: list[str], since: float, until: float) -> list[Points]:
        parts = self._columns("minutes", agent, paths, since, until)
        row = self._connection.execute("SELECT id, minute FROM agents WHERE name = ?", (agent,)).fetchone()
        number = row[1] if row else None
        while number is not None:
            entry = self._connection.execute(
                "SELECT previous, began, body FROM recent WHERE id = ? AND agent = ?", (number, row[0])
            ).fetchone()
            if entry is None or entry[1] < since - DISORDER_SECONDS:
                break
            if since <= entry[1] <= until:
                parts += self._points([entry[2]], paths)
            number = entry[0]
        return parts

    def _hours(self, agent: str, paths: list[str], since: float, until: float) -> list[Points]:
        return self._columns("hours", agent, paths, since, until)

    def _columns(self, table: str, agent: str, paths: list[str], since: float, until: float) -> list[Points]:
        rows = self._connection.execute(
            f"SELECT body FROM {table} JOIN agents ON agents.id = agent"
            " WHERE name = ? AND began BETWEEN ? AND ? ORDER BY began",
            (agent, since - 24 * HOUR_SECONDS, until),
        )
        return self._points((body for (body,) in rows), paths)

    def _points(self, bodies: Iterable[bytes], paths: list[str]) -> list[Points]:
        parts = []
        for body in bodies:
            try:
                parts.append(blocks.unpack_points(body, paths))
            except blocks.Damaged:
                self.damaged += 1
        return parts

    def _add(self, found: dict[str, Series], parts: list[Points], since: float, until: float, length: float) -> float:
        """Add the points from `since` on. Returns from when on there are none."""
        end = since
        for part in parts:
            end = max([end, *(at + length for at in part.at)])
        for path, series in found.items():
            series += [(at, point) for part in parts for at, point in part.series(path) if since <= at <= until]
        return end


def _connect(path: Path) -> sqlite3.Connection:
    """A connection for reading. When nobody writes there may be no log beside the file, and no right to make one."""
    beside = path.with_name(path.name + "-wal")
    mode = "mode=ro" if beside.exists() else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=5.0)


def find(document: Document, path: str) -> Any:
    """What stands at a path with dots, where keys may have dots too; None if there is nothing."""
    if path in document:
        return document[path]
    end = path.find(".")
    while end >= 0:
        inner = document.get(path[:end])
        if isinstance(inner, dict) and (value := find(inner, path[end + 1 :])) is not None:
            return value
        end = path.find(".", end + 1)
    return None


def paths(document: Document, prefix: str = "") -> Iterator[str]:
    """The path of each number of a report."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key


def _in_steps(series: Series, path: str, step: float) -> Series:
    """The points of each step put together, at its beginning."""
    steps: dict[float, list[Point]] = defaultdict(list)
    for at, point in sorted(series, key=lambda one: one[0]):
        steps[at // step * step].append(point)
    return [(at, blocks.sum_up(points, path.endswith("_total"))) for at, points in steps.items()]
