"""What keeps history.db within its limits, at the database itself."""

import random
from pathlib import Path

from monitoring_supervisor.model import Retention
from monitoring_supervisor.store import upkeep
from monitoring_supervisor.store.database import PAGE_BYTES, Block, Database
from monitoring_supervisor.store.shares import Shares

AGENTS = ("10.0.0.1:5000", "10.0.0.2:5000")
NEVER = 1e12
TIERS = ("blocks", "minutes", "hours")
CHANCE = random.Random(1)


def filled(path: Path) -> Database:
    """A database with two MB in each tier, half of each agent; the oldest is of second 0, the newest of second 99."""
    database = Database(path)
    for at in range(100):
        some = [
            Block(name, True, at, at, 1, 0.0, None, None, [CHANCE.randbytes(10_000).hex().encode()]) for name in AGENTS
        ]
        database.write(some, [], [], 0.0)
        for table in ("minutes", "hours"):
            for name in AGENTS:
                body = CHANCE.randbytes(10_000)
                row = (database.known[name].id, at, at, body)
                database.connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", row)
                database.known[name].bytes += len(body)
    return database


def oldest(database: Database) -> list[int | None]:
    """When the oldest of each tier ended."""
    return [database.connection.execute(f"SELECT min(ended) FROM {table}").fetchone()[0] for table in TIERS]


def keep(database: Database, retention: Retention, now: float) -> None:
    shares = Shares()
    for _ in range(50):
        upkeep.expire(database, retention, now, shares)


def test_each_tier_has_an_age_of_its_own(tmp_path: Path) -> None:
    database = filled(tmp_path / "history.db")
    keep(database, Retention(30.0, 60.0, 90.0), 100.0)
    assert oldest(database) == [70, 40, 10]
    keep(database, Retention(NEVER, NEVER, 10.0), 100.0)
    assert oldest(database) == [70, 40, 90]
    database.close()


def test_what_a_wrong_clock_put_into_the_future_does_not_keep_what_came_behind_it(tmp_path: Path) -> None:
    database = filled(tmp_path / "history.db")
    year = 365 * 86400.0
    for table in TIERS:
        database.connection.execute(f"UPDATE {table} SET ended = ended + ? WHERE ended BETWEEN 10 AND 19", (year,))
    keep(database, Retention(30.0, 60.0, 90.0), 100.0)
    assert oldest(database) == [70, 40, 20]
    for table in TIERS:
        late = database.connection.execute(f"SELECT count(*) FROM {table} WHERE ended > ?", (year,)).fetchone()
        assert late == (20,), "nothing is lost for a clock that was wrong"
    # A supervisor looks at it again after some time, and when it is old it goes.
    database.passed.clear()
    keep(database, Retention(30.0, 60.0, 90.0), year + 200.0)
    assert oldest(database) == [None, None, None]
    database.close()


def test_the_budget_takes_reports_first_then_minutes_then_hours_whatever_their_age(tmp_path: Path) -> None:
    database = filled(tmp_path / "history.db")
    everything = database.size()

    def kept(max_bytes: int) -> list[int | None]:
        keep(database, Retention(NEVER, NEVER, NEVER, max_bytes), 100.0)
        assert database.size() <= max_bytes
        return oldest(database)

    reports, minutes, hours = kept(everything - 1_000_000)
    assert 30 < (reports or 0) < 70
    assert (minutes, hours) == (0, 0)
    reports, minutes, hours = kept(everything * 45 // 100)
    assert reports is None
    assert 10 < (minutes or 0) < 90
    assert hours == 0
    reports, minutes, hours = kept(everything * 20 // 100)
    assert (reports, minutes) == (None, None)
    assert 10 < (hours or 0) < 90
    database.close()


def test_a_far_smaller_budget_than_before_takes_no_more_than_it_must_and_of_who_has_too_much(tmp_path: Path) -> None:
    database = filled(tmp_path / "history.db")
    small = database.size()
    for at in range(400):
        body = CHANCE.randbytes(60_000).hex().encode()
        database.write([Block("10.0.0.3:5000", True, 50, 50, 1, 0.0, None, None, [body])], [], [], float(at))
    budget = small + 10_000_000
    assert database.size() > budget + 10_000_000
    keep(database, Retention(NEVER, NEVER, NEVER, budget), 100.0)
    assert budget - 500_000 < database.size() <= budget
    assert oldest(database) == [0, 0, 0]
    count = "SELECT name, count(*) FROM blocks JOIN agents a ON a.id = agent GROUP BY name"
    counts = dict(database.connection.execute(count))
    assert [counts[name] for name in AGENTS] == [100, 100]
    keep(database, Retention(NEVER, NEVER, NEVER, small // 2), 100.0)
    assert small // 2 - 100_000 < database.size() <= small // 2, "of all, when there is nobody left who has more"
    database.close()


def test_free_pages_are_given_back_hundreds_at_once_and_the_file_ends_where_they_do(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    database = filled(path)
    for _ in range(10):
        database.connection.execute("INSERT INTO hours VALUES (9, 1e9, 1e9, zeroblob(2000000))")
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    pages = path.stat().st_size // PAGE_BYTES
    assert pages > 2 * upkeep.GIVEN_BACK_PAGES
    database.connection.execute("DELETE FROM hours WHERE agent = 9")
    upkeep.expire(database, Retention(NEVER, NEVER, NEVER), 100.0, Shares())
    upkeep.shrink(database, path)
    assert path.stat().st_size // PAGE_BYTES == pages - upkeep.GIVEN_BACK_PAGES
    for _ in range(3):
        upkeep.expire(database, Retention(NEVER, NEVER, NEVER), 100.0, Shares())
        upkeep.shrink(database, path)
    assert path.stat().st_size < database.size() * (1 + upkeep.FREE_SHARE) + PAGE_BYTES
    assert oldest(database) == [0, 0, 0]
    assert database.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    path.unlink()
    upkeep.shrink(database, path)
    database.close()


def test_a_reader_is_not_waited_for_when_the_file_could_be_shorter(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    database = filled(path)
    reader = Database(path).connection
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    reader.execute("BEGIN")
    rows = reader.execute("SELECT body FROM hours")
    rows.fetchone()
    database.connection.execute("DELETE FROM hours")
    upkeep.expire(database, Retention(NEVER, NEVER, NEVER), 100.0, Shares())
    size = path.stat().st_size
    upkeep.shrink(database, path)
    assert path.stat().st_size == size
    assert len(rows.fetchall()) == 199
    reader.execute("COMMIT")
    upkeep.shrink(database, path)
    assert path.stat().st_size < size
    assert database.connection.execute("PRAGMA busy_timeout").fetchone()[0] > 0
    reader.close()
    database.close()
