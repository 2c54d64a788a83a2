"""Where the supervisor's time goes, by file, as py-spy sees it: so that the next reader knows what is left."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench import ours
from tests.bench.children import CannotMeasure
from tests.bench.figures import Row, table
from tests.bench.options import Options
from tests.fleet.process import Fleet

# All sizes of the fleet cost the same by the poll, more or less, and a smaller one disturbs itself less.
AGENTS = 1000
WARM_UP_SECONDS = 12.0
SAMPLES_PER_SECOND = 250
# Frames in which a thread waits for others, though it may look at work from outside.
WAITING = re.compile(r"\((?:threading|queue|selectors|concurrent/futures/thread)\.py:")
OWN = re.compile(r"^(.+) \((monitoring_\w+/[\w/]+\.py):\d+\)$")
LOOP = "the event loop: sockets, timers (uvloop)"
OTHER = "elsewhere"
SHOWN = 14


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """Look at the supervisor at work. Raises CannotMeasure, FleetFailed."""
    seconds = max(3, round(min(options.seconds, 20.0)))
    raw = directory / "stacks"
    with Fleet(AGENTS) as fleet, ours.supervisor(directory, fleet.names) as child:
        time.sleep(WARM_UP_SECONDS)
        child.require_running()
        spied = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(child.members()[0])),
                *("--duration", str(seconds), "--rate", str(SAMPLES_PER_SECOND), "--format", "raw", "--function"),
                *("--output", str(raw)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
    if spied.returncode or not raw.exists():
        raise CannotMeasure(f"py-spy: {spied.stderr.strip() or 'it says nothing'}; it needs the right to ptrace")
    samples = Counter[tuple[str, str]]()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not WAITING.search(frames[-1]):
            samples[_place(frames)] += int(count)
    total = sum(samples.values())
    return {
        "agents": AGENTS,
        "samples": total,
        "shares": [
            {"function": function, "file": file, "share": count / total}
            for (function, file), count in samples.most_common()
        ],
    }


def _place(frames: Iterable[str]) -> tuple[str, str]:
    """The innermost function of ours, with what it calls in C and in libraries."""
    for frame in reversed(list(frames)):
        found = OWN.match(frame)
        if found:
            return (LOOP, "") if found[2].endswith("/__main__.py") else (found[1], found[2])
        if frame.startswith("Runner.run"):
            return LOOP, ""
    return OTHER, ""


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    shares = result["shares"]
    rows = [Row(f"{one['function']}  {one['file']}", (f"{one['share'] * 100:.1f} %",)) for one in shares[:SHOWN]]
    rest = sum(one["share"] for one in shares[SHOWN:])
    return table(
        f"Where the supervisor's time goes with {result['agents']} agents",
        ("",),
        [*rows, Row(f"{len(shares) - SHOWN} others", (f"{rest * 100:.1f} %",))] if rest else rows,
        ("Each function with what it calls in C and in libraries, all threads; waiting is left out.",),
    )
