"""Reports as JSON lines: what other programs would stumble over is not in them."""

import json
from pathlib import Path

import pytest

from monitoring_agent.shared import wire
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Retention
from monitoring_supervisor.store.history import History
from monitoring_supervisor.store.lines import encoded, json_line, json_lines
from monitoring_supervisor.store.reading import Reader

REPORT = {
    "sequence": 1, "agent": 7, "at": 8, "load": {"load_1m": 0.5, "none": None}, "network": {"eth0.1": {"sent": 3}}
}  # fmt: skip


def test_a_line_has_the_agent_the_time_and_the_report_or_what_stands_at_each_path() -> None:
    assert json.loads(json_line("a:1", 1.25, REPORT)) == {"agent": "a:1", "at": 1.25, "report": REPORT}
    told = json_line("a:1", 1.25, REPORT, ["load.load_1m", "network.eth0.1.sent", "load.none", "load.load_5m"])
    assert told == '{"agent":"a:1","at":1.25,"load.load_1m":0.5,"network.eth0.1.sent":3}'


def test_whose_a_line_is_and_from_when_says_no_report() -> None:
    assert json_line("a:1", 1.25, REPORT, ["at", "agent", "sequence"]) == '{"agent":"a:1","at":1.25,"sequence":1}'


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 10**18, 2**53 + 1, 0.1234567890123456789, 1e299, "9" * 30])
def test_what_others_take_stays_as_it_is(number: float | str) -> None:
    assert encoded({"a": [{"b": number}]}) == f'{{"a":[{{"b":{json.dumps(number)}}}]}}'


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, -(10**299)])
def test_a_whole_number_too_large_for_others_becomes_a_floating_one(number: int) -> None:
    told = encoded({"a": [{"b": number, "c": "9" * 30, "d": True}]})
    assert told == f'{{"a":[{{"b":{float(number)!r},"c":"{"9" * 30}","d":true}}]}}'


def test_each_report_of_each_agent_of_the_time_is_a_line(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", Retention(), 1, lambda: 1010.0)
    latest = {name: Latest() for name in ("a:1", "b:1", "c:1")}
    for sequence in range(1, 6):
        for number, name in enumerate(latest):
            load = {"load_1m": sequence / 7} if sequence != 3 else {}
            body = wire.encode({"schema": 1, "sequence": sequence, "collected_at": 1000.0 + sequence, "load": load})
            latest[name].take(body)
            history.record(name, latest[name], body, 1000.25 + sequence + number)
    assert history.close(20.0)
    with Reader(tmp_path / "history.db") as reader:
        lines = [json.loads(line) for line in json_lines(reader, ["c:1", "a:1"], 1002.25, 1005.25, ["load.load_1m"])]
    assert [(one["agent"], one["at"], one.get("load.load_1m")) for one in lines] == [
        ("c:1", 1003.25, 1 / 7),
        ("c:1", 1004.25, 2 / 7),
        ("c:1", 1005.25, None),
        ("a:1", 1002.25, 2 / 7),
        ("a:1", 1003.25, None),
        ("a:1", 1004.25, 4 / 7),
        ("a:1", 1005.25, 5 / 7),
    ]
