"""history.db: SQLite in WAL mode, so that readers and the one writer never wait for each other.

Blocks and minutes are lists, each entry naming the one before it of the same agent, and the agent naming its newest.
An index by agent and time would be touched in another place for each agent at each flush: with thousands of agents that
would be more to write than the history itself.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.blocks import Points

FORMAT = 1
# A block is a few KiB: smaller pages would leave a third of the space unused.
PAGE_BYTES = 32768
CACHE_KIB = 8192
# How much of the log stays on disk after it was carried over into the database.
LOG_BYTES = 64 * 1024 * 1024
# Somebody else who writes, such as an administrator, is waited for so long.
BUSY_MILLISECONDS = 5000
# So many rows are written with one statement. Each lets other threads go on several times, and has to wait for them:
# with thousands of agents that was what kept history from keeping up.
ROWS_AT_ONCE = 64

Row = tuple[Any, ...]

_SCHEMA = f"""
PRAGMA page_size = {PAGE_BYTES};
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE agents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    block INTEGER, head INTEGER, minute INTEGER, life REAL, sequence INTEGER, state TEXT,
    bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, previous INTEGER, head INTEGER NOT NULL,
    began REAL NOT NULL, ended REAL NOT NULL, reports INTEGER NOT NULL, skew REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE recent (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, previous INTEGER, began REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE minutes (agent INTEGER NOT NULL, began REAL NOT NULL, ended REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX minutes_by_agent ON minutes (agent, began);
CREATE TABLE hours (agent INTEGER NOT NULL, began REAL NOT NULL, ended REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX hours_by_agent ON hours (agent, began);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL, kind TEXT, detail TEXT
);
CREATE INDEX events_by_agent ON events (agent, at);
CREATE TABLE runs (id INTEGER PRIMARY KEY, began REAL NOT NULL, ended REAL NOT NULL);
PRAGMA user_version = {FORMAT};
COMMIT;
"""
# A file without it was written before there was any: what it holds is then counted from now on.
_ADDED_COLUMN = "ALTER TABLE agents ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0"


class WrongFormat(sqlite3.DatabaseError):
    """The file is a database, but not a history of this version."""


@dataclass(slots=True)
class Block:
    """Some seconds of one agent's answers. Times are Unix seconds of the supervisor.

    A block that is `whole` begins with a whole report; the others go on from the block before. `skew` is by how much
    the supervisor's clock was ahead of the agent's. `life` and `sequence` are those of the last report.
    """

    agent: str
    whole: bool
    began: float
    ended: float
    reports: int
    skew: float
    life: float | None
    sequence: int | None
    lines: list[bytes]
    before: bytes = b""  # the last line of the block before, if this one goes on from there
    live: bool = True


@dataclass(slots=True)
class Event:
    """An agent's state became another one."""

    agent: str
    at: float
    state: str
    kind: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Known:
    """Where an agent's lists end, the last report and state that are stored, and how much is kept of it.

    `bytes` counts blocks and all minutes and hours, and is written with the next block: after a crash it is a little
    off.
    """

    id: int
    block: int | None = None
    head: int | None = None
    minute: int | None = None
    life: float | None = None
    sequence: int | None = None
    state: str | None = None
    bytes: int = 0


def _in_groups(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


class Database:
    """One connection that writes. Every method raises sqlite3.Error; then nothing of it is written."""

    def __init__(self, path: Path) -> None:
        waits_seconds = BUSY_MILLISECONDS / 1000
        self.connection = sqlite3.connect(path, timeout=waits_seconds, isolation_level=None, check_same_thread=False)
        try:
            self._set_up()
        except sqlite3.Error:
            self.connection.close()
            raise
        self.known: dict[str, Known] = {}
        self.passed: dict[str, int] = {}  # up to which row of a table there is only what is from the future
        self._by_id: dict[int, Known] = {}
        self._run: int | None = None
        self._touched: dict[int, Known] = {}  # agents whose lists are longer than what is stored of them
        self._last_block = self._last_minute = 0
        self._recall()

    def _set_up(self) -> None:
        connection = self.connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            connection.executescript(_SCHEMA)
        elif version != FORMAT:
            raise WrongFormat(f"it has format {version}, not {FORMAT}")
        elif not connection.execute("SELECT 1 FROM pragma_table_info('agents') WHERE name = 'bytes'").fetchone():
            connection.execute(_ADDED_COLUMN)
        # A killed process loses nothing so; a power cut at most what the kernel had not written, never the database.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")

    def _recall(self) -> None:
        """Take from the file what is kept in mind beside it."""
        connection = self.connection
        rows = connection.execute("SELECT name, id, block, head, minute, life, sequence, state, bytes FROM agents")
        self.known = {name: Known(*rest) for name, *rest in rows}
        self._by_id = {known.id: known for known in self.known.values()}
        # A number is never given twice, also when all that had one were deleted: old entries name it still.
        (block,) = connection.execute("SELECT max(id) FROM blocks").fetchone()
        (minute,) = connection.execute("SELECT max(id) FROM recent").fetchone()
        self._last_block = max(block or 0, *(known.block or 0 for known in self.known.values()), 0)
        self._last_minute = max(minute or 0, *(known.minute or 0 for known in self.known.values()), 0)

    def size(self) -> int:
        """The bytes in use, free pages not counted."""
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * PAGE_BYTES

    def written_at(self) -> float | None:
        """When something was written last, in Unix seconds; None if that was never."""
        row = self.connection.execute("SELECT ended FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        return row and float(row[0])

    def close(self) -> None:
        """End the connection; what was committed is safe."""
        self.connection.close()

    def write(
        self, some: Iterable[Block], minutes: Iterable[tuple[str, Points]], events: Iterable[Event], now: float
    ) -> None:
        """Store all of it or, if that raises, nothing. What is compressed is compressed here."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert("blocks", [self._block(block) for block in some])
            self._insert("recent", [self._minute(name, points) for name, points in minutes])
            self._update_agents()
            for event in events:
                self._add_event(event)
            self._go_on_with_run(now)
            connection.execute("COMMIT")
        except sqlite3.Error:
            # What was remembered of this transaction is not so after all.
            self._run = None
            self._touched.clear()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._recall()
            raise

    def _agent(self, name: str) -> Known:
        known = self.known.get(name)
        if known is None:
            number = self.connection.execute("INSERT INTO agents (name) VALUES (?)", (name,)).lastrowid
            assert number is not None
            known = self.known[name] = self._by_id[number] = Known(number)
        return known

    def listed(self, table: str, agent: Known, newest: int | None) -> Iterator[tuple[int, float]]:
        """The number and the beginning of each entry of one of the agent's lists, newest first, as far as it goes."""
        number = newest
        while number is not None:
            row = self.connection.execute(
                f"SELECT previous, began FROM {table} WHERE id = ? AND agent = ?", (number, agent.id)
            ).fetchone()
            if row is None:
                return
            yield number, row[1]
            number = row[0]

    def forget(self, agent: int, size: int) -> None:
        """So many bytes of this agent, told by its number, were deleted."""
        known = self._by_id.get(agent)
        if known:
            known.bytes = max(0, known.bytes - size)

    def _block(self, block: Block) -> Row:
        """The block as it is stored, as the newest one of its agent."""
        known = self._agent(block.agent)
        self._last_block = number = self._last_block + 1
        head = number if block.whole or known.head is None else known.head
        body = blocks.pack(block.lines, block.before)
        row = (number, known.id, known.block, head, block.began, block.ended, block.reports, block.skew, body)
        known.block = number
        known.bytes += len(body)
        if block.live:
            known.head, known.life, known.sequence = head, block.life, block.sequence
        self._touched[known.id] = known
        return row

    def _minute(self, name: str, points: Points) -> Row:
        known = self._agent(name)
        self._last_minute = number = self._last_minute + 1
        body = blocks.pack_points(points)
        row = (number, known.id, known.minute, points.at[0], body)
        known.minute = number
        known.bytes += len(body)
        self._touched[known.id] = known
        return row

    def _insert(self, table: str, rows: list[Row]) -> None:
        for some in _in_groups(rows):
            marks = ",".join([f"({','.join('?' * len(some[0]))})"] * len(some))
            self.connection.execute(f"INSERT INTO {table} VALUES {marks}", list(chain.from_iterable(some)))

    def _update_agents(self) -> None:
        """Take down where the lists of those end that have something new."""
        touched, self._touched = self._touched, {}
        rows: list[Row] = [
            (known.id, known.block, known.head, known.minute, known.life, known.sequence, known.bytes)
            for known in touched.values()
        ]
        for some in _in_groups(rows):
            marks = ",".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
            self.connection.execute(
                f"WITH new (id, block, head, minute, life, sequence, bytes) AS (VALUES {marks})"
                " UPDATE agents SET block = new.block, head = new.head, minute = new.minute, life = new.life,"
                " sequence = new.sequence, bytes = new.bytes FROM new WHERE agents.id = new.id",
                list(chain.from_iterable(some)),
            )

    def _add_event(self, event: Event) -> None:
        known = self._agent(event.agent)
        self.connection.execute(
            "INSERT INTO events (agent, at, state, kind, detail) VALUES (?, ?, ?, ?, ?)",
            (known.id, event.at, event.state, event.kind, event.detail),
        )
        known.state = event.state
        self.connection.execute("UPDATE agents SET state = ? WHERE id = ?", (event.state, known.id))

    def _go_on_with_run(self, now: float) -> None:
        """The run of the supervisor that writes this goes until now."""
        if self._run is None:
            self._run = self.connection.execute("INSERT INTO runs (began, ended) VALUES (?, ?)", (now, now)).lastrowid
        else:
            self.connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (now, self._run))
