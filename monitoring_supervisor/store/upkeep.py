"""What keeps history.db within its limits: old entries go, minutes are put together by the hour, space is given back.

Each call does a little, so that writing never waits for long.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from monitoring_supervisor.minutes import MAX_POINTS
from monitoring_supervisor.model import Retention
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.blocks import Points
from monitoring_supervisor.store.database import BUSY_MILLISECONDS, PAGE_BYTES, Database, Known
from monitoring_supervisor.store.shares import Shares

log = logging.getLogger("monitoring_supervisor")

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86400.0
# An hour is put together when what came late, out of the agents' memory, is in it too.
SETTLED_SECONDS = 900.0
DELETED_AT_ONCE = 2000
# What ended so much later than now was written while the clock was wrong.
FUTURE_SECONDS = DAY_SECONDS
# An agent that answers now well and now badly makes an event each time, of so many bytes with its share of the index.
EVENTS_SHARE, EVENT_BYTES = 0.1, 200
# A clock that is set forward by more than what it is corrected by all the time is believed after an hour.
MAX_STEP_SECONDS, DOUBTED_SECONDS = 60.0, HOUR_SECONDS
# Free pages are used again; more than this share of the file is given back, so many pages at once.
FREE_SHARE = 0.1
GIVEN_BACK_PAGES = 256


class Calendar:
    """What time it is when it comes to what is too old: a clock that is wrong for a while must not cost history.

    `written` is when something was written last, in Unix seconds: a clock may be wrong when the machine starts, too.
    """

    def __init__(self, written: float | None) -> None:
        self._written = written
        self._ahead: float | None = None  # by how much the clock that is believed is ahead of the monotonic one
        self._doubted_since: float | None = None  # on the monotonic clock

    def now(self, wall: float, monotonic: float) -> float:
        """In Unix seconds, by a clock that says this now. One that is set back is believed at once."""
        ahead = wall - monotonic
        if self._ahead is None:
            self._ahead = ahead if self._written is None else self._written - monotonic
        if ahead <= self._ahead + MAX_STEP_SECONDS:
            self._ahead, self._doubted_since = ahead, None
        elif self._doubted_since is None:
            self._doubted_since = monotonic
        elif monotonic - self._doubted_since >= DOUBTED_SECONDS:
            self._ahead, self._doubted_since = ahead, None
        return monotonic + self._ahead


def expire(database: Database, retention: Retention, now: float, shares: Shares) -> None:
    """Delete some of what is too old and, while the file is too large, of who holds too much or else the oldest.

    Each time of the finest tier that has anything.
    """
    connection = database.connection
    tiers = (
        ("blocks", retention.reports_seconds),
        ("minutes", retention.minutes_seconds),
        ("hours", retention.hours_seconds),
    )
    for table, seconds in tiers:
        _delete_older(database, table, now - seconds, now + FUTURE_SECONDS)
    connection.execute("DELETE FROM events WHERE at < ?", (now - retention.hours_seconds,))
    connection.execute("DELETE FROM runs WHERE ended < ?", (now - retention.hours_seconds,))
    shares.free(database, retention.max_bytes)
    for table, _ in tiers:
        _delete_oldest(database, table, retention.max_bytes)
    _bound_events(database, retention)
    _give_back(database)


def _delete_older(database: Database, table: str, moment: float, future: float) -> None:
    """Rows are in the order in which they were added: the old ones are at the beginning.

    What a clock that was wrong put into the future is passed by: what came behind it would wait as long to be old.
    """
    passed = database.passed.get(table, 0)
    rows = database.connection.execute(
        f"SELECT rowid, agent, length(body), ended FROM {table} WHERE rowid > ? ORDER BY rowid", (passed,)
    )
    some = islice(rows, DELETED_AT_ONCE)
    first = next(some, None)
    if first is not None and first[3] > future:
        *_, last = first, *takewhile(lambda row: row[3] > future, some)
        database.passed[table] = last[0]
    elif first is not None and first[3] < moment:
        _delete_first(database, table, [first, *takewhile(lambda row: row[3] < moment, some)], passed)
    rows.close()


def _delete_oldest(database: Database, table: str, max_bytes: int) -> None:
    """Delete some thousand rows at most, as long as more than so many bytes are used.

    How many pages become free with a row is known when it is gone. With a far smaller budget than before, what comes
    after it would be gone, too, if that were guessed.
    """
    excess = database.size() - max_bytes
    if excess <= 0:
        return
    rows = database.connection.execute(
        f"SELECT rowid, agent, length(body) FROM {table} ORDER BY rowid LIMIT {DELETED_AT_ONCE}"
    ).fetchall()
    some, freed = [], 0
    for row in rows:
        some.append(row)
        freed += row[2]
        if freed >= excess / 2:
            _delete_first(database, table, some)
            some, freed = [], 0
            excess = database.size() - max_bytes
            if excess <= 0:
                return
    _delete_first(database, table, some)


def _delete_first(database: Database, table: str, rows: Sequence[tuple[Any, ...]], passed: int = 0) -> None:
    """Delete these rows, number, agent and bytes of each, with which the table begins, or goes on behind `passed`."""
    for _, agent, length, *_ in rows:
        database.forget(agent, length)
    if rows:
        database.connection.execute(f"DELETE FROM {table} WHERE rowid > ? AND rowid <= ?", (passed, rows[-1][0]))


def _bound_events(database: Database, retention: Retention) -> None:
    """Delete the oldest, as far as there are so many that they would take the space of the rest."""
    connection = database.connection
    # Apart, as SQLite would go through all of them to find both at once.
    (oldest,) = connection.execute("SELECT min(id) FROM events").fetchone()
    (newest,) = connection.execute("SELECT max(id) FROM events").fetchone()
    excess = (newest or 0) - (oldest or 0) - int(retention.max_bytes * EVENTS_SHARE / EVENT_BYTES)
    if excess > 0:
        connection.execute("DELETE FROM events WHERE id <= ?", (oldest + min(excess, DELETED_AT_ONCE),))


def _give_back(database: Database) -> None:
    connection = database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free > FREE_SHARE * pages:
        # SQLite says a row without columns for each page, and Python asks for no more than the first of such rows.
        for _ in range(min(free, GIVEN_BACK_PAGES)):
            connection.execute("PRAGMA incremental_vacuum(1)")


def shrink(database: Database, path: Path) -> None:
    """Have the file end where its pages do, and its log with it. Not inside of a transaction.

    SQLite does so when the log is carried over into the file, and carries it over when it is long: after much was
    deleted, little is written into it, and the disk would stay full for hours.
    """
    connection = database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    try:
        is_longer = path.stat().st_size > (1 + FREE_SHARE) * pages * PAGE_BYTES
    except OSError:
        return  # somebody took it away
    if is_longer:
        connection.execute("PRAGMA busy_timeout = 0")  # who reads is not waited for, but tried again after
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


def put_together(database: Database, now: float) -> Iterator[None]:
    """Go through all agents once, and make an entry of each hour, and of each day, that is over.

    Stops after each agent, so that whoever goes through it may do something else between.
    """
    settled = now - SETTLED_SECONDS
    for known in list(database.known.values()):
        _hours_of_minutes(database, known, settled)
        _days_of_hours(database, known, settled)
        yield


def _hours_of_minutes(database: Database, agent: Known, settled: float) -> None:
    connection = database.connection
    by_hour: dict[float, list[int]] = {}
    stays: list[int] = []
    for number, began in database.listed("recent", agent, agent.minute):
        hour = began // HOUR_SECONDS * HOUR_SECONDS
        if hour + HOUR_SECONDS <= settled:
            by_hour.setdefault(hour, []).append(number)
        else:
            stays.append(number)
    for hour, numbers in sorted(by_hour.items()):
        bodies = [connection.execute("SELECT body FROM recent WHERE id = ?", (one,)).fetchone() for one in numbers]
        parts = _readable(bodies)
        row = (agent.id, hour, hour + HOUR_SECONDS)
        if parts:
            points = blocks.joined(parts)
            summary = blocks.single(hour, blocks.summed_up(points))
            for table, packed in (("minutes", blocks.pack_points(points)), ("hours", blocks.pack_points(summary))):
                connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", (*row, packed))
                agent.bytes += len(packed)
        database.forget(agent.id, sum(len(body) for (body,) in bodies))
        connection.executemany("DELETE FROM recent WHERE id = ?", [(one,) for one in numbers])
    if by_hour:
        # What came late lies between others in the list: those that stay are linked to each other again.
        connection.executemany(
            "UPDATE recent SET previous = ? WHERE id = ?", zip([*stays[1:], None], stays, strict=True) if stays else []
        )
        agent.minute = stays[0] if stays else None
        connection.execute(
            "UPDATE agents SET minute = ?, bytes = ? WHERE id = ?", (agent.minute, agent.bytes, agent.id)
        )


def _days_of_hours(database: Database, agent: Known, settled: float) -> None:
    """Put the single hours of a day that is over into one entry, so that a year of them is read quickly."""
    connection = database.connection
    rows = connection.execute(
        "SELECT rowid, began, body FROM hours WHERE agent = ? AND ended - began <= ? AND began < ?",
        (agent.id, HOUR_SECONDS, settled // DAY_SECONDS * DAY_SECONDS),
    ).fetchall()
    by_day: dict[float, list[tuple[int, bytes]]] = {}
    for number, began, body in rows:
        by_day.setdefault(began // DAY_SECONDS * DAY_SECONDS, []).append((number, body))
    for day, entries in sorted(by_day.items()):
        parts = _readable((body,) for _, body in entries)
        if parts:
            body = blocks.pack_points(blocks.joined(parts))
            connection.execute("INSERT INTO hours VALUES (?, ?, ?, ?)", (agent.id, day, day + DAY_SECONDS, body))
            agent.bytes += len(body)
        database.forget(agent.id, sum(len(body) for _, body in entries))
        connection.executemany("DELETE FROM hours WHERE rowid = ?", [(number,) for number, _ in entries])


def _readable(rows: Iterable[tuple[bytes]]) -> list[Points]:
    """The points of these rows, without those that the disk has damaged."""
    parts = []
    known: set[str] = set()
    for (body,) in rows:
        try:
            points = blocks.unpack_points(body)
        except blocks.Damaged as damage:
            log.warning("points in history are damaged (%s) and left out", damage)
            continue
        parts.append(Points(points.at, _with_room(points.columns, known)))
    return parts


def _with_room(columns: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """Those that are known, or become known here: other ones in each minute must not fill the memory together."""
    if len(known) + len(columns) > MAX_POINTS:
        new = islice((path for path in columns if path not in known), MAX_POINTS - len(known))
        known.update(new)
        return {path: column for path, column in columns.items() if path in known}
    known.update(columns)
    return columns
