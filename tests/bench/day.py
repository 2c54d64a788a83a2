"""How long a day of one metric of one agent takes to read, in the database and as the command that people use."""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from monitoring_agent.shared.patch import Document
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Retention
from monitoring_supervisor.store import upkeep
from monitoring_supervisor.store.database import Database
from monitoring_supervisor.store.history import History
from monitoring_supervisor.store.reading import Reader
from tests.bench import ours

DAY_SECONDS = 86400
BEGAN = 1_800_000_000.0  # a full hour
AGENT = "10.0.0.1:5000"
METRIC = "load.load_1m"
# What monitoringctl asks for, for a line of 60 letters and for programs.
STEPS = {"for a line": 1800.0, "for programs": 120.0}
TIMES = 7
FLUSHED_WITHIN_SECONDS = 60.0


def measure(reports: Sequence[Document], directory: Path) -> dict[str, Any]:
    """Store a day of these reports, one a second, to and fro, as it would be after that time, and read it."""
    path = directory / "history.db"
    _store([*reports, *reports[-2:0:-1]], path)
    ended = BEGAN + DAY_SECONDS
    with Reader(path) as reader:
        found = reader.series(AGENT, [METRIC], BEGAN, ended, STEPS["for programs"])[METRIC]
    arguments = ("history", AGENT, METRIC, "--since", f"@{BEGAN:.0f}", "--until", f"@{ended:.0f}")
    return {
        "metric": METRIC,
        "points": len(found),
        "read_seconds": {what: _median(path, step) for what, step in STEPS.items()},
        "command_seconds": statistics.median(ours.ctl_seconds(directory, *arguments) for _ in range(TIMES)),
    }


def _median(path: Path, step: float) -> float:
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        with Reader(path) as reader:
            reader.series(AGENT, [METRIC], BEGAN, BEGAN + DAY_SECONDS, step)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _store(course: list[Document], path: Path) -> None:
    now = BEGAN
    history = History(path, Retention(), 1, lambda: now, lambda: now)
    latest = Latest()
    for body in _answers(course, latest):
        now += 1
        latest.take(body)
        history.record(AGENT, latest, body, now)
        history.beat(now)
    history.close(FLUSHED_WITHIN_SECONDS)
    # In life that is done every ten minutes, as far as hours are over; here a day was over in seconds.
    database = Database(path)
    for _ in upkeep.put_together(database, now):
        pass
    database.close()


def _answers(course: list[Document], latest: Latest) -> Iterator[bytes]:
    """A day of answers of an agent whose reports go round this course, by numbers."""
    layout = Layout()
    for report in course:
        layout.values(report)
    moves = [layout.moves(before, after) for before, after in zip([course[-1], *course[:-1]], course, strict=True)]
    numbered = {"layout": [1, layout.count], "numbers": layout.tree}
    for sequence in range(1, DAY_SECONDS + 1):
        number = sequence % len(course)
        own = {"sequence": sequence, "collected_at": BEGAN + sequence}
        if "changes=" in latest.query(1):
            at, to = moves[number]
            move = {**own, "at": at, "to": to}
            yield wire.encode({"schema": 1, "since": sequence - 1, "until": sequence, "moves": [move]})
        else:
            yield wire.encode({"schema": 1, "report": {**course[number], **own}, **numbered})
