"""History: what is recorded is read again, and little by little put together and deleted. With a real SQLite."""

import contextlib
import copy
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from monitoring_agent.shared.patch import difference
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.minutes import MAX_POINTS, beginning, phase
from monitoring_supervisor.model import Failure, Kind, Move, Reason, Retention, Standing, State, Target
from monitoring_supervisor.store import blocks, upkeep
from monitoring_supervisor.store.database import PAGE_BYTES, Database, Event
from monitoring_supervisor.store.history import CHAIN_REPORTS, History
from monitoring_supervisor.store.keeper import Keeper
from monitoring_supervisor.store.reading import Availability, Reader, find, paths
from monitoring_supervisor.store.shares import Shares

START = 1_800_000_000.0  # the beginning of an hour
A, B = "10.0.0.1:5000", "10.0.0.2:5000"
CHANCE = random.Random(1)
NOISE = [CHANCE.randrange(10**6) for _ in range(4096)]


def minute(at: float) -> float:
    """The beginning of the minute of A's to which a report belongs: it is closed with the first beat after its end."""
    return beginning(at - 1, phase(A))


class Watched:
    """A supervisor's side of some agents that report once a second, with a clock that is moved by hand."""

    def __init__(self, path: Path, **retention: Any) -> None:
        self.path = path
        self.now = START
        self.life = 5.5  # of the agents
        self._retention = Retention(**retention)
        self.latest: dict[str, Latest] = {}
        self.said: dict[str, list[dict[str, Any]]] = {}
        self.layout = Layout()
        self.by_numbers = True
        self.start()

    def start(self) -> None:
        self.history = History(self.path, self._retention, 1, lambda: self.now)

    def report(self, name: str, whole: bool = False) -> None:
        """The agent says one more report; the supervisor has been told the one before."""
        said = self.said.setdefault(name, [])
        sequence = said[-1]["sequence"] + 1 if said else 1
        report = {
            "schema": 1,
            "sequence": sequence,
            "collected_at": self.now - 7.25,
            "agent": {"started_at": self.life},
            "cpu": {"busy_percent": NOISE[sequence % 4096] % 100, "count": 2},
            "disks": {"sd.a": {"reads_total": sequence * 3, "state": f"x{NOISE[-sequence % 4096]}"}},
        }
        latest = self.latest.setdefault(name, Latest())
        answer: dict[str, Any]
        if latest.sequence is None or whole:
            self.layout.values(report)
            layout = {"layout": [1, self.layout.count], "numbers": self.layout.tree}
            answer = {"schema": 1, "report": report} | (layout if self.by_numbers else {})
        elif self.by_numbers:
            at, to = self.layout.moves(said[-1], report)
            apart = {key: report[key] for key in ("sequence", "collected_at")}
            answer = {"schema": 1, "since": sequence - 1, "until": sequence, "moves": [{**apart, "at": at, "to": to}]}
        else:
            change = difference(said[-1], report)
            answer = {"schema": 1, "since": sequence - 1, "until": sequence, "changes": [change]}
        body = wire.encode(answer)
        if "changes" in answer:
            latest.take_document(answer, len(body))
        else:
            latest.take(body)
        said.append(copy.deepcopy(report))
        self.history.record(name, latest, body, self.now)

    def run(self, seconds: int, *names: str) -> None:
        for _ in range(seconds):
            self.now += 1
            for name in names:
                self.report(name)
            self.history.beat(self.now)

    def close(self) -> None:
        assert self.history.close(20.0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "history.db")
    yield watched
    watched.history.close(20.0)


def reports(path: Path, name: str, since: float = 0.0, until: float = 1e12) -> list[dict[str, Any]]:
    with Reader(path) as reader:
        found = [copy.deepcopy(document) for _, document in reader.reports(name, since, until)]
        assert reader.damaged == 0
        return found


def test_every_report_is_read_again_to_the_letter(watched: Watched) -> None:
    watched.run(700, A, B)
    watched.close()
    assert reports(watched.path, A) == watched.said[A]
    assert reports(watched.path, B) == watched.said[B]
    with Reader(watched.path) as reader:
        assert reader.agents() == [A, B]
        at = [at for at, _ in reader.reports(A, START + 100, START + 103)]
    assert at == pytest.approx([START + 100, START + 101, START + 102, START + 103])


def test_what_agents_said_before_there_were_layouts_is_read_again_too(watched: Watched) -> None:
    watched.by_numbers = False
    watched.run(100, A)
    watched.by_numbers = True
    watched.report(A, whole=True)
    watched.run(100, A)
    watched.close()
    assert reports(watched.path, A) == watched.said[A]


def test_a_restart_of_either_side_begins_a_new_chain_and_loses_nothing(watched: Watched) -> None:
    watched.run(50, A)
    watched.close()
    watched.start()
    watched.run(50, A)
    watched.life = 6.5
    watched.report(A, whole=True)
    watched.run(50, A)
    watched.close()
    assert reports(watched.path, A) == watched.said[A]


def test_of_answers_that_turn_out_to_be_of_no_use_nothing_is_kept(watched: Watched) -> None:
    watched.run(50, A)
    watched.history.close(20.0)
    watched.start()
    latest = watched.latest[A]
    nonsense = b'{"schema":1,"since":50,"until":51,"moves":[{"sequence":51,"collected_at":1.5,"at":[1],"to":["]}]}'
    latest.take(nonsense)
    watched.history.record(A, latest, nonsense, watched.now)
    watched.run(10)
    watched.now += 60
    watched.run(1)
    with pytest.raises(Unusable):
        latest.take(b"{}")
    watched.run(20, A)
    watched.close()
    assert reports(watched.path, A) == watched.said[A]


def test_a_clock_that_is_set_an_hour_forward_and_back_loses_nothing(watched: Watched) -> None:
    watched.run(50, A)
    watched.now += 3600
    watched.run(50, A)
    watched.now -= 3600
    watched.run(50, A)
    watched.close()
    found = reports(watched.path, A)
    assert sorted(one["sequence"] for one in found) == [one["sequence"] for one in watched.said[A]]


def test_an_unknown_agent_has_no_history(watched: Watched) -> None:
    watched.run(5, A)
    watched.close()
    assert reports(watched.path, "x") == []
    with Reader(watched.path) as reader:
        assert reader.series("x", ["cpu.busy_percent"], 0, 1e12, 3600) == {"cpu.busy_percent": []}
        assert reader.availability("x", 0, 1e12) == Availability(0.0, 0.0)


def test_a_series_in_steps_has_least_mean_and_greatest_of_all_reports(watched: Watched) -> None:
    watched.run(3 * 3600 + 20 * 60 + 30, A)
    watched.close()
    database = Database(watched.path)
    for _ in upkeep.put_together(database, watched.now):
        pass
    database.close()
    for step in (10, 300, 3600):
        with Reader(watched.path) as reader:
            series = reader.series(A, ["cpu.busy_percent", "disks.sd.a.reads_total"], START - 3600, watched.now, step)
        expected: dict[float, list[dict[str, Any]]] = {}
        for one in watched.said[A]:
            at = one["collected_at"] + 7.25
            expected.setdefault((at if step < 60 else minute(at)) // step * step, []).append(one)
        assert [at for at, _ in series["cpu.busy_percent"]] == list(expected)
        for at, point in series["cpu.busy_percent"]:
            values = [one["cpu"]["busy_percent"] for one in expected[at]]
            mean = pytest.approx(sum(values) / len(values), rel=0.03)
            assert point == ([min(values), mean, max(values)] if len(set(values)) > 1 else values[0])
        assert [point for _, point in series["disks.sd.a.reads_total"]] == [
            expected[at][-1]["disks"]["sd.a"]["reads_total"] for at in expected
        ]


def test_hours_that_are_over_are_put_together_and_so_are_days(watched: Watched) -> None:
    watched.run(60, A)
    for _ in range(60):
        watched.now += 1800
        watched.run(61, A)
    watched.close()
    database = Database(watched.path)
    connection = database.connection

    def counts() -> list[int]:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("minutes", "hours")]

    for _ in upkeep.put_together(database, watched.now):
        pass
    hours, by_hour = counts()
    assert hours == 31  # the first minute began in the hour before
    assert by_hour == 15  # those before midnight are one
    for _ in upkeep.put_together(database, watched.now):
        pass
    assert counts() == [hours, by_hour]
    left = connection.execute("SELECT count(*) FROM recent").fetchone()[0]
    assert 0 < left < 8
    database.close()
    with Reader(watched.path) as reader:
        series = reader.series(A, ["cpu.busy_percent"], START - 3600, watched.now - 0.5, 1800)
    expected = dict.fromkeys(minute(one["collected_at"] + 7.25) // 1800 * 1800 for one in watched.said[A])
    assert [at for at, _ in series["cpu.busy_percent"]] == list(expected)


def test_ten_thousand_new_numbers_in_each_report_do_not_make_an_hour_of_so_many_columns(tmp_path: Path) -> None:
    database = Database(tmp_path / "history.db")
    for number in range(60):
        points = {"load.a": number, **{f"more.{number} {key}": key for key in range(1000)}}
        database.write([], [("a", blocks.single(number * 60.0, dict(points)))], [], 0.0)
    for _ in upkeep.put_together(database, 7200.0):
        pass
    for table in ("minutes", "hours"):
        (body,) = database.connection.execute(f"SELECT body FROM {table}").fetchone()
        columns = blocks.unpack_points(body).columns
        assert len(columns) == MAX_POINTS
        assert "load.a" in columns
    database.close()


def test_what_is_too_old_goes_tier_by_tier(watched: Watched) -> None:
    watched.run(700, A)
    watched.close()
    database = Database(watched.path)
    upkeep.expire(database, Retention(reports_seconds=350), watched.now, Shares())
    database.close()
    left = [one["sequence"] for one in reports(watched.path, A)]
    first_chain = 1 + int(CHAIN_REPORTS * phase(A) / 60)
    assert left == list(range(first_chain + CHAIN_REPORTS + 1, 701))
    with Reader(watched.path) as reader:
        assert len(reader.series(A, ["cpu.count"], START, watched.now, 60)["cpu.count"]) >= 10


def test_a_clock_that_is_wrong_for_a_while_costs_no_history(watched: Watched) -> None:
    watched.run(20, A)
    watched.close()
    wrong = 0.0
    keeper = Keeper(watched.path, Retention(reports_seconds=3600.0), lambda: watched.now + wrong)
    for wrong in (0.0, 86400.0, 0.0):  # noqa: B007 - the keeper's clock reads it
        time.sleep(1.5)  # it writes each second, and then looks for what is too old
    assert keeper.close(10.0)
    assert reports(watched.path, A) == watched.said[A]


def test_a_clock_set_forward_is_believed_after_an_hour_and_one_set_back_at_once() -> None:
    calendar = upkeep.Calendar(written=1000.0)
    assert calendar.now(1001.0, 5.0) == 1001.0
    assert calendar.now(1002.5, 6.0) == 1002.5
    assert calendar.now(90_000.0, 7.0) == 1003.5
    assert calendar.now(93_599.0, 3606.0) == 4602.5
    assert calendar.now(93_600.0, 3607.0) == 93_600.0
    assert calendar.now(500.0, 3608.0) == 500.0
    assert calendar.now(90_000.0, 3609.0) == 501.0
    assert calendar.now(502.0, 3610.0) == 502.0
    assert calendar.now(90_000.0, 7300.0) == 4192.0, "the doubt begins anew"
    assert upkeep.Calendar(written=1000.0).now(90_000.0, 5.0) == 1000.0, "wrong at the start"
    assert upkeep.Calendar(written=None).now(90_000.0, 5.0) == 90_000.0


def test_chains_of_agents_that_were_first_asked_together_do_not_begin_anew_together(watched: Watched) -> None:
    names = [f"10.0.1.{number}:5000" for number in range(30)]
    watched.run(CHAIN_REPORTS + 60, *names)
    watched.close()
    with contextlib.closing(sqlite3.connect(watched.path)) as connection:
        begun = connection.execute("SELECT began FROM blocks WHERE id = head AND began > ?", (START + 10,)).fetchall()
    assert len(begun) >= len(names) - 2
    assert max(Counter(begun).values()) <= 4


def test_the_budget_of_bytes_wins_over_ages_and_space_is_given_back(watched: Watched) -> None:
    names = [f"10.0.0.{number}:5000" for number in range(20)]
    watched.run(3000, *names)
    watched.close()
    budget = watched.path.stat().st_size * 2 // 3
    database = Database(watched.path)
    for _ in range(100):
        upkeep.expire(database, Retention(max_bytes=budget), watched.now, Shares())
    assert database.size() <= budget
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    assert watched.path.stat().st_size < budget * 1.2 + 4 * PAGE_BYTES
    found = [one["sequence"] for one in reports(watched.path, names[0])]
    assert found == list(range(3000 - len(found) + 1, 3001))
    assert 300 <= len(found) < 3000


def test_an_agent_that_goes_up_and_down_all_the_time_does_not_fill_the_disk_with_events(tmp_path: Path) -> None:
    database = Database(tmp_path / "history.db")
    limit = int(1e6 * upkeep.EVENTS_SHARE / upkeep.EVENT_BYTES)
    for number in range(3):
        events = [Event(A, number * 1000.0 + at, "down", "timeout_answer", "no answer") for at in range(1000)]
        database.write([], [], events, 0.0)
        upkeep.expire(database, Retention(max_bytes=10**6), 3000.0, Shares())
    count, newest = database.connection.execute("SELECT count(*), max(at) FROM events").fetchone()
    assert limit <= count <= limit + 1
    assert newest == 2999.0
    database.close()


def test_a_number_of_a_deleted_block_is_not_given_to_another(watched: Watched) -> None:
    watched.run(100, A)
    watched.close()
    database = Database(watched.path)
    upkeep.expire(database, Retention(reports_seconds=-1000.0), watched.now, Shares())
    database.close()
    assert reports(watched.path, A) == []
    watched.start()
    watched.run(100, B)
    watched.run(100, A)
    watched.close()
    assert reports(watched.path, A) == watched.said[A][100:]
    assert reports(watched.path, B) == watched.said[B]


def moved(name: str, before: State, after: State, at: float) -> Move:
    failure = Failure(Kind.REFUSED, "connection refused") if after is State.DOWN else None
    target = Target(name, name, 5000)
    return Move(target, Standing(before, 0.0), Standing(after, at, failure=failure), Reason.NOTHING, at)


def test_changes_of_state_are_events_and_give_the_availability(watched: Watched) -> None:
    standing = Standing(State.NEW, START)
    watched.history.watch({A: standing, B: standing}, START)
    watched.history.note(moved(A, State.NEW, State.UP, START + 10))
    watched.history.beat(START)
    watched.history.note(moved(A, State.UP, State.UP, START + 20))
    watched.history.note(moved(A, State.UP, State.DOWN, START + 110))
    watched.history.note(moved(A, State.DOWN, State.UP, START + 160))
    watched.now = START + 210
    watched.close()
    with Reader(watched.path) as reader:
        events = [(event.at - START, event.state, event.kind) for event in reader.events(A, START, START + 1000)]
        assert events == [(0, "new", None), (10, "up", None), (110, "down", "refused"), (160, "up", None)]
        assert len(reader.events(None, 0, 1e12)) == 5
    connection = sqlite3.connect(watched.path)
    connection.execute("UPDATE runs SET began = ?, ended = ?", (START, START + 210))
    connection.commit()
    connection.close()
    with Reader(watched.path) as reader:
        assert reader.availability(A, START, START + 1000) == Availability(200.0, 150.0)
        assert reader.availability(A, START + 110, START + 135) == Availability(25.0, 0.0)
        assert reader.availability(A, START + 500, START + 1000).percent is None


def test_who_is_watched_no_more_and_again_is_an_event_and_a_restart_is_none(watched: Watched) -> None:
    standing = Standing(State.UP, START)
    watched.history.watch({A: standing}, START)
    watched.close()
    watched.start()
    watched.history.watch({A: standing}, START + 50)
    watched.history.watch({}, START + 60)
    watched.history.watch({A: standing}, START + 70)
    watched.close()
    with Reader(watched.path) as reader:
        assert [event.state for event in reader.events(A, 0, 1e12)] == ["up", "unwatched", "up"]


def test_a_reader_reads_while_the_writer_writes_and_neither_waits(watched: Watched) -> None:
    watched.run(30, A)
    with Reader(watched.path) as reader:
        for number in range(5):
            watched.run(30, A)
            found = len(list(reader.reports(A, 0, 1e12)))
            assert found <= 60 + 30 * number
        assert watched.history.keeper.trouble is None
    watched.close()
    assert reports(watched.path, A) == watched.said[A]


def test_a_path_is_found_although_names_have_dots() -> None:
    document = {"network": {"eth0.100": {"sent": 5}, "eth0": {"100": 7}}, "a": {"b": None}, "t": True, "s": "x"}
    assert find(document, "network.eth0.100.sent") == 5
    assert find(document, "network.eth0.100") in ({"sent": 5}, 7)
    assert find(document, "network.eth1.sent") is None
    assert find(document, "a.b.c") is None
    assert list(paths(document)) == ["network.eth0.100.sent", "network.eth0.100"]


def test_there_is_nothing_to_read_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Reader(tmp_path / "history.db")
