"""Probes that hang keep one thread, and everything else goes on."""

import threading
import time
from collections.abc import Iterator

import pytest

from monitoring_agent.collectors.probes import Answered, Hung, Prober


class Mounts:
    """Stands for a kernel in which some mounts do not answer until they are let go."""

    def __init__(self) -> None:
        self.dead: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def probe(self, name: str) -> str:
        self.asked.append(name)
        if name in self.dead:
            self.dead[name].wait(30)
        if name == "broken":
            raise OSError("broken")
        return name.upper()


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    mounts = Mounts()
    yield mounts
    for event in mounts.dead.values():
        event.set()


def hung(outcome: Answered | Hung) -> float:
    assert isinstance(outcome, Hung)
    return outcome.seconds


def test_every_name_gets_its_answer_or_its_error(mounts: Mounts) -> None:
    outcomes = Prober(mounts.probe, 1.0).ask(["a", "broken", "b"])
    assert {name: outcome.value for name, outcome in outcomes.items() if isinstance(outcome, Answered)} == {
        "a": "A", "broken": None, "b": "B"
    }  # fmt: skip
    broken = outcomes["broken"]
    assert isinstance(broken, Answered)
    assert isinstance(broken.error, OSError)


def test_one_that_hangs_is_reported_and_the_others_are_answered(mounts: Mounts) -> None:
    mounts.dead["nfs"] = threading.Event()
    outcomes = Prober(mounts.probe, 0.05).ask(["a", "nfs", "b"])
    assert hung(outcomes["nfs"]) >= 0.05
    assert isinstance(outcomes["a"], Answered)
    assert isinstance(outcomes["b"], Answered)


def test_one_that_hangs_gets_no_second_probe_and_its_time_grows(mounts: Mounts) -> None:
    mounts.dead["nfs"] = threading.Event()
    prober = Prober(mounts.probe, 0.02)
    before = threading.active_count()
    first = hung(prober.ask(["nfs", "a"])["nfs"])
    for _ in range(20):
        last = prober.ask(["nfs", "a"])["nfs"]
    assert mounts.asked.count("nfs") == 1
    assert hung(last) > first
    assert threading.active_count() <= before + 1


def test_one_that_hung_recovers_alone(mounts: Mounts) -> None:
    mounts.dead["nfs"] = threading.Event()
    prober = Prober(mounts.probe, 0.02)
    prober.ask(["nfs"])
    mounts.dead.pop("nfs").set()
    deadline = time.monotonic() + 5
    while isinstance(prober.ask(["nfs"])["nfs"], Hung):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_two_that_hang_cost_one_deadline_each_and_once(mounts: Mounts) -> None:
    mounts.dead |= {"x": threading.Event(), "y": threading.Event()}
    prober = Prober(mounts.probe, 0.5)
    prober.ask(["x", "y", "a"])
    started = time.monotonic()
    outcomes = prober.ask(["x", "y", "a"])
    assert time.monotonic() - started < 0.5
    assert isinstance(outcomes["a"], Answered)


def test_no_thread_is_left_when_all_have_answered(mounts: Mounts) -> None:
    before = threading.active_count()
    Prober(mounts.probe, 1.0).ask(["a", "b", "c"])
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.005)
