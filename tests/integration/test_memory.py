"""Two hours of polls, and of all that can happen meanwhile: what the supervisor holds does not grow with them.

The command itself runs, on a clock that does not wait (tests/hurry): agents die and return, fall silent, change what
they tell of and start anew; none can be reached; others come and go; settings are read again; questions are asked.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring_supervisor.ctl.authority import Authority
from monitoring_supervisor.store.reading import Reader
from tests.fleet.content import Tree, real_report
from tests.hurry.plan import ROUND_SECONDS, ROUNDS, ROUNDS_BEFORE, SECURE_HOST
from tests.integration.daemons import ROOT, TOKEN

# Enough of a report to be like one: with all of it the agents would be what costs the time.
SECTIONS = ("schema", "sequence", "collected_at", "host", "agent", "uptime", "load", "memory")

# By how much each may differ: the two looks do not find everything at the same point. What grows with the polls would
# do so by 57,000, with connections by 700, with agents that were removed by 600, with reloads by 120, with an outage by
# 12, and mostly by many objects each time. Python 3.13 had 177 weak references more at one look, and a set of them.
SLACK = {
    "blocks": 1000,
    "objects": 300,
    "entries": 300,
    "descriptors": 2,
    "threads": 3,  # as many more a pool may have, for questions that come at once
    "timers": 9,
    "tasks": 4,
    "allocated_kib": 2048,  # SQLite has more or less in mind
    "resident_kib": 6 * 1024,
}
# What history remembers of each agent that there ever was, for as long as it has something of it.
KNOWN = {"blocks": 5, "objects": 1, "entries": 3}


def _prepare(directory: Path) -> None:
    report: Tree = {key: value for key, value in real_report().items() if key in SECTIONS}
    (directory / "report.json").write_text(json.dumps(report), encoding="utf-8")
    identity = Authority(directory / "ca").issue([SECURE_HOST], 825, asks=True)
    files = {"cert.pem": identity.cert, "key.pem": identity.key, "ca.pem": identity.ca, "token": TOKEN.encode()}
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """By how much each grew, the most first."""
    more = {name: after[name] - before.get(name, 0) for name in after}
    return {name: more[name] for name in sorted(more, key=lambda name: -more[name]) if more[name] > 0}


def test_what_the_supervisor_holds_is_flat_over_two_hours_of_polls(tmp_path: Path) -> None:
    _prepare(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.hurry", str(tmp_path)],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout)
    before, after = found["before"], found["after"]
    names = after["done"]["names"] - before["done"]["names"]
    more = _more(before["held"], after["held"])
    grown = {name: by for name, by in more.items() if by > SLACK[name] + names * KNOWN.get(name, 0)}
    assert not grown, f"more than before: {grown}; of all {more}; objects {_more(before['kinds'], after['kinds'])}"
    _require_lived(before["done"], after["done"], ended.stderr)
    _require_stored(tmp_path / "history.db", after["done"]["at"])


def _require_lived(before: dict[str, int], after: dict[str, int], journal: str) -> None:
    """All of it happened, to the end."""
    assert after["at"] - before["at"] == pytest.approx(ROUNDS * ROUND_SECONDS, abs=60)
    assert after["polls"] - before["polls"] > 45_000
    assert after["up"] == after["watched"] == 5
    rounds = ROUNDS_BEFORE + ROUNDS
    for text, times in (
        ("mortal.test:5000 is down: connection refused", 1),
        ("mortal.test:5000 is up: it answers again after", 1),
        ("127.0.0.3:5000 is down: connected, but no answer", 1),
        ("127.0.0.3:5000 is down: only ", 1),
        ("127.0.0.3:5000 is suspect: its metrics cannot be used", 1),
        ("none of 5 agents can be reached", 1),
        ("settings reloaded; watching 5 agents", 10),
        ("not reloaded: ", 1),
        ("agents changed; watching 10 agents", 10),
        ("agents changed; watching 5 agents", 1),
    ):
        assert journal.count(text) == times * rounds, text
    assert not [line for line in journal.splitlines() if " error: " in line and "not reloaded: " not in line]


def _require_stored(path: Path, until: float) -> None:
    """Of all that always answered, or did again, the newest half hour is complete: what was missed was filled in."""
    with Reader(path) as reader:
        for name in ("127.0.0.1:5000", "mortal.test:5000", "127.0.0.5:5000"):
            reports = reader.reports(name, until - 1800, until - 60)
            found = sorted(report["sequence"] for _, report in reports)
            assert len(found) > 1700
            assert found == list(range(found[0], found[0] + len(found)))
