"""The sampler, on a clock of the test's own."""

import copy
import math
import random
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.collectors.registry import Collector, collectors
from monitoring_agent.host import Host
from monitoring_agent.rates import Sample
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire
from tests.integration.daemons import wait_for

HOST = Host(str(Path(__file__).parents[1] / "trees" / "vm"))


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Counter:
    """A collector of the test's own, which can be told to fail."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def collect(self, _host: Host) -> Sample:
        if self.error:
            raise self.error
        self.count += 10
        return {"runs_total": self.count}


def newest(sampler: Sampler) -> dict[str, Any]:
    report = sampler.recall.newest()
    assert report is not None
    return wire.decode(report.body)


def make(clock: Clock, *made: Collector) -> Sampler:
    return Sampler(made, HOST, clock=clock, wall_clock=lambda: 1_794_900_000.0 + clock.seconds)


def test_a_report_has_every_collector_and_what_became_of_it() -> None:
    sampler = Sampler([one for one in collectors() if one.name != "packages"], HOST)
    sampler.tick()
    deadline = time.monotonic() + 30
    blocking = {one.name for one in sampler.collectors if one.may_block}
    while not blocking <= set(newest(sampler)["collectors"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
        sampler.tick()
    report = newest(sampler)
    names = {one.name for one in sampler.collectors}
    assert set(report) == {"schema", "sequence", "collected_at", "agent", "collectors"} | names
    assert set(report["collectors"]) == names
    assert all(health["ok"] for health in report["collectors"].values())
    assert report["schema"] == 1


def test_what_is_hard_work_begins_some_time_after_the_agent() -> None:
    clock = Clock()
    late = Collector("late", 60, Counter().collect, delay_seconds=10)
    sampler = make(clock, Collector("counter", 1, Counter().collect), late)
    for seconds, there in ((0, False), (9, False), (1, True), (10, True)):
        clock.seconds += seconds
        sampler.tick()
        assert ("late" in newest(sampler)) == there
    assert newest(sampler)["late"] == {"runs_total": 10}


def test_rates_are_over_the_time_between_the_samples_and_not_over_the_period() -> None:
    clock = Clock()
    sampler = make(clock, Collector("counter", 1, Counter().collect))
    sampler.tick()
    assert "runs_per_second" not in newest(sampler)["counter"]
    clock.seconds += 4
    sampler.tick()
    assert newest(sampler)["counter"] == {"runs_total": 20, "runs_per_second": 2.5}


def test_the_sequence_rises_by_one() -> None:
    sampler = make(Clock())
    for expected in (1, 2, 3):
        sampler.tick()
        assert newest(sampler)["sequence"] == expected


def test_a_collector_runs_in_its_own_period_and_its_age_is_told() -> None:
    clock = Clock()
    slow, once = Counter(), Counter()
    sampler = make(clock, Collector("slow", 15, slow.collect), Collector("once", float("inf"), once.collect))
    for _ in range(30):
        sampler.tick()
        clock.seconds += 1
    assert (slow.count, once.count) == (20, 10)
    assert newest(sampler)["collectors"]["slow"]["age_seconds"] == 15.0


def test_a_beat_that_comes_a_little_early_does_not_skip_a_collector() -> None:
    clock = Clock()
    counter = Counter()
    sampler = make(clock, Collector("counter", 1, counter.collect))
    for _ in range(10):
        sampler.tick()
        clock.seconds += 0.999
    assert counter.count == 100


def test_a_broken_collector_is_data_and_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    broken, fine = Counter(), Counter()
    broken.error = ValueError("no such column")
    sampler = make(clock, Collector("broken", 1, broken.collect), Collector("fine", 1, fine.collect))
    for _ in range(5):
        sampler.tick()
        clock.seconds += 1
    report = newest(sampler)
    assert "broken" not in report
    assert report["fine"]["runs_total"] == 50
    assert report["collectors"]["broken"]["ok"] is False
    assert report["collectors"]["broken"]["error"] == "ValueError: no such column"
    assert [record.getMessage() for record in caplog.records] == ["collector broken failed: ValueError: no such column"]


def test_a_sample_that_is_too_large_for_a_report_is_left_out_and_says_so() -> None:
    large = {str(number): "x" * 100 for number in range(20_000)}
    fine = Counter()
    sampler = make(Clock(), Collector("large", 1, lambda _host: large), Collector("fine", 1, fine.collect))
    sampler.tick()
    report = newest(sampler)
    assert "large" not in report
    assert report["collectors"]["large"]["error"] == "its sample is too large for a report"
    assert report["fine"] == {"runs_total": 10}


def test_what_runs_once_is_tried_again_until_it_works() -> None:
    clock = Clock()
    once = Counter()
    once.error = OSError("not yet")
    sampler = make(clock, Collector("once", float("inf"), once.collect))
    sampler.tick()
    once.error = None
    for _ in range(200):
        clock.seconds += 1
        sampler.tick()
    assert newest(sampler)["once"] == {"runs_total": 10}


def test_after_a_failure_the_rate_is_over_the_whole_time_since_the_last_good_sample() -> None:
    clock = Clock()
    counter = Counter()
    sampler = make(clock, Collector("counter", 1, counter.collect))
    sampler.tick()
    counter.error = OSError("gone")
    clock.seconds += 1
    sampler.tick()
    counter.error = None
    clock.seconds += 1
    sampler.tick()
    assert newest(sampler)["counter"] == {"runs_total": 20, "runs_per_second": 5.0}


def test_a_collector_that_blocks_holds_nobody_up_and_runs_once() -> None:
    clock = Clock()
    release = threading.Event()
    started: list[int] = []

    def block(_host: Host) -> Sample:
        started.append(1)
        release.wait(30)
        return {"value": 1}

    fine = Counter()
    sampler = make(clock, Collector("stuck", 1, block, may_block=True), Collector("fine", 1, fine.collect))
    for _ in range(20):
        sampler.tick()
        clock.seconds += 1
    assert len(started) == 1
    assert fine.count == 200
    assert "stuck" not in newest(sampler)
    release.set()
    deadline = time.monotonic() + 5
    while "stuck" not in newest(sampler):
        assert time.monotonic() < deadline
        time.sleep(0.01)
        sampler.tick()


def test_a_clock_that_stands_still_or_wall_time_that_jumps_gives_no_wrong_rate() -> None:
    clock = Clock()
    wall = [1_794_900_000.0]
    sampler = Sampler([Collector("counter", 0, Counter().collect)], HOST, clock=clock, wall_clock=lambda: wall[0])
    sampler.tick()
    wall[0] -= 86400
    sampler.tick()
    assert newest(sampler)["counter"] == {"runs_total": 20}


def test_the_thread_samples_on_a_fixed_beat_until_it_is_stopped() -> None:
    sampler = Sampler([Collector("counter", 1, Counter().collect)], HOST)
    stop = threading.Event()
    thread = threading.Thread(target=sampler.run, args=(stop,))
    thread.start()
    time.sleep(1.5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert [sequence for sequence, _ in sampler.recall.documents(0)] == [1, 2]


def test_an_error_names_the_file_that_was_not_understood_and_is_not_long() -> None:
    def misread(host: Host) -> Sample:
        host.read("/proc/stat")
        raise ValueError("x" * 10_000)

    fine = Collector("fine", 1, lambda host: {"value": len(host.read("/proc/meminfo"))})
    lost = Counter()
    lost.error = LookupError("nothing was read")
    sampler = make(Clock(), fine, Collector("misread", 1, misread), fine, Collector("lost", 1, lost.collect))
    sampler.tick()
    health = newest(sampler)["collectors"]
    assert health["misread"]["error"].startswith("ValueError: xxx")
    assert health["misread"]["error"].endswith("x…, after reading /proc/stat")
    assert len(health["misread"]["error"]) < 400
    assert health["lost"]["error"] == "LookupError: nothing was read"


def test_an_error_that_says_something_else_each_second_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    counter = Counter()
    sampler = make(clock, Collector("counter", 1, counter.collect))
    for number in range(5):
        counter.error = ValueError(f"no such column: {number}")
        sampler.tick()
        clock.seconds += 1
    assert len(caplog.records) == 1
    assert newest(sampler)["collectors"]["counter"]["error"] == "ValueError: no such column: 4"


def test_a_device_that_vanishes_comes_back_and_starts_anew_never_has_a_wrong_rate(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(HOST.path(""), root)
    clock, choice = Clock(), random.Random(1)
    made = [one for one in collectors() if one.name in {"disks", "network", "cpu"}]
    sampler = Sampler(made, Host(str(root)), clock=clock)
    files = {name: root / "proc" / name for name in ("diskstats", "net/dev", "stat")}
    whole = {name: file.read_text(encoding="ascii") for name, file in files.items()}

    def without(name: str, what: str) -> str:
        return "".join(line for line in whole[name].splitlines(True) if what not in line)

    def anew(name: str) -> str:
        """Each counter of the file as it was, at the end of 32 bits, or at 0 behind it."""
        return re.sub(r"(?<= )\d+(?=[ \n])", lambda match: choice.choice((match[0], "4294967295", "0")), whole[name])

    rates: list[float] = []
    fell = 0
    before: dict[str, Any] = {}
    for step in range(40):
        for name, gone in (("diskstats", " vda "), ("net/dev", "eth0"), ("stat", "cpu1")):
            files[name].write_text(without(name, gone) if step % 4 == 3 else anew(name), encoding="ascii")
        sampler.tick()
        report = newest(sampler)
        assert all(health["ok"] for health in report["collectors"].values())
        assert ("vda" in report["disks"], "eth0" in report["network"]) == (step % 4 != 3, step % 4 != 3)
        devices = {**report["disks"], **report["network"], **report["cpu"]["cores"], "all": report["cpu"]}
        for device, about in devices.items():
            rates += [
                value for key, value in about.items() if key.endswith(("_per_second", "_percent", "_latency_seconds"))
            ]
            for key in about:
                if key.endswith("_total") and about[key] < before.get(device, {}).get(key, 0):
                    fell += 1
                    rate = key.removesuffix("_total")
                    assert not {f"{rate}_per_second", f"{rate.removesuffix('_seconds')}_percent"} & set(about)
        before = devices
        clock.seconds += 1
    assert fell > 100
    assert len(rates) > 1000
    assert min(rates) >= 0
    assert math.isfinite(max(rates))


def test_a_wall_clock_that_jumps_a_day_back_is_only_told_and_every_rate_stays_right() -> None:
    clock = Clock()
    wall = [1_794_900_000.0]
    sampler = Sampler([Collector("counter", 1, Counter().collect)], HOST, clock=clock, wall_clock=lambda: wall[0])
    said = []
    for step in range(4):
        wall[0] += -86400 if step == 2 else 1
        sampler.tick()
        said.append(newest(sampler))
        clock.seconds += 1
    assert [one["sequence"] for one in said] == [1, 2, 3, 4]
    assert [one["counter"].get("runs_per_second") for one in said] == [None, 10.0, 10.0, 10.0]
    assert said[2]["collected_at"] == said[1]["collected_at"] - 86400
    assert said[3]["collectors"]["counter"]["age_seconds"] == 0.0
    documents = list(sampler.recall.documents(0))
    assert [sequence for sequence, _ in documents] == [1, 2, 3, 4]


def test_collectors_that_may_block_share_a_thread_and_do_not_wait_long_behind_one_that_does() -> None:
    clock = Clock()
    release = threading.Event()
    threads: dict[str, set[str | int]] = {"first": set(), "second": set(), "third": set()}

    def note(name: str, held: threading.Event | None = None) -> Collector:
        def collect(_host: Host) -> Sample:
            threads[name].add(threading.get_ident())
            if held:
                held.wait(30)
            return {"value": 1}

        return Collector(name, 15, collect, may_block=True)

    def wait_until_there(sampler: Sampler, *names: str) -> None:
        deadline = time.monotonic() + 5
        while not set(names) <= set(newest(sampler)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            sampler.tick()

    together = make(clock, note("first"), note("second"), note("third"))
    together.tick()
    wait_for(lambda: all(threads.values()))
    wait_until_there(together, "first", "second", "third")
    assert len(threads["first"] | threads["second"] | threads["third"]) == 1

    threads["first"].clear()
    behind = make(clock, note("first", release), note("second"), note("third"))
    behind.tick()
    wait_for(lambda: threads["first"])
    assert "second" not in newest(behind)
    behind.tick()
    wait_until_there(behind, "second", "third")
    assert "first" not in newest(behind)
    release.set()
    wait_until_there(behind, "first")


def test_what_is_remembered_is_what_was_said_also_of_what_failed_shrank_or_grew_large() -> None:
    clock = Clock()
    samples: list[Sample | None] = [
        {"a": {"x": 1, "y": 2}},
        {"a": {"x": 1}, "list": [1]},
        None,
        None,
        {"a": {}},
        {"a": {str(number): number for number in range(3000)}},  # more than the compressor would find again
        {"a": {str(number): number + number % 7 for number in range(2000)}},
        {"b": 1},
        {},
    ]
    turns = iter(samples)

    def collect(_host: Host) -> Sample:
        sample = next(turns)
        if sample is None:
            raise ValueError("nothing to see")
        return sample

    sampler = make(clock, Collector("changing", 1, collect), Collector("slow", 3, Counter().collect))
    said = []
    for _ in samples:
        sampler.tick()
        said.append(newest(sampler))
        clock.seconds += 1
    assert [copy.deepcopy(document) for _, document in sampler.recall.documents(0)] == said
    assert ["changing" in report for report in said] == [sample is not None for sample in samples]
