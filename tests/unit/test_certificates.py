"""Certificates that end soon."""

import time

import pytest

from monitoring_supervisor.certificates import DAY_SECONDS, Certificates

NOW = 1_795_000_000.0


def on(ends_at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(ends_at))


def test_a_certificate_that_ends_soon_is_told_a_month_a_week_and_a_day_before_and_not_in_between() -> None:
    certificates, ends_at = Certificates(), NOW + 100 * DAY_SECONDS
    told = [left for left in range(100, -2, -1) if certificates.look({"a:1": ends_at}, ends_at - left * DAY_SECONDS)]
    assert told == [30, 7, 1]


def test_the_line_says_whose_and_when_and_what_to_do() -> None:
    ends_at = NOW + 3 * DAY_SECONDS
    assert Certificates().look({"a:1": ends_at, "b:1": NOW + 99 * DAY_SECONDS}, NOW) == (
        f"the certificate of a:1 ends on {on(ends_at)}; make new ones with monitoringctl enroll"
    )


def test_many_that_end_together_are_one_line_with_the_earliest_first() -> None:
    ends = {f"{name}:1": NOW + days * DAY_SECONDS for name, days in zip("abcde", (9, 8, 3, 9, 9), strict=True)}
    line = Certificates().look(ends, NOW)
    assert line is not None
    assert line.startswith(f"the certificates of c:1, b:1, a:1 and 2 more end on {on(ends['c:1'])} or soon after;")


def test_a_new_certificate_is_told_anew_when_its_time_comes_and_one_that_is_gone_is_forgotten() -> None:
    certificates = Certificates()
    assert certificates.look({"a:1": NOW + DAY_SECONDS}, NOW)
    assert certificates.look({"a:1": NOW + 800 * DAY_SECONDS}, NOW) is None
    assert certificates.look({"a:1": NOW + 800 * DAY_SECONDS}, NOW + 790 * DAY_SECONDS)
    assert certificates.look({}, NOW) is None
    assert certificates.look({"a:1": NOW + DAY_SECONDS}, NOW)


@pytest.mark.parametrize("ends", [{}, {"a:1": NOW + 31 * DAY_SECONDS}])
def test_nothing_is_said_while_all_is_well(ends: dict[str, float]) -> None:
    assert Certificates().look(ends, NOW) is None
