"""The thread that writes history: takes what the loop hands over, survives a full or damaged disk, and says so."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitoring_supervisor.model import Retention
from monitoring_supervisor.store import snapshot, upkeep
from monitoring_supervisor.store.blocks import Points
from monitoring_supervisor.store.database import LOG_BYTES, Block, Database, Event, Known, WrongFormat
from monitoring_supervisor.store.shares import Shares

log = logging.getLogger("monitoring_supervisor")

WRITE_SECONDS = 1.0
RETRY_SECONDS = 5.0
# Hours are put together at this distance, and an agent at a time between two writes.
PUT_TOGETHER_SECONDS = 600.0
# What SQLite remembers of the file is read anew at this distance: damage on the disk is to be seen soon.
FORGET_SECONDS = 15.0
# Beyond that somebody reads for long: the log cannot be begun anew while there is a reader from before.
LONG_LOG_BYTES = 2 * LOG_BYTES
# More than this is not kept waiting for a disk.
MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_WAITING_EVENTS = 100_000

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass
class Load:
    """What is to be written together."""

    blocks: list[Block] = field(default_factory=list)
    minutes: list[tuple[str, Points]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    bytes: int = 0


class Keeper:
    """Owns the database. `put` is for the loop, everything else happens in the thread.

    `failures` counts how often something that was taken over was not written after all: whoever handed over must then
    begin again with whole reports.
    """

    def __init__(self, path: Path, retention: Retention, clock: Callable[[], float] = time.time) -> None:
        self.retention = retention
        self.failures = 0
        self.trouble: str | None = None
        self.trouble_since: float | None = None
        self.bytes = 0
        self.log_is_long = False
        self.busy_since: float | None = None  # on the monotonic clock
        self._path = path
        self._clock = clock
        self._database: Database | None = None
        self._shares = Shares()
        self._calendar: upkeep.Calendar | None = None
        self._load = Load()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._upkeep: Iterator[None] = iter(())
        self._upkeep_due = self._forget_due = 0.0
        self._retry_at = 0.0
        self._open()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def known(self) -> dict[str, Known]:
        """What the database knew of each agent when it was opened. For the start only."""
        return self._database.known if self._database else {}

    def put_block(self, block: Block) -> bool:
        """Hand over a block. Returns whether it was taken: what cannot be written soon, agents remember better."""
        size = sum(map(len, block.lines))
        with self._lock:
            if self.trouble is not None or self._waiting_bytes + size > MAX_WAITING_BYTES:
                return False
            self._load.blocks.append(block)
            self._load.bytes += size
            self._waiting_bytes += size
            return True

    def put_minute(self, name: str, points: Points) -> None:
        """Hand over a minute of an agent; kept waiting no more than a block."""
        with self._lock:
            if self.trouble is None:
                self._load.minutes.append((name, points))

    def put_event(self, event: Event) -> None:
        """Hand over a change of state. It waits until it can be written."""
        with self._lock:
            self._load.events.append(event)
            del self._load.events[:-MAX_WAITING_EVENTS]

    def stuck_seconds(self) -> float:
        """For how long the thread has been at what it is doing."""
        busy_since = self.busy_since
        return 0.0 if busy_since is None else time.monotonic() - busy_since

    def close(self, timeout_seconds: float) -> bool:
        """Write what is left, and end. Returns whether that was done in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and self.trouble is None

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(WRITE_SECONDS)
            self.busy_since = time.monotonic()
            self._write()
            self.busy_since = None
        self._write()
        if self._database:
            self._database.close()

    def _write(self) -> None:
        with self._lock:
            load, self._load = self._load, Load()
        now = self._clock()
        try:
            if self._database is None:
                if time.monotonic() < self._retry_at and not self._closing:
                    self._give_back(load)
                    return
                self._open()
            if self._database is None:
                self._give_back(load)
                return
            self._database.write(load.blocks, load.minutes, load.events, now)
            self._keep_up(now)
        except sqlite3.Error as error:
            self._give_back(load)
            self._fail(error)
        else:
            self._recover()
            with self._lock:
                self._waiting_bytes -= load.bytes

    def _give_back(self, load: Load) -> None:
        """Events wait until they can be written; the rest is lost here, and the agents remember it for a while."""
        with self._lock:
            since, self._load = self._load, Load(events=load.events + self._load.events)
            self._waiting_bytes -= load.bytes + since.bytes
            # Also what was taken over since goes on from what is lost.
            self.failures += bool(load.blocks or load.minutes or since.blocks or since.minutes)

    def _keep_up(self, now: float) -> None:
        assert self._database
        assert self._calendar
        connection = self._database.connection
        if time.monotonic() >= self._forget_due:
            self._forget_due = time.monotonic() + FORGET_SECONDS
            connection.execute("PRAGMA shrink_memory")
        connection.execute("BEGIN IMMEDIATE")
        try:
            today = self._calendar.now(now, time.monotonic())
            upkeep.expire(self._database, self.retention, today, self._shares)
            if time.monotonic() >= self._upkeep_due:
                self._upkeep_due = time.monotonic() + PUT_TOGETHER_SECONDS
                self._upkeep = upkeep.put_together(self._database, now)
                self._database.passed.clear()  # the future comes
            deadline = time.monotonic() + WRITE_SECONDS / 10
            while time.monotonic() < deadline and not self._closing:
                if next(self._upkeep, self) is self:
                    break
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._upkeep = iter(())
            raise
        upkeep.shrink(self._database, self._path)
        self.bytes = self._database.size()
        self._look_at_log()

    def _look_at_log(self) -> None:
        """Say, once, that somebody keeps the log from being begun anew: it takes ever more of the disk."""
        try:
            is_long = self._path.with_name(f"{self._path.name}-wal").stat().st_size > LONG_LOG_BYTES
        except OSError:
            return  # somebody took it away
        if is_long and not self.log_is_long:
            log.warning("somebody has been reading %s for long; its log grows until that ends", self._path)
        self.log_is_long = is_long

    def _open(self) -> None:
        try:
            self._database, self._shares = Database(self._path), Shares()
            self._calendar = self._calendar or upkeep.Calendar(self._database.written_at())
        except sqlite3.Error as error:
            self._fail(error)

    def _fail(self, error: sqlite3.Error) -> None:
        """Say what is wrong, once; set a damaged database aside; try again later."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._upkeep = iter(())
        self.failures += 1
        self._retry_at = time.monotonic() + RETRY_SECONDS
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if (code in _DAMAGE or isinstance(error, WrongFormat)) and self._set_aside(error):
            self._retry_at = 0.0
            return
        if self.trouble is None:
            self.trouble_since = self._clock()
            log.error("history is not written: %s: %s; polling goes on, and writing is tried again", self._path, error)
        self.trouble = str(error)

    def _recover(self) -> None:
        if self.trouble is not None:
            self.trouble = self.trouble_since = None
            log.info("history is written again")

    def _set_aside(self, error: sqlite3.Error) -> bool:
        try:
            aside = snapshot.set_aside(self._path)
            for suffix in ("-wal", "-shm"):
                beside = self._path.with_name(self._path.name + suffix)
                if beside.exists():
                    beside.rename(aside.with_name(aside.name + suffix))
        except OSError as why:
            log.error("%s is damaged (%s) and cannot be set aside: %s", self._path, error, why.strerror)
            return False
        log.error("%s is damaged (%s); it is kept as %s, and history begins anew", self._path, error, aside)
        return True
