"""When to ask what."""

import statistics

import pytest

from monitoring_supervisor.schedule import Schedule


def times(schedule: Schedule[str], start: float, end: float, step: float = 0.01) -> dict[str, list[float]]:
    """When each key was due while the time passes."""
    due_by_key: dict[str, list[float]] = {}
    now = start
    while now < end:
        for key, due, _ in schedule.pop_due(now):
            due_by_key.setdefault(key, []).append(due)
        now += step
    return due_by_key


def test_a_key_is_due_once_an_interval_at_a_fixed_offset() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.set("a", "a", 1.0, 1000.0)
    due = times(schedule, 1000.0, 1010.0)["a"]
    assert len(due) == 10
    assert {round(moment % 1.0, 6) for moment in due} == {round(due[0] % 1.0, 6)}


def test_the_offset_is_the_same_after_a_restart() -> None:
    offsets = []
    for start in (1000.0, 5000.7):
        schedule: Schedule[str] = Schedule()
        schedule.set("a", "10.0.0.1:5000", 3.0, start)
        offsets.append(times(schedule, start, start + 9)["a"][-1] % 3.0)
    assert offsets[0] == pytest.approx(offsets[1])


def test_many_keys_are_spread_over_the_interval() -> None:
    schedule: Schedule[str] = Schedule()
    for number in range(1000):
        schedule.set(str(number), f"10.0.0.{number}:5000", 1.0, 0.0)
    tenths = [0] * 10
    for due in times(schedule, 0.0, 1.0).values():
        tenths[int(due[0] * 10)] += 1
    assert min(tenths) > 50
    assert statistics.pstdev(tenths) < 20


def test_slots_that_were_slept_through_are_counted_and_not_made_up_for() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.set("a", "a", 1.0, 0.0)
    first = schedule.next_due()
    assert first is not None
    ((key, due, missed),) = schedule.pop_due(first + 5.5)
    assert (key, missed) == ("a", 5)
    assert due == pytest.approx(first + 5)
    assert schedule.pop_due(first + 5.9) == []
    assert schedule.next_due() == pytest.approx(first + 6)


def test_the_same_interval_again_changes_nothing_and_another_one_moves_the_slots() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.set("a", "a", 3.0, 0.0)
    before = schedule.next_due()
    schedule.set("a", "a", 3.0, 1.0)
    assert schedule.next_due() == before
    schedule.set("a", "a", 1.0, 1.0)
    due = schedule.next_due()
    assert due is not None
    assert 1.0 < due <= 2.0
    assert len(times(schedule, 1.0, 11.0)["a"]) == 10


def test_a_key_that_is_removed_is_not_due_any_more() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.set("a", "a", 1.0, 0.0)
    schedule.set("b", "b", 1.0, 0.0)
    schedule.remove("a")
    schedule.remove("never there")
    assert set(times(schedule, 0.0, 3.0)) == {"b"}
    schedule.remove("b")
    assert schedule.next_due() is None
    assert schedule.pop_due(100.0) == []


def test_a_key_that_comes_back_is_due_once_an_interval() -> None:
    schedule: Schedule[str] = Schedule()
    for _ in range(5):
        schedule.set("a", "a", 1.0, 0.0)
        schedule.remove("a")
    schedule.set("a", "a", 1.0, 0.0)
    assert len(times(schedule, 0.0, 10.0)["a"]) == 10


def test_what_is_new_is_asked_within_two_seconds_whatever_its_interval() -> None:
    schedule: Schedule[str] = Schedule()
    for number in range(100):
        schedule.set(str(number), f"10.0.0.{number}:5000", 86400.0, 1000.0)
    due = times(schedule, 1000.0, 1003.0)
    assert len(due) == 100
    assert max(moments[0] for moments in due.values()) <= 1002.0


def test_from_now_means_one_interval_from_now() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.set("a", "a", 1.0, 1000.3)
    schedule.set("a", "a", 1.0, 1000.3, from_now=True)
    assert times(schedule, 1000.3, 1003.5)["a"] == pytest.approx([1001.3, 1002.3, 1003.3])
    schedule.set("a", "a", 1.0, 1003.5, from_now=True)
    assert schedule.next_due() == pytest.approx(1004.3)
