"""Rates between two samples."""

from typing import Any

import pytest

from monitoring_agent.rates import with_rates, with_shares


def test_a_counter_gets_a_rate_over_the_measured_seconds() -> None:
    assert with_rates({"reads_total": 10}, {"reads_total": 40}, 2.0) == {"reads_total": 40, "reads_per_second": 15.0}


def test_a_counter_of_seconds_gets_its_share_of_the_time() -> None:
    rates = with_rates({"busy_seconds_total": 1.0}, {"busy_seconds_total": 1.5}, 2.0)
    assert rates == {"busy_seconds_total": 1.5, "busy_percent": 25.0}


@pytest.mark.parametrize(
    ("previous", "seconds"),
    [({"x_total": 50}, 1.0), ({}, 1.0), ({"x_total": 1}, 0.0), ({"x_total": "1"}, 1.0), ({"x_total": 1}, -1.0)],
)
def test_a_counter_that_fell_or_has_no_predecessor_or_no_time_has_no_rate(
    previous: dict[str, Any], seconds: float
) -> None:
    assert with_rates(previous, {"x_total": 40}, seconds) == {"x_total": 40}


def test_a_device_that_is_new_has_no_rates_and_one_that_vanished_is_gone() -> None:
    rates = with_rates({"sda": {"reads_total": 1}}, {"sdb": {"reads_total": 5}}, 1.0)
    assert rates == {"sdb": {"reads_total": 5}}


def test_values_that_are_not_counters_stay_as_they_are() -> None:
    assert with_rates({"load_1m": 1.0}, {"load_1m": 2.0}, 1.0) == {"load_1m": 2.0}


def test_shares_of_all_the_time_add_up_to_a_hundred() -> None:
    shares = with_shares(
        {"user_seconds_total": 1.0, "idle_seconds_total": 9.0}, {"user_seconds_total": 1.25, "idle_seconds_total": 9.76}
    )
    assert shares["user_percent"] + shares["idle_percent"] == pytest.approx(100, abs=0.01)
    assert shares["user_percent"] == pytest.approx(24.75, abs=0.01)


def test_no_share_without_time() -> None:
    same = {"user_seconds_total": 1.0}
    assert with_shares(same, same) == same


def test_a_mode_that_fell_has_no_share_and_spoils_no_other() -> None:
    shares = with_shares(
        {"user_seconds_total": 1.0, "idle_seconds_total": 9.0}, {"user_seconds_total": 2.0, "idle_seconds_total": 8.0}
    )
    assert shares == {"user_seconds_total": 2.0, "user_percent": 100.0, "idle_seconds_total": 8.0}
