"""What the journal tells."""

import re
from dataclasses import replace

import pytest

from monitoring_agent.shared.patch import Document
from monitoring_supervisor.model import Failure, Kind, Move, Reason, Standing, State, Target
from monitoring_supervisor.spoken import duration, natural
from monitoring_supervisor.words import announcement

TARGET = Target("web-1:5000", "web-1", 5000)
UP = Standing(State.UP, 1000.0)
FAILURE = Failure(Kind.REFUSED, "connection refused, nothing listens at the port")
DOWN = Standing(State.DOWN, 1005.0, failures=3, failure=FAILURE, failing_since=1003.0)
HUGE = {
    "load": {"load_1m": 10**400},
    "memory": {"used_percent": float("inf")},
    "filesystems": {"/": {"used_percent": True}},
}
REPORT = {
    "load": {"load_1m": 1.25},
    "memory": {"used_percent": 43.2},
    "filesystems": {"/": {"used_percent": 71.4}, "/srv": {"used_percent": 93.0}, "/nfs": {"state": "hung"}},
}


def said(before: Standing, after: Standing, reason: Reason, report: Document | None = None) -> str:
    line = announcement(Move(TARGET, before, after, reason, 1065.0, report))
    assert line is not None
    return line


def test_an_agent_that_goes_down_is_told_with_the_failure_and_its_last_state() -> None:
    line = said(UP, DOWN, Reason.WENT_DOWN, REPORT)
    assert re.fullmatch(
        r"web-1:5000 is down: connection refused, nothing listens at the port \(3 checks in a row since"
        r" \d\d:\d\d:\d\d\); blacklisted, health checks only; last seen with load 1\.25, memory 43 %, disk /srv 93 %",
        line,
    )


@pytest.mark.parametrize("report", [None, {}, {"load": [1], "memory": 3, "filesystems": {"/": "x"}}, HUGE])
def test_an_agent_whose_report_says_nothing_known_is_told_all_the_same(report: Document | None) -> None:
    assert said(UP, DOWN, Reason.WENT_DOWN, report).endswith("blacklisted, health checks only")


def test_a_name_from_the_agent_cannot_fill_the_journal() -> None:
    report = {"filesystems": {"/\n<0>" + "x" * 100_000: {"used_percent": 5}}}
    line = said(UP, DOWN, Reason.WENT_DOWN, report)
    assert len(line) < 400
    assert "\n" not in line


def test_an_agent_that_was_never_seen_is_not_one_that_went_away() -> None:
    line = said(replace(UP, state=State.NEW), replace(DOWN, since=None), Reason.NEVER_ANSWERED)
    assert line == (
        "web-1:5000 is down: it has not answered since it is watched"
        " (connection refused, nothing listens at the port); blacklisted, health checks only"
    )


def test_an_agent_that_comes_back_is_told_with_the_time_it_was_gone() -> None:
    line = said(DOWN, replace(UP, since=1065.0), Reason.CAME_BACK)
    assert line == "web-1:5000 is up: it answers again after 1 min; whitelisted, metrics are collected"


@pytest.mark.parametrize("reason", [Reason.NOTHING, Reason.FAILED_ONCE, Reason.RECOVERED])
def test_nothing_is_said_of_what_changes_no_list(reason: Reason) -> None:
    assert announcement(Move(TARGET, UP, UP, reason, 1.0)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90061, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_are_sorted_as_people_count_whatever_digits_they_have() -> None:
    names = ["10.0.0.10", "10.0.0.9", "9" * 40, "\u0663" * 5000, "", "\ud800"]
    assert sorted(names, key=natural)[:3] == ["", "10.0.0.9", "10.0.0.10"]
