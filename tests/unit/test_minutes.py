"""What a minute of reports comes to."""

import itertools
import random
import statistics
from typing import Any

import pytest

from monitoring_agent.shared.patch import difference
from monitoring_supervisor import minutes
from monitoring_supervisor.latest import Latest, Unusable


def report(sequence: int, **more: Any) -> dict[str, Any]:
    return {"schema": 1, "sequence": sequence, "collected_at": 5.5, "agent": {"started_at": 1.5}, **more}


def taken(*reports: dict[str, Any]) -> Latest:
    """One that took the first report whole, and what changed from each to the next."""
    latest = Latest()
    latest.take_document(reports[0], 100)
    for before, after in itertools.pairwise(reports):
        answer = {"schema": 1, "since": before["sequence"], "changes": [difference(before, after)]}
        latest.take_document(answer, 100)
    return latest


def test_least_mean_and_greatest_are_those_of_all_reports() -> None:
    chance = random.Random(1)
    values = [chance.choice([0, 1.5, 2, 7]) for _ in range(60)]
    latest = taken(*(report(number, load={"a": value}) for number, value in enumerate(values)))
    least, mean, greatest = latest.close_minute()["load.a"]  # type: ignore[misc]
    assert (least, greatest) == (min(values), max(values))
    assert mean == pytest.approx(statistics.fmean(values), rel=1e-5)


def test_each_minute_is_counted_by_itself() -> None:
    reports = [report(number, load={"a": value}) for number, value in enumerate([100, 1, 3, 3, 5])]
    latest = taken(*reports[:3])
    assert latest.close_minute() == {"load.a": [1, pytest.approx(104 / 3, rel=1e-5), 100]}
    for before, after in itertools.pairwise(reports[2:]):
        latest.take_document({"schema": 1, "since": before["sequence"], "changes": [difference(before, after)]}, 100)
    assert latest.close_minute() == {"load.a": [3, 4.0, 5]}
    assert latest.close_minute() == {}


def test_what_did_not_move_and_what_only_counts_is_one_value() -> None:
    reports = [report(number, cpu={"count": 2, "user_seconds_total": 10.5 + number}) for number in range(5)]
    assert taken(*reports).close_minute() == {"cpu.count": 2, "cpu.user_seconds_total": 14.5}


def test_what_came_within_the_minute_counts_from_then_on() -> None:
    latest = taken(report(1), report(2, disks={"sda": {"x": 4}}), report(3, disks={"sda": {"x": 8}}))
    assert latest.close_minute() == {"disks.sda.x": [4, 6.0, 8]}


def test_what_is_gone_at_the_end_of_the_minute_is_left_out() -> None:
    latest = taken(report(1, disks={"sda": {"x": 4}}), report(2, disks={"sda": {"x": 5}}), report(3, disks={}))
    assert latest.close_minute() == {}


@pytest.mark.parametrize("between", ["text", {"inner": 1}, [1], None])
def test_a_number_that_was_something_else_for_a_while_starts_anew(between: Any) -> None:
    latest = taken(report(1, a={"x": 1}), report(2, a={"x": between}), report(3, a={"x": 5}), report(4, a={"x": 7}))
    assert latest.close_minute() == {"a.x": [5, 6.0, 7]}


def test_a_whole_report_within_the_minute_counts_like_any_other() -> None:
    latest = taken(report(1, a={"x": 1}), report(2, a={"x": 2}))
    latest.take_document({"schema": 1, "report": report(9, a={"x": 6}), "changes": []}, 100)
    assert latest.close_minute() == {"a.x": [1, 3.0, 6]}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 10**400, [[1e301]], [{"deep": float("inf")}]])
def test_a_number_that_is_no_measurement_is_refused(value: Any) -> None:
    values: list[Any] = [1]
    with pytest.raises(minutes.TooLarge):
        minutes.merge(values, b"\1", minutes.Cells(1), [0], [value], 0)
    assert values == [1]


def test_reports_that_are_refused_for_one_number_do_not_count() -> None:
    latest = taken(report(1, a={}), report(2, a={"x": 1}))
    for sequence, new in ((3, 5), (4, 9)):
        answer = {"schema": 1, "report": report(sequence, a={"x": 1, "new": new, "too_large": 1e301}), "changes": []}
        with pytest.raises(Unusable):
            latest.take_document(answer, 100)
    assert latest.close_minute() == {"a.x": 1}


def test_ten_thousand_new_numbers_in_each_report_of_a_minute_are_not_all_counted() -> None:
    latest = Latest()
    latest.take_document(report(0), 0)
    for number in range(1, 6):
        more = {f"{number} {key}": key for key in range(10_000)}
        latest.take_document(report(number, more=more), 0)
    assert len(latest._held._cells.least) < 5 * minutes.MAX_POINTS
    assert len(latest.close_minute()) == 10_000
    latest.take_document(report(6, more={str(key): key for key in range(30_000)}), 0)
    assert len(latest.close_minute()) == minutes.MAX_POINTS


def test_names_that_would_make_long_paths_of_a_short_report_have_no_course() -> None:
    long = "x" * minutes.MAX_PATH_LETTERS
    known = report(0, **{long: {"a": 1}}, load={"a": 1, long: 1, "b": {long: {"c": 1}}, "d": 2})
    assert taken(known).close_minute() == {"load.a": 1, "load.d": 2}
