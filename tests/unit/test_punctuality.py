"""Lateness and missed polls from the times of requests alone."""

import random

import pytest

from tests.fleet.punctuality import of_agent, percentile

ON_TIME = [0.3 + number for number in range(10)]


def test_an_asker_on_time_is_neither_late_nor_missing() -> None:
    judged = of_agent(ON_TIME, 1.0, 0.0, 10.0)
    assert judged.missed == 0
    assert max(judged.lateness) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("number", [0, 4, 9])
def test_one_late_request_is_late_and_nothing_else(number: int) -> None:
    times = list(ON_TIME)
    times[number] += 0.6
    judged = of_agent(times, 1.0, 0.0, 10.0)
    assert judged.missed == 0
    assert sorted(judged.lateness)[-2:] == pytest.approx([0.0, 0.6])


def test_slots_without_a_request_are_missed_inside_and_at_both_ends() -> None:
    assert of_agent([time for time in ON_TIME if int(time) not in {3, 7}], 1.0, 0.0, 10.0).missed == 2
    assert of_agent(ON_TIME[2:8], 1.0, 0.0, 10.0).missed == 4
    assert of_agent([], 1.0, 0.0, 10.0).missed == 10


def test_two_requests_at_once_do_not_make_up_for_a_missed_one() -> None:
    assert of_agent([0.3, 1.3, 3.29, 3.3, 4.3], 1.0, 0.0, 5.0).missed == 1


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.25, 0.49, 0.5, 0.51, 0.75, 0.99])
def test_it_does_not_matter_where_in_the_interval_the_slots_lie(phase: float) -> None:
    chance = random.Random(2)
    times = [1000 + phase + number + chance.random() * 0.02 for number in range(50)]
    judged = of_agent(times, 1.0, 1000.0, 1050.0)
    assert judged.missed == 0
    assert max(judged.lateness) <= 0.02


def test_percentiles_are_values_that_were_there() -> None:
    assert percentile([4, 1, 3, 2], 50) == 2
    assert percentile(range(1, 101), 99) == 99
    assert percentile([], 50) is None
