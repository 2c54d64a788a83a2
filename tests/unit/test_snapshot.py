"""metrics_data.json: out and in again."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring_supervisor.fleet import Fleet
from monitoring_supervisor.model import Failure, Kind, Policy, Question, Reason, Scrape, Standing, State, Target
from monitoring_supervisor.store import snapshot
from monitoring_supervisor.store.pace import Pace
from tests.integration.daemons import wait_for

A, B = Target("10.0.0.1:5000", "10.0.0.1", 5000, labels=(("role", "db"),)), Target("b:5000", "b", 5000)
REPORT = b'{"schema":1,"sequence":7,"collected_at":5.5,"load":{"load_1m":0.5}}'


def about(state: bytes, since: bytes, last: bytes, report: bytes) -> bytes:
    return (
        b'{"schema":1,"agents":{"a":{"failure":null,"state":%b,"since":%b,"last_health":%b,"last_metrics":null,"report":%b}}}'
        % (state, since, last, report)
    )


WITHOUT_END = b'"failure":{"kind":"refused","detail":"no","since":1,"checks":1e999}'


@pytest.fixture
def fleet() -> Fleet:
    """One agent that is up with a report, one that never answered."""
    fleet = Fleet(Policy(), {})
    fleet.watch({A.name: A, B.name: B}, 1000.0)
    fleet.hear(Scrape(A, Question.HEALTH), 1001.0)
    fleet.hear(Scrape(A, Question.METRICS, body=REPORT), 1002.0)
    for second in range(3):
        fleet.hear(Scrape(B, Question.HEALTH, Failure(Kind.REFUSED, "connection refused")), 1003.0 + second)
    return fleet


def document(fleet: Fleet) -> Any:
    return json.loads(b"".join(snapshot.render(fleet, {"version": "1"}, 2000.0)))


def test_the_document_says_everything_the_contract_names(fleet: Fleet) -> None:
    assert document(fleet) == {
        "schema": 1,
        "written_at": 2000.0,
        "supervisor": {"version": "1"},
        "whitelist": ["10.0.0.1:5000"],
        "blacklist": ["b:5000"],
        "agents": {
            "10.0.0.1:5000": {
                "listing": "white",
                "state": "up",
                "since": 1001.0,
                "last_health": 1001.0,
                "last_metrics": 1002.0,
                "failure": None,
                "labels": {"role": "db"},
                "report": json.loads(REPORT),
            },
            "b:5000": {
                "listing": "black",
                "state": "down",
                "since": None,
                "last_health": None,
                "last_metrics": None,
                "failure": {
                    "kind": "refused",
                    "detail": "connection refused",
                    "since": 1003.0,
                    "checks": 3,
                    "metrics_only": False,
                },
                "labels": {},
                "report": None,
            },
        },
    }


def test_a_fleet_without_agents_is_a_valid_document() -> None:
    assert document(Fleet(Policy(), {}))["agents"] == {}


def test_what_was_written_is_read_back_whole(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    before = document(fleet)
    snapshot.write(path, snapshot.render(fleet, {"version": "1"}, 2000.0))
    again = Fleet(Policy(), snapshot.read(path))
    again.watch({A.name: A, B.name: B}, 3000.0)
    assert document(again) == before


def test_an_agent_that_was_down_before_a_restart_is_not_announced_again(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    snapshot.write(path, snapshot.render(fleet, {}, 2000.0))
    again = Fleet(Policy(), snapshot.read(path))
    again.watch({B.name: B}, 3000.0)
    assert again.hear(Scrape(B, Question.HEALTH, Failure(Kind.REFUSED, "connection refused")), 3001.0) is None


def test_an_agent_whose_metrics_cannot_be_used_is_not_announced_again_after_a_restart(tmp_path: Path) -> None:
    fleet = Fleet(Policy(), {})
    fleet.watch({A.name: A}, 1000.0)
    fleet.hear(Scrape(A, Question.HEALTH), 1001.0)
    bad = Scrape(A, Question.METRICS, Failure(Kind.NOT_A_REPORT, "not JSON"))
    for second in range(5):
        fleet.hear(bad, 1002.0 + second)
    path = tmp_path / "metrics_data.json"
    snapshot.write(path, snapshot.render(fleet, {}, 2000.0))
    again = Fleet(Policy(), snapshot.read(path))
    again.watch({A.name: A}, 3000.0)
    assert again.agents[A.name].standing == fleet.agents[A.name].standing
    again.hear(Scrape(A, Question.HEALTH), 3001.0)
    move = again.hear(bad, 3002.0)
    assert move is not None
    assert (move.reason, move.after.since) == (Reason.NOTHING, 1002.0)


def test_the_file_is_readable_by_its_group_and_nobody_else(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    snapshot.write(path, snapshot.render(fleet, {}, 2000.0))
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["metrics_data.json"]


def test_a_write_that_fails_leaves_the_old_document_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    snapshot.write(path, [b"old"])
    with pytest.raises(OSError, match="No such file"):
        snapshot.write(tmp_path / "missing" / "metrics_data.json", [b"new"])
    (tmp_path / "metrics_data.json.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        snapshot.write(path, [b"new"])
    assert path.read_bytes() == b"old"


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path / "metrics_data.json") == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"\x00" * 100, b"[]", b"{}", b'{"schema": 2, "agents": {}}', b'{"schema": 1, "agents": []}',
     b'{"schema": 1, "agents": {"a": null}}', b'{"schema": 1, "agents": {"a": {"failure": 1}}}', b"[" * 100_000,
     about(b'"odd"', b"1", b"1", b"null"), about(b'"up"', b"NaN", b"1", b"null"),
     about(b'"up"', b"1e99", b"1", b"null"),
     about(b'"up"', b"1", b"1", b"null").replace(b'"failure":null', WITHOUT_END),
     about(b'"up"', b"1", b'"now"', b"null"), about(b'"up"', b"1", b"1", b"[1]")],
)  # fmt: skip
def test_what_is_no_snapshot_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    path.write_bytes(content)
    with pytest.raises(snapshot.Damaged):
        snapshot.read(path)


def test_damaged_files_are_set_aside_under_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        aside = snapshot.set_aside(path)
        assert aside.read_bytes() == content
    assert len(os.listdir(tmp_path)) == 3


def test_a_number_beyond_any_float_costs_the_report_and_not_the_start(tmp_path: Path, fleet: Fleet) -> None:
    path = tmp_path / "metrics_data.json"
    snapshot.write(path, snapshot.render(fleet, {}, 2000.0))
    path.write_bytes(path.read_bytes().replace(b'"load_1m":0.5', b'"load_1m":1e999'))
    known = snapshot.read(path)
    assert known[A.name].latest.document is None
    assert known[A.name].standing == Standing(State.UP, 1001.0)


def test_the_writer_says_that_it_failed_and_that_it_works_again(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    writer = snapshot.Writer(directory / "metrics_data.json")
    assert writer.offer([b"{}"])
    while writer.busy_since is not None:
        pass
    assert isinstance(writer.error, FileNotFoundError)
    directory.mkdir()
    assert writer.close([b"{}"], 5.0)
    assert (directory / "metrics_data.json").read_bytes() == b"{}"


def test_the_writer_rests_between_the_pieces_but_not_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics_data.json"
    writer = snapshot.Writer(path, work_seconds=0.0, rest=1e9)
    asked: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"%d" % number

    assert writer.offer(pieces())
    wait_for(lambda: asked == [0])
    time.sleep(0.1)
    assert asked == [0], "it rests"
    assert writer.close(pieces(), 5.0)
    assert asked == [0, 1, 2] * 2
    assert path.read_bytes() == b"012"
    assert writer.written == 2
    assert writer.written_seconds < 5.0


def test_while_the_writer_goes_on_it_is_not_stuck_however_long_it_takes(tmp_path: Path) -> None:
    pace = Pace(snapshot.Writer(tmp_path / "metrics_data.json", work_seconds=0.0))
    longest = 0.0

    def pieces() -> Iterator[bytes]:
        nonlocal longest
        for _ in range(20):
            time.sleep(0.05)
            longest = max(longest, pace.writer_stuck_seconds())
            yield b"x"

    assert pace.writer.offer(pieces())
    started = time.monotonic()
    wait_for(lambda: pace.writer.written == 1)
    assert longest < (time.monotonic() - started) / 2
