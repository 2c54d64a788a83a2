"""Who changes all the time is not told of each time."""

import pytest

from monitoring_supervisor.calm import MAX_LINES, WINDOW_SECONDS, Calm
from monitoring_supervisor.model import Move, Reason, Standing, State, Target

UP = Standing(State.UP, 1.0)


def move(reason: Reason, at: float, name: str = "web-1:5000") -> Move:
    return Move(Target(name, "web-1", 5000), UP, UP, reason, at)


def flapping(calm: Calm, since: float, times: int) -> list[str]:
    """What is said of so many seconds in which the metrics can be used, and then not."""
    reasons = (Reason.METRICS_UNUSABLE, Reason.METRICS_USABLE)
    lines = [calm.calmed(move(reasons[number % 2], since + number), f"line {number}") for number in range(times)]
    return [line for line in lines if line is not None]


def test_metrics_that_come_and_go_each_second_are_told_ten_times_in_ten_minutes() -> None:
    calm = Calm()
    lines = flapping(calm, 1000.0, 500)
    assert len(lines) == MAX_LINES
    assert lines[0] == "line 0"
    assert lines[-1] == "line 9; this comes and goes, and is not told each time"
    assert len(flapping(calm, 1000.0 + WINDOW_SECONDS, 1)) == 1
    assert calm.calmed(move(Reason.METRICS_UNUSABLE, 1100.0, "web-2:5000"), "other") == "other"


@pytest.mark.parametrize("reason", [Reason.WENT_DOWN, Reason.CAME_BACK, Reason.FIRST_ANSWER])
def test_who_is_down_or_up_again_is_always_told(reason: Reason) -> None:
    calm = Calm()
    flapping(calm, 1000.0, 500)
    assert all(calm.calmed(move(reason, 1500.0 + number), "line") == "line" for number in range(50))


def test_who_is_watched_again_is_told_of_again() -> None:
    calm = Calm()
    flapping(calm, 1000.0, 500)
    calm.keep(set())
    assert flapping(calm, 1500.0, 1) == ["line 0"]
