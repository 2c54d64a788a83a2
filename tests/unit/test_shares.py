"""An agent that has far more to say than the others, and what is left of them all. With a real SQLite."""

import random
from pathlib import Path
from typing import Any

import pytest

from monitoring_supervisor.model import Retention
from monitoring_supervisor.store import blocks, upkeep
from monitoring_supervisor.store.database import Block, Database
from monitoring_supervisor.store.reading import Reader
from monitoring_supervisor.store.shares import WALKED_AT_ONCE, Shares

QUIET = [f"10.0.0.{number}:5000" for number in range(1, 10)]
NOISY = "10.0.0.99:5000"
CHANCE = random.Random(1)
ROUND_SECONDS = 10.0


def noise(size: int) -> str:
    """What no compression makes much smaller than so many bytes."""
    return CHANCE.randbytes(size).hex()


def block(name: str, sequence: int, at: float, size: int) -> Block:
    line = b'{"schema":1,"report":{"schema":1,"sequence":%d,"collected_at":%.1f,"noise":"%b"},"changes":[]}'
    lines = [line % (sequence, at, noise(size).encode("ascii"))]
    return Block(name, True, at, at, 1, 0.0, 1.5, sequence, lines)


class Store:
    """A history within a budget, which is kept up after each round as the supervisor does it."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.retention = path, Retention(max_bytes=max_bytes)
        self.now = 1000.0
        self.written = 0
        self.open()

    def open(self) -> None:
        self.database, self.shares = Database(self.path), Shares()

    def round(self, **sizes: Any) -> None:
        """Some blocks of each of these agents: how many, and of how many bytes."""
        self.now += ROUND_SECONDS
        some = []
        for name, (count, size) in sizes.items():
            for _ in range(count):
                self.written += 1
                some.append(block(name, self.written, self.now, size))
        self.database.write(some, [], [], self.now)
        self.keep_up()

    def keep_up(self) -> None:
        self.database.connection.execute("BEGIN IMMEDIATE")
        upkeep.expire(self.database, self.retention, self.now, self.shares)
        self.database.connection.execute("COMMIT")

    def left(self, name: str) -> list[int]:
        with Reader(self.path) as reader:
            found = [document["sequence"] for _, document in reader.reports(name, 0.0, 1e12)]
            assert reader.damaged == 0
            return found


@pytest.mark.parametrize(
    ("count", "size"), [(1, 200_000), (WALKED_AT_ONCE // 50, 2000)], ids=["large blocks", "many blocks"]
)
def test_one_that_has_too_much_to_say_pushes_out_its_own_past_and_not_that_of_the_others(
    tmp_path: Path, count: int, size: int
) -> None:
    store = Store(tmp_path / "history.db", max_bytes=10_000_000)
    for number in range(200):
        store.round(**dict.fromkeys(QUIET, (1, 2000)), **{NOISY: (count, size)})
        assert store.database.size() <= store.retention.max_bytes
        if number % 40 == 39:
            store.database.close()
            store.open()
    store.database.close()
    for name in QUIET:
        assert len(store.left(name)) == 200
    kept = store.left(NOISY)
    assert max(kept) == store.written, "its newest are there"
    assert 1_000_000 / size < len(kept) < 6_000_000 / size


def test_whoever_says_as_much_as_the_others_or_twice_as_much_has_as_long_a_past(tmp_path: Path) -> None:
    store = Store(tmp_path / "history.db", max_bytes=6_000_000)
    for _ in range(400):
        store.round(**dict.fromkeys(QUIET, (1, 2000)), **{NOISY: (1, 4000)})
    store.database.close()
    lengths = [len(store.left(name)) for name in (*QUIET, NOISY)]
    assert max(lengths) - min(lengths) <= 1
    assert 100 < lengths[0] < 400


def test_minutes_and_hours_of_one_with_ever_new_numbers_go_before_anything_of_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "history.db", max_bytes=4_000_000)
    for hour in range(60):
        store.now = hour * 3600.0
        points: dict[str, Any] = {noise(20): number for number in range(2000)}
        minutes = [
            (NOISY, blocks.single(store.now, points)),
            *((name, blocks.single(store.now, {"a": 1})) for name in QUIET),
        ]
        some = [block(name, hour, store.now, 2000) for name in QUIET]
        store.database.write(some, minutes, [], store.now)
        for _ in upkeep.put_together(store.database, store.now):
            pass
        store.keep_up()
    assert store.database.size() < 1.1 * store.retention.max_bytes
    count = "SELECT count(*) FROM minutes JOIN agents a ON a.id = agent WHERE name = ?"
    rows = [store.database.connection.execute(count, (name,)).fetchone()[0] for name in (*QUIET, NOISY)]
    assert rows[:-1] == [58] * len(QUIET)
    assert 1 < rows[-1] < 40
    store.database.close()
    assert len(store.left(QUIET[0])) >= 48, "what was within the time for reports"


def test_minutes_of_ever_new_numbers_do_not_push_out_the_others_before_their_hour_is_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "history.db", max_bytes=4_000_000)
    for minute in range(60):
        store.now = 1000.0 + minute * 60.0
        points: dict[str, Any] = {noise(20): number for number in range(4000)}
        minutes = [
            (NOISY, blocks.single(store.now, points)),
            *((name, blocks.single(store.now, {"a": 1})) for name in QUIET),
        ]
        store.database.write([block(name, minute, store.now, 2000) for name in QUIET], minutes, [], store.now)
        store.keep_up()
    assert store.database.size() <= store.retention.max_bytes
    known = store.database.known
    kept = {name: len(list(store.database.listed("recent", one, one.minute))) for name, one in known.items()}
    assert 3 < kept.pop(NOISY) < 30
    assert kept == dict.fromkeys(QUIET, 60)
    store.database.close()
    assert len(store.left(QUIET[0])) == 60


def test_what_is_counted_of_an_agent_is_what_is_there_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "history.db", max_bytes=3_000_000)
    for hour in range(40):
        store.now = hour * 3600.0
        store.database.write([], [(name, blocks.single(store.now, {"a": 1})) for name in QUIET], [], store.now)
        for _ in upkeep.put_together(store.database, store.now):
            pass
        store.round(**dict.fromkeys(QUIET, (1, 2000)), **{NOISY: (3, 50_000)})
    for name, known in store.database.known.items():
        sums = (
            store.database.connection.execute(f"SELECT sum(length(body)) FROM {table} WHERE agent = ?", (known.id,))
            for table in ("blocks", "recent", "minutes", "hours")
        )
        assert known.bytes == sum(row.fetchone()[0] or 0 for row in sums), name
    store.database.close()


def test_a_file_of_a_version_that_did_not_count_is_counted_from_now_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "history.db", max_bytes=1_000_000)
    store.round(**{NOISY: (5, 2000)})
    store.database.connection.execute("ALTER TABLE agents DROP COLUMN bytes")
    store.database.close()
    store.open()
    assert store.database.known[NOISY].bytes == 0
    store.round(**{NOISY: (1, 2000)})
    assert 2000 < store.database.known[NOISY].bytes < 4000
    store.database.close()
    assert sorted(store.left(NOISY)) == [1, 2, 3, 4, 5, 6]
