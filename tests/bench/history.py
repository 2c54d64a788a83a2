"""What history costs: bytes on disk for a value, and processor time for a report, with reports of this machine at work.

The reports are real ones, one a second while processes of the benchmark keep the machine busy, told by the agent's own
code as it tells them to a supervisor. They are then stored for some agents, once without history and once with it.
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from monitoring_agent.collectors.registry import collectors
from monitoring_agent.host import Host
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import APART, Layout
from monitoring_agent.shared.patch import Document
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Retention
from monitoring_supervisor.store.history import History
from monitoring_supervisor.store.reading import Reader
from tests.bench import day
from tests.bench.figures import Row, microseconds, milliseconds, table
from tests.bench.options import Options
from tests.fleet.content import count_values

AGENTS = 20
REPORTS = 600
BEGAN = 1_800_000_000.0
FLUSHED_WITHIN_SECONDS = 60.0


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """Record, then store. The answers are the same for all agents, which history cannot know."""
    reports = _record(max(16, round(options.seconds)), directory)
    values = round(statistics.fmean(count_values(report) for report in reports))
    answers = _answers(reports)
    plain = _store(answers, None)
    path = directory / "history.db"
    stored = _store(answers, path)
    stored_reports = AGENTS * len(answers)
    with Reader(path) as reader:
        read = sum(1 for _ in reader.reports("10.0.0.1:5000", BEGAN - 60, BEGAN + len(answers) + 60))
    return {
        "agents": AGENTS,
        "reports": stored_reports,
        "reports_read_again_of_one_agent": read,
        "values": values,
        "moving_values": statistics.fmean(len(json.loads(answer)["moves"][0]["to"]) for answer in answers[1:]),
        "bytes_per_value": path.stat().st_size / stored_reports / values,
        "cpu_seconds_per_report": (stored - plain) / stored_reports,
        "cpu_seconds_per_report_merged": plain / stored_reports,
        "day": _day(reports, directory / "day"),
    }


def _day(reports: list[Document], directory: Path) -> dict[str, Any]:
    directory.mkdir()
    return day.measure(reports, directory)


def _record(seconds: int, directory: Path) -> list[Document]:
    """This machine's reports while it has something to do, a second apart."""
    sampler = Sampler(collectors(), Host())
    reports: list[Document] = []
    with _busy(directory):
        sampler.tick()
        due = time.monotonic()
        for _ in range(seconds + 1):
            due += 1
            time.sleep(max(0.0, due - time.monotonic()))
            sampler.tick()
            newest = sampler.recall.newest()
            assert newest is not None
            reports.append(wire.decode(newest.body))
    return reports[1:]  # the collectors that run apart have answered by then


def _answers(reports: list[Document]) -> list[bytes]:
    """What an agent says to who asks every second what moved: that course to and fro."""
    to_and_fro = itertools.cycle([*reports, *reports[-2:0:-1]])
    told = [{**next(to_and_fro), "sequence": n, "collected_at": BEGAN + n} for n in range(1, REPORTS + 1)]
    layout, answers = Layout(), []
    layout.values(told[0])
    numbered = {"layout": [1, layout.count], "numbers": layout.beyond(0)}
    answers.append(wire.encode({"schema": wire.SCHEMA, "report": told[0], **numbered}))
    for before, after in itertools.pairwise(told):
        count = layout.count
        at, to = layout.moves(before, after)
        apart = {key: after[key] for key in APART}
        head = {"schema": wire.SCHEMA, "since": before["sequence"], "until": after["sequence"]}
        new = {"layout": [1, layout.count], "numbers": layout.beyond(count)} if layout.count > count else {}
        answers.append(wire.encode({**head, "moves": [{**apart, "at": at, "to": to}], **new}))
    return answers


@contextlib.contextmanager
def _busy(directory: Path) -> Iterator[None]:
    """Have a process at work meanwhile."""
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(directory / "work",), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _work(place: Path) -> None:
    """Work like a server that has something to do: compute, write, read, wait."""
    while True:
        sum(number * number for number in range(200_000))
        place.write_bytes(os.urandom(500_000))
        place.read_bytes()
        time.sleep(0.03)


def _store(answers: list[bytes], path: Path | None) -> float:
    """Hear these answers of some agents, keeping history there or none; returns the processor time that took."""
    latest = {f"10.0.0.{number}:5000": Latest() for number in range(1, AGENTS + 1)}
    now = BEGAN
    history = History(path, Retention(), 1, lambda: now, lambda: now) if path else None
    started = time.process_time()
    for answer in answers:
        now += 1
        for name, one in latest.items():
            one.take(answer)
            if history:
                history.record(name, one, answer, now)
        if history:
            history.beat(now)
    if history:
        history.close(FLUSHED_WITHIN_SECONDS)
    return time.process_time() - started


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    show: Callable[[float], str] = microseconds
    read, command = result["day"]["read_seconds"], result["day"]["command_seconds"]
    return table(
        "What history costs",
        ("",),
        [
            Row("on disk, per value", (f"{result['bytes_per_value']:.2f} B",), "<= 1 B"),
            Row("... of a report", (f"{result['bytes_per_value'] * result['values']:,.0f} B",)),
            Row("CPU to store a report", (show(result["cpu_seconds_per_report"]),), "<= 40 µs"),
            Row("CPU to merge it, without history", (show(result["cpu_seconds_per_report_merged"]),)),
            *(Row(f"one metric over 24 h, {what}", (milliseconds(read[what]),), "<= 200 ms") for what in read),
            Row("... monitoringctl history, all of it", (milliseconds(command),)),
        ],
        (
            f"{result['reports']:,} reports of {result['values']} values,"
            f" {result['moving_values']:.0f} of which changed from one second to the next;",
            "blocks, minutes and the database itself counted.",
        ),
    )
