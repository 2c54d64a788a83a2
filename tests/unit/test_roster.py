"""White and black: how an agent is judged."""

from dataclasses import replace

import pytest

from monitoring_supervisor.model import (
    REACHED,
    Failure,
    Kind,
    Listing,
    Policy,
    Question,
    Reason,
    Rhythm,
    Standing,
    State,
)
from monitoring_supervisor.roster import judge, rhythm

POLICY = Policy(blacklist_after=3, whitelist_after=2)
REFUSED = Failure(Kind.REFUSED, "connection refused")
TIMEOUT = Failure(Kind.TIMEOUT_ANSWER, "no answer")
NONSENSE = Failure(Kind.NOT_A_REPORT, "not JSON")
NEW = Standing(State.NEW, 100.0)
UP = Standing(State.UP, 100.0)

HEALTH, METRICS = Question.HEALTH, Question.METRICS

Attempt = tuple[Question, Failure | None]


def after(standing: Standing, *attempts: Attempt) -> tuple[Standing, list[Reason]]:
    """The standing after these attempts, a second apart from 200 on, and the reason of each judgement."""
    reasons = []
    for number, (question, failure) in enumerate(attempts):
        standing, reason = judge(standing, question, failure, POLICY, 200.0 + number)
        reasons.append(reason)
    return standing, reasons


@pytest.mark.parametrize("question", Question)
def test_the_first_answer_makes_a_new_agent_up(question: Question) -> None:
    assert after(NEW, (question, None)) == (Standing(State.UP, 200.0), [Reason.FIRST_ANSWER])


def test_an_answer_of_an_agent_that_is_up_changes_nothing() -> None:
    standing, reason = judge(UP, METRICS, None, POLICY, 200.0)
    assert standing is UP
    assert reason is Reason.NOTHING


def test_an_agent_that_never_answered_is_down_without_a_time_since_when() -> None:
    standing, reasons = after(NEW, (HEALTH, REFUSED), (METRICS, REFUSED), (METRICS, REFUSED))
    assert reasons[-1] is Reason.NEVER_ANSWERED
    assert (standing.state, standing.since, standing.failure) == (State.DOWN, None, REFUSED)
    assert standing.listing is Listing.BLACK


def test_one_failure_makes_it_suspect_and_it_stays_on_the_whitelist() -> None:
    standing, reasons = after(UP, (METRICS, REFUSED))
    assert (standing.state, standing.since, standing.listing) == (State.SUSPECT, 200.0, Listing.WHITE)
    assert reasons == [Reason.FAILED_ONCE]


def test_one_good_check_makes_a_suspect_up_again() -> None:
    standing, reasons = after(UP, (METRICS, REFUSED), (METRICS, REFUSED), (HEALTH, None))
    assert (standing, reasons[-1]) == (Standing(State.UP, 202.0), Reason.RECOVERED)


def test_failures_in_a_row_blacklist_it_and_the_failure_says_since_when() -> None:
    standing, reasons = after(UP, (METRICS, REFUSED), (HEALTH, REFUSED), (HEALTH, REFUSED))
    assert reasons == [Reason.FAILED_ONCE, Reason.NOTHING, Reason.WENT_DOWN]
    assert (standing.state, standing.since, standing.failing_since) == (State.DOWN, 202.0, 200.0)
    assert standing.listing is Listing.BLACK


def test_failures_with_an_answer_between_them_do_not_blacklist() -> None:
    standing, _ = after(UP, *[(METRICS, REFUSED), (HEALTH, REFUSED), (HEALTH, None)] * 10)
    assert standing.state is State.UP


def test_good_checks_in_a_row_whitelist_it_again() -> None:
    down = replace(UP, state=State.DOWN, failure=REFUSED, failing_since=150.0)
    standing, reasons = after(down, (HEALTH, None), (HEALTH, REFUSED), (HEALTH, None), (HEALTH, None))
    assert reasons == [Reason.NOTHING, Reason.NOTHING, Reason.NOTHING, Reason.CAME_BACK]
    assert standing == Standing(State.UP, 203.0)


def test_an_agent_that_is_down_is_not_announced_again_and_keeps_the_time_since_when() -> None:
    down = replace(UP, state=State.DOWN, failure=REFUSED, failing_since=150.0)
    standing, reasons = after(down, *[(HEALTH, REFUSED)] * 50)
    assert set(reasons) == {Reason.NOTHING}
    assert (standing.since, standing.failing_since) == (100.0, 150.0)


def test_an_agent_that_is_down_for_another_reason_shows_the_newest() -> None:
    down = replace(UP, state=State.DOWN, failure=REFUSED, failing_since=150.0)
    standing, _ = after(down, (HEALTH, TIMEOUT))
    assert (standing.failure, standing.failing_since) == (TIMEOUT, 200.0)


@pytest.mark.parametrize("kind", sorted(REACHED))
def test_metrics_that_cannot_be_used_leave_a_healthy_agent_on_the_whitelist_without_flapping(kind: Kind) -> None:
    bad = Failure(kind, "whatever")
    standing, reasons = after(UP, *[(METRICS, bad), (METRICS, bad), (HEALTH, None)] * 20)
    assert (standing.state, standing.listing) == (State.SUSPECT, Listing.WHITE)
    assert reasons.count(Reason.METRICS_UNUSABLE) == 1
    assert Reason.RECOVERED not in reasons


def test_metrics_that_can_be_used_again_are_announced_once() -> None:
    standing, reasons = after(UP, *[(METRICS, NONSENSE)] * 5, (METRICS, None), (METRICS, None))
    assert standing.state is State.UP
    assert reasons[-2:] == [Reason.METRICS_USABLE, Reason.NOTHING]


def test_one_bad_report_is_not_announced() -> None:
    _, reasons = after(UP, (METRICS, NONSENSE), (METRICS, None))
    assert reasons == [Reason.FAILED_ONCE, Reason.RECOVERED]


def test_a_failing_health_check_blacklists_although_something_answers() -> None:
    standing, reasons = after(UP, *[(HEALTH, NONSENSE)] * 3)
    assert (standing.state, reasons[-1]) == (State.DOWN, Reason.WENT_DOWN)


def test_bad_reports_do_not_count_towards_a_connection_that_fails_later() -> None:
    standing, reasons = after(UP, *[(METRICS, NONSENSE)] * 10, (METRICS, REFUSED))
    assert (standing.state, standing.failures) == (State.SUSPECT, 1)
    assert reasons[-1] is Reason.FAILED_ONCE


def test_a_new_agent_whose_metrics_are_nonsense_was_seen() -> None:
    standing, _ = after(NEW, *[(METRICS, NONSENSE)] * 3)
    assert (standing.state, standing.listing) == (State.SUSPECT, Listing.WHITE)


def test_the_policy_decides_how_many_checks() -> None:
    standing, reason = judge(UP, HEALTH, REFUSED, Policy(1, 1), 200.0)
    assert reason is Reason.WENT_DOWN
    assert judge(standing, HEALTH, None, Policy(1, 1), 201.0)[1] is Reason.CAME_BACK


def test_an_agent_in_good_standing_is_asked_both_questions() -> None:
    for standing in (NEW, UP):
        assert rhythm(standing, 3.0, 1.0) == Rhythm(3.0, 1.0)


def test_a_suspect_whose_metrics_fail_is_still_asked_for_them() -> None:
    suspect = replace(UP, state=State.SUSPECT, metrics_only=True)
    assert rhythm(suspect, 3.0, 5.0) == Rhythm(1.0, 5.0, recheck=True)


def test_a_suspect_is_checked_once_a_second_and_nothing_else() -> None:
    suspect = replace(UP, state=State.SUSPECT)
    assert rhythm(suspect, 30.0, 10.0) == Rhythm(1.0, None, recheck=True)
    assert rhythm(suspect, 0.5, 0.1) == Rhythm(0.5, None, recheck=True)


def test_one_that_is_down_has_health_checks_only() -> None:
    assert rhythm(replace(UP, state=State.DOWN), 3.0, 1.0) == Rhythm(3.0, None)


def test_an_agent_that_hangs_is_down_by_its_health_checks() -> None:
    standing, _ = after(UP, (METRICS, TIMEOUT), (HEALTH, TIMEOUT), (HEALTH, TIMEOUT), (HEALTH, TIMEOUT))
    assert (standing.state, standing.failure) == (State.DOWN, TIMEOUT)
