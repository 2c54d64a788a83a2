"""How the supervisor's costs grow with the fleet: processor, memory and disk from ten agents to five thousand."""

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench import ours
from tests.bench.asking import wait_until
from tests.bench.children import Child
from tests.bench.figures import Row, Spread, megabytes, microseconds, milliseconds, spread, table
from tests.bench.options import INTERVAL_SECONDS, Options
from tests.fleet.agents import METRICS, Behaviour
from tests.fleet.process import Fleet
from tests.fleet.punctuality import of_fleet

SIZES = (10, 50, 200, 1000, 2000, 5000)
# Until everything that happens once is over: the first reports, which are whole, and the first large snapshots.
WARM_UP_SECONDS = 25.0
BAR = 40
STATUSES = 15


@dataclass(frozen=True)
class Size:
    """What the supervisor used with so many agents. `disk_bytes` is all that it had written to disk.

    `status_seconds` is how long `monitoringctl status` takes meanwhile, from its start to its end; `end_seconds` how
    long the supervisor takes to end, and `saved_all` whether all was saved then.
    """

    agents: int
    seconds: float
    polls: int
    cpu_seconds: float
    rss_bytes: int
    disk_bytes: int
    lateness_seconds: Spread
    polls_missed: int
    status_seconds: float
    end_seconds: float
    saved_all: bool

    @property
    def cores(self) -> float:
        """Processor time by the second."""
        return self.cpu_seconds / self.seconds

    @property
    def disk_bytes_per_second(self) -> float:
        """On average over the window."""
        return self.disk_bytes / self.seconds


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """One size after the other, each a new fleet and a new supervisor. Raises CannotMeasure, FleetFailed."""
    sizes = []
    for agents in SIZES:
        place = directory / str(agents)
        place.mkdir()
        with Fleet(agents) as fleet:
            sizes.append(_measure(fleet, place, options.size_seconds))
    return {
        "interval_seconds": INTERVAL_SECONDS,
        "sizes": [asdict(size) for size in sizes],
        "status_all_down_seconds": _status_all_down(directory),
    }


def _status_all_down(directory: Path) -> float:
    """How long `monitoringctl status` takes when it has a line for each agent of the largest fleet."""
    agents = SIZES[-1]
    place = directory / "down"
    place.mkdir()
    with (
        Fleet(agents, dict.fromkeys(range(agents), Behaviour.DEAD)) as fleet,
        ours.supervisor(place, fleet.names) as child,
    ):
        wait_until(child, "that all are down", lambda: len(ours.snapshot(place).get("blacklist", ())) == agents, 120.0)
        return statistics.median(ours.ctl_seconds(place, "status") for _ in range(STATUSES))


def _measure(fleet: Fleet, place: Path, window_seconds: float) -> Size:
    with ours.supervisor(place, fleet.names) as child:
        wait_until(child, "a first poll of every agent", lambda: _all_asked(fleet), 60.0)
        time.sleep(WARM_UP_SECONDS)
        fleet.forget()
        started, cpu, written = time.monotonic(), child.cpu_seconds(), _written_bytes(child)
        time.sleep(window_seconds)
        seconds, cpu = time.monotonic() - started, child.cpu_seconds() - cpu
        statement = fleet.statement()
        child.require_running()
        written, memory = _written_bytes(child) - written, child.memory()
        status = statistics.median(ours.ctl_seconds(place, "status") for _ in range(STATUSES))
        ending = time.monotonic()
        child.end()
        ended = time.monotonic()
    punctuality = of_fleet(statement, METRICS, INTERVAL_SECONDS)
    return Size(
        agents=len(fleet.names),
        seconds=seconds,
        polls=len(punctuality.lateness),
        cpu_seconds=cpu,
        rss_bytes=memory.rss_bytes,
        disk_bytes=written,
        lateness_seconds=spread(punctuality.lateness),
        polls_missed=punctuality.missed,
        status_seconds=status,
        end_seconds=ended - ending,
        saved_all=not any("ended without" in line for line in child.log_lines()),
    )


def _all_asked(fleet: Fleet) -> bool:
    return all(agent["asked"].get(METRICS) for agent in fleet.statement()["agents"].values())


def _written_bytes(child: Child) -> int:
    return sum(psutil.Process(pid).io_counters().write_bytes for pid in child.members())


def tables(result: dict[str, Any]) -> str:
    """The result for people: a table, and the same as bars."""
    sizes = [Size(**size) for size in result["sizes"]]
    rows = [
        Row(
            f"{size.agents:,} agents",
            (
                f"{size.cores * 100:.1f} %",
                microseconds(size.cpu_seconds / max(1, size.polls)),
                megabytes(size.rss_bytes),
                f"{size.disk_bytes_per_second / 1e3:,.0f} kB/s",
                milliseconds(size.lateness_seconds["p50"]),
                milliseconds(size.lateness_seconds["p99"]),
                f"{size.polls_missed:,}",
                milliseconds(size.status_seconds),
                f"{size.end_seconds:.1f} s" if size.saved_all else "not all saved",
            ),
        )
        for size in sizes
    ]
    columns = ("of a core", "CPU per poll", "RSS", "to disk", "late, p50", "late, p99", "missed", "status", "to end")
    notes = (
        f"Each asked every {result['interval_seconds']:g} s, everything stored; {sizes[0].seconds:.0f} s each after"
        f" {WARM_UP_SECONDS:.0f} s of warming up.",
        "Aims at 5,000: at most 100 % of a core, p99 at most 250 ms, none missed, `monitoringctl status` in 300 ms;"
        f" it took {milliseconds(result['status_all_down_seconds'])} with {SIZES[-1]:,} down, a line each.",
    )
    plots = (
        _bars("Share of a core", sizes, [size.cores * 100 for size in sizes], "%"),
        _bars("RSS", sizes, [size.rss_bytes / 1e6 for size in sizes], "MB"),
        _bars("To disk", sizes, [size.disk_bytes_per_second / 1e3 for size in sizes], "kB/s"),
    )
    return "\n".join((table("What a larger fleet costs", columns, rows, notes), *plots))


def _bars(title: str, sizes: list[Size], values: list[float], unit: str) -> str:
    top = max(*values, 1e-9)
    lines = [
        f"{size.agents:>7,}  {'█' * round(BAR * value / top):<{BAR}} {value:,.1f} {unit}".rstrip()
        for size, value in zip(sizes, values, strict=True)
    ]
    return "\n".join([f"{title}, by the number of agents", *lines, ""])
