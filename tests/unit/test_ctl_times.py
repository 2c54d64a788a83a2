"""Times as people write them, and the courses that are drawn of numbers."""

from datetime import datetime

import pytest

from monitoring_supervisor.ctl import curve, times

NOW = datetime(2026, 11, 24, 9, 30, 15).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("5min", 300), ("1h", 3600), ("2h30m", 9000), ("1.5h", 5400), ("7d", 7 * 86400)],
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert times.parse_length(text) == seconds
    assert times.parse_moment(text, NOW) == NOW - seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", datetime(2026, 11, 24, 9, 30, 15)),
        ("today", datetime(2026, 11, 24)),
        ("yesterday", datetime(2026, 11, 23)),
        ("8:15", datetime(2026, 11, 24, 8, 15)),
        ("08:15:30", datetime(2026, 11, 24, 8, 15, 30)),
        ("8:15:30", datetime(2026, 11, 24, 8, 15, 30)),
        ("2026-11-20", datetime(2026, 11, 20)),
        ("2026-11-20 08:15", datetime(2026, 11, 20, 8, 15)),
        ("2026-11-20T08:15:30", datetime(2026, 11, 20, 8, 15, 30)),
    ],
)
def test_a_moment_is_read_in_local_time(text: str, moment: datetime) -> None:
    assert times.parse_moment(text, NOW) == moment.timestamp()


def test_a_moment_with_a_zone_and_one_in_unix_seconds_are_what_they_say() -> None:
    assert times.parse_moment("2026-11-20T08:15:30+00:00", NOW) == 1795162530
    assert times.parse_moment("@1795162530.5", NOW) == 1795162530.5


@pytest.mark.parametrize("text", ["", "soon", "1x", "-1h", "25:00", "08:60", "2026-13-01", "1e9", "@", "h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    assert times.parse_moment(text, NOW) is None
    assert times.parse_length(text) is None


def test_a_step_that_nobody_chose_is_a_round_one_and_long_enough() -> None:
    assert [times.round_step(seconds) for seconds in (0.5, 1, 7, 61, 3601, 100_000)] == [1, 1, 10, 120, 7200, 172_800]


def test_points_are_put_together_with_their_extremes_and_counters_by_their_last() -> None:
    assert curve.put_together([1.0, [0.5, 2.0, 9.0], 3.0]) == [0.5, 2.0, 9.0]
    assert curve.put_together([2.0, 2.0]) == 2.0
    assert curve.put_together([10, 20, 30], counter=True) == 30
    assert curve.grouped([(61.0, 1.0), (119.0, 3.0), (180.0, 5.0)], 60) == [(60.0, [1.0, 2.0, 3.0]), (180.0, 5.0)]


def test_a_sparkline_goes_from_the_least_to_the_greatest_and_has_dots_where_nothing_is() -> None:
    series: curve.Series = [(0.0, 1.0), (10.0, 2.0), (30.0, 8.0), (39.0, [1.0, 3.0, 8.0])]
    assert curve.sparkline(series, 0.0, 50.0, 5) == "▁▂·█·"
    assert curve.sparkline([(0.0, 5.0), (10.0, 5.0)], 0.0, 20.0, 2) == "▁▁"
    assert curve.sparkline([], 0.0, 20.0, 2) == ""
