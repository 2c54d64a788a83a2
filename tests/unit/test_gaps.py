"""What is missing of an agent's past is asked for little by little, and taken down as if it had been heard in time."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent import since
from monitoring_agent.recall import Recall, Report
from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from monitoring_supervisor import gaps
from monitoring_supervisor.gaps import PEACE_SECONDS, QUESTIONS_PER_SECOND, Gap, Gaps
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.model import Retention
from monitoring_supervisor.store.history import History
from monitoring_supervisor.store.reading import Reader
from monitoring_supervisor.store.recovery import recover

A = "10.0.0.1:5000"
GAP = Gap(life=5.5, after=100, before=200, step=1, skew=1000.0, until=200.0)


def report(sequence: int, life: float = 5.5) -> dict[str, Any]:
    return {
        "schema": 1,
        "sequence": sequence,
        "collected_at": float(sequence),
        "agent": {"started_at": life},
        "load": {"load_1m": sequence % 7, "cpus": 2},
    }


def past(first: int, last: int, step: int = 1, life: float = 5.5) -> bytes:
    """What an agent answers about its past."""
    reports = [report(sequence, life) for sequence in range(first, last + 1, step)]
    return said(reports[0], [moved(before, after) for before, after in itertools.pairwise(reports)])


def moved(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    layout = Layout()
    layout.values(report(0))
    at, to = layout.moves(before, after)
    return {"sequence": after["sequence"], "collected_at": after["collected_at"], "at": at, "to": to}


def said(report: dict[str, Any], moves: list[Any]) -> bytes:
    layout = Layout()
    layout.values(report)
    numbered = {"layout": [1, layout.count], "numbers": layout.tree}
    return wire.encode({"schema": 1, "report": report, **numbered, "moves": moves})


def test_no_more_is_asked_in_a_second_than_what_was_settled_and_agents_take_turns() -> None:
    waiting = Gaps()
    for number in range(100):
        waiting.add(f"a{number}", GAP, 0.0)
    assert waiting.due(PEACE_SECONDS / 2) == []
    asked: list[str] = []
    for quarter in range(1, 9):
        due = waiting.due(PEACE_SECONDS + quarter / 4)
        assert len(due) <= QUESTIONS_PER_SECOND / 4 + 2
        asked += [name for name, _ in due]
        for name, gap in due:
            waiting.answered(name, gap.after + 60, PEACE_SECONDS + quarter / 4)
    assert len(asked) == len(set(asked)) == pytest.approx(2 * QUESTIONS_PER_SECOND, abs=4)


def test_a_gap_is_asked_for_until_it_is_filled() -> None:
    waiting = Gaps()
    waiting.add(A, GAP, 0.0)
    queries = []
    for now in range(4, 20):
        for name, gap in waiting.due(float(now)):
            queries.append(gap.query())
            waiting.answered(name, min(gap.after + 60, 199), float(now))
            assert waiting.due(now + gaps.PAUSE_SECONDS - 0.1) == []
    assert queries == ["?past=101&layout=0-0", "?past=161&layout=0-0"]
    assert len(waiting) == 0


def test_while_polls_are_late_little_is_asked() -> None:
    waiting = gaps.Gaps()
    for number in range(100):
        waiting.add(f"a{number}", GAP, 0.0)
    asked = [len(waiting.due(10 + beat / 4, late=True)) for beat in range(40)]
    assert 4 <= len([count for count in asked if count]) <= 6
    assert 20 <= sum(asked) <= 50
    assert sum(len(waiting.due(30 + beat / 4)) for beat in range(8)) > 40


def test_an_agent_is_asked_one_thing_at_a_time_and_not_for_ever() -> None:
    waiting = Gaps()
    waiting.add(A, GAP, 0.0)
    waiting.add(A, Gap(5.5, 300, 400, 10, 0.0, 1e12), 0.0)
    asked = []
    for now in range(4, 60):
        due = waiting.due(float(now))
        assert len(due) <= 1
        for name, gap in due:
            asked.append(gap.query())
            assert waiting.asked(name) == gap
            assert waiting.due(now + 0.9) == []
            waiting.answered(name, None, float(now))
    assert sorted(asked) == gaps.MAX_TRIES * ["?past=101&layout=0-0"] + gaps.MAX_TRIES * [
        "?past=310&layout=0-0&step=10"
    ]
    assert len(waiting) == 0


def test_who_is_not_watched_any_more_is_not_asked() -> None:
    waiting = Gaps()
    waiting.add(A, GAP, 0.0)
    waiting.forget(A)
    assert waiting.due(100.0) == []
    waiting.answered(A, 150, 100.0)
    assert len(waiting) == 0


@pytest.mark.parametrize(("after", "before", "step", "there_is_one"), [(5, 6, 1, 0), (5, 7, 1, 1), (5, 16, 10, 0)])
def test_what_is_a_step_apart_is_no_gap(after: int, before: int, step: int, there_is_one: bool) -> None:
    assert gaps.is_gap(after, before, step) == there_is_one


def test_what_an_agent_remembers_is_a_block_and_minutes_of_their_own() -> None:
    found = recover(A, GAP, past(101, 160))
    assert found.reached == 160
    assert found.block is not None
    assert (found.block.began, found.block.ended, found.block.reports) == (1101.0, 1160.0, 60)
    assert (found.block.whole, found.block.live) == (True, False)
    assert 1 <= len(found.minutes) <= 2
    assert all(points.columns["load.cpus"] == 2 for points in found.minutes)


def test_only_what_is_missing_is_taken() -> None:
    found = recover(A, GAP, past(190, 230))
    assert found.reached == 199
    assert found.block is not None
    assert found.block.reports == 10


def test_what_nobody_asked_for_is_not_kept() -> None:
    body = past(101, 103)[:-1] + b',"junk":1e999}'
    found = recover(A, GAP, body)
    assert found.block is not None
    assert b"junk" not in found.block.lines[0]


@pytest.mark.parametrize("body", [past(200, 230), past(250, 250), past(101, 110, life=6.5), past(90, 110)])
def test_an_agent_that_remembers_nothing_of_it_is_not_asked_again(body: bytes) -> None:
    found = recover(A, GAP, body)
    assert (found.reached, found.block, found.minutes) == (GAP.before, None, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        wire.encode(report(101)),
        said(report(101), [{}]),
        said(report(101), [1]),
        said(report(101), [{"sequence": 101, "collected_at": 1, "at": [], "to": []}]),
        said(report(101), [{"sequence": 102, "collected_at": "x", "at": [], "to": []}]),
        said(report(101), [{"sequence": 102, "collected_at": 1, "at": [9], "to": [1]}]),
        said(report(101), [{"sequence": 102, "collected_at": 1, "at": [0]}]),
        past(101, 103).replace(b"2.0", b"1e999"),
        wire.encode({"schema": 1, "report": report(101), "moves": [moved(report(101), report(102))]}),
        # As agents of before say it: all of the report would have to be gone through for each.
        wire.encode({"schema": 1, "report": report(101), "changes": [{"sequence": 102}]}),
        wire.encode({"schema": 2, "report": report(101), "changes": []}),
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(Unusable):
        recover(A, GAP, body)


def test_after_an_outage_history_has_every_report_as_if_there_had_been_none(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    now = 1_800_000_000.0

    def hear(history: History, latest: Latest, sequence: int) -> None:
        body = wire.encode({"schema": 1, "report": report(sequence), "changes": []})
        latest.take(body)
        history.record(A, latest, body, now + sequence)

    for sequences in (range(1, 11), range(131, 141), range(145, 150)):  # twice it is away, and starts anew
        history = History(path, Retention())
        latest = Latest()
        for sequence in sequences:
            hear(history, latest, sequence)
        due = history.gaps.due(1e9)
        for _, gap in due:
            # As much at a time as there is room for.
            for first in range(gap.after + 1, gap.before, 60):
                history.gaps.due(1e9 + first)
                history.fill(A, past(first, min(first + 59, 500)))
        assert len(due) == (1 if sequences[0] > 1 else 0)
        assert len(history.gaps) == 0
        assert history.close(20.0)
    with Reader(path) as reader:
        found = {document["sequence"]: at for at, document in reader.reports(A, 0, 1e12)}
        assert reader.damaged == 0
        minutes = reader.series(A, ["load.load_1m"], 0, 1e12, 60)["load.load_1m"]
    assert sorted(found) == list(range(1, 150))
    assert all(at == pytest.approx(now + sequence) for sequence, at in found.items())
    assert [at - minutes[0][0] for at, _ in minutes] == [0, 60, 120, 180]


def test_another_life_of_the_agent_and_the_next_report_are_no_gap(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db", Retention())
    latest = Latest()
    for sequence, life in ((1, 5.5), (2, 5.5), (50, 6.5), (51, 6.5)):
        body = wire.encode(report(sequence, life))
        latest.take(body)
        history.record(A, latest, body, 1000.0 + sequence)
    assert len(history.gaps) == 0
    history.close(20.0)


def test_an_agent_whose_sequence_jumps_with_every_report_is_asked_for_ten_gaps_at_most() -> None:
    waiting = Gaps()
    for number in range(1000):
        waiting.add(A, Gap(5.5, number * 1000, number * 1000 + 999, 1, 0.0, 1e12), 0.0)
    assert len(waiting) == gaps.MAX_GAPS
    waiting.add("10.0.0.2:5000", GAP, 0.0)
    assert len(waiting) == gaps.MAX_GAPS + 1


def test_an_agent_whose_past_has_no_end_is_not_asked_for_ever() -> None:
    waiting = Gaps()
    waiting.add(A, Gap(5.5, 0, 10**12, 1, 0.0, 1e12), 0.0)
    asked = 0
    for now in range(4, 1000):
        for name, gap in waiting.due(float(now)):
            asked += 1
            waiting.answered(name, gap.after + 1, float(now))
    assert asked == gaps.MAX_QUESTIONS
    assert len(waiting) == 0


@pytest.mark.parametrize("moment", ["9" * 4000, "1e999", "-1e999", "1e18", "true"])
def test_a_past_at_impossible_times_is_unusable_or_at_the_time_before(moment: str) -> None:
    body = past(101, 103).replace(b'"collected_at":102.0', b'"collected_at":' + moment.encode())
    with pytest.raises(Unusable, match="no number 'collected_at'"):
        recover(A, GAP, body)


@pytest.mark.parametrize("moments", [("101.0", "102.0"), ("102.0",)])
def test_a_past_that_claims_to_be_of_the_time_to_come_is_of_the_gap_s_end_at_the_latest(
    moments: tuple[str, ...],
) -> None:
    """What is stored with such a time would be kept for ever, and everything behind it too."""
    body = past(101, 103)
    for moment in moments:
        body = body.replace(b'"collected_at":' + moment.encode(), b'"collected_at":99999999999')
    found = recover(A, GAP, body)
    assert found.block is not None
    assert max(found.block.began, found.block.ended) <= 1200.0
    assert all(at <= 1200.0 for points in found.minutes for at in points.at)


def test_a_past_of_a_large_report_and_a_minute_for_each_change_is_cut_short() -> None:
    first = {**report(101), "more": {str(number): number for number in range(15_000)}}
    moves = [
        {"sequence": 101 + number, "collected_at": 101 + 60.0 * number, "at": [], "to": []} for number in range(1, 5000)
    ]
    body = said(first, moves)
    with pytest.raises(Unusable, match="more numbers"):
        recover(A, Gap(5.5, 100, 10_000, 1, 0.0, 1e12), body)
    body = said(report(101), moves)
    found = recover(A, Gap(5.5, 100, 10_000, 1, 0.0, 1e12), body)
    assert found.reached == 161
    assert len(found.minutes) <= 61


def test_a_question_for_the_past_takes_no_numbers_from_what_is_recorded_meanwhile(tmp_path: Path) -> None:
    """What the agent told of its past has keys that nobody knew; they are told to all, also where nothing moved."""
    recall, latest, now = Recall(), Latest(), 1_800_000_000.0
    history = History(tmp_path / "history.db", Retention(), wall_clock=lambda: now)

    def happen(sequence: int, **more: Any) -> None:
        newest = recall.newest()
        before = wire.decode(newest.body) if newest else None
        one = {**report(sequence), **more}
        recall.add(Report(sequence, 0.0, wire.encode(one), (before, one) if before else None))

    def ask() -> None:
        asked = dict(part.split("=") for part in latest.query(1).removeprefix("?").split("&"))
        identity, count = map(int, asked["layout"].split("-"))
        body = since.moves(recall, int(asked.get("changes", -1)), 1, (identity, count))
        latest.take(body)
        history.record(A, latest, body, now)

    happen(1, gone={"x": 1})
    happen(2)
    ask()
    happen(3)
    ask()
    since.past(recall, 1, 1, by_numbers=True)
    ask()  # for nothing new: the agent's next report is not there yet
    for sequence in range(4, 8):
        happen(sequence, new={"y": sequence})
        ask()
    assert history.close(20.0)
    with Reader(tmp_path / "history.db") as reader:
        found = [document for _, document in reader.reports(A, 0, 1e12)]
        assert reader.damaged == 0
    assert [one["sequence"] for one in found] == [2, 3, 4, 5, 6, 7]
    assert found[-1] == {**report(7), "new": {"y": 7}}
