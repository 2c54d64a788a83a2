"""The supervisor beside Prometheus: both ask the same simulated fleet at the same rate, one after the other."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from tests.bench import anchors, ours
from tests.bench.asking import answers, free_port, wait_until
from tests.bench.children import Child, Memory
from tests.bench.figures import Row, median, megabytes, microseconds, milliseconds, ratio, share, spread, table
from tests.bench.options import INTERVAL_SECONDS, ROUNDS, Options
from tests.fleet.agents import EXPOSITION, METRICS
from tests.fleet.process import Fleet
from tests.fleet.punctuality import of_fleet

OURS, THEIRS = ours.SUPERVISOR, anchors.PROMETHEUS


@dataclass(frozen=True)
class Side:
    """One of the two that ask: what it collects from, and how it is run and knows itself, in a directory."""

    name: str
    path: str
    run: Callable[[Path, list[str]], contextlib.AbstractContextManager[Child]]
    own_word: Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Round:
    """What one side used in one round. A poll is a collection of metrics; health checks come on top of the costs."""

    seconds: float
    polls: int
    requests: int
    cpu_seconds: float
    memory: Memory
    lateness_seconds: dict[str, float | None]
    polls_missed: int
    connections: int
    fleet_cpu_seconds: float
    own_word: dict[str, Any]

    @property
    def cpu_seconds_per_poll(self) -> float:
        """Everything it used, over the polls."""
        return self.cpu_seconds / max(1, self.polls)


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """Alternating rounds of both, each a new process. Raises CannotMeasure, FleetFailed."""
    sides = (Side(OURS, METRICS, ours.supervisor, _supervisors_word), Side(THEIRS, EXPOSITION, _prometheus, _no_word))
    rounds: dict[str, list[Round]] = {side.name: [] for side in sides}
    anchors.binary(anchors.PROMETHEUS)
    with Fleet(options.agents) as fleet:
        for number in range(ROUNDS):
            for side in sides if number % 2 == 0 else reversed(sides):
                place = directory / f"{side.name}-{number}"
                place.mkdir()
                rounds[side.name].append(run(side, fleet, options, place))
        content = {key: value for key, value in fleet.introduction.items() if key != "agents"}
    return {
        "agents": options.agents,
        "interval_seconds": INTERVAL_SECONDS,
        "content": content,
        "versions": {OURS: wire.VERSION, THEIRS: anchors.version(THEIRS)},
        "rounds": {name: [asdict(one) for one in them] for name, them in rounds.items()},
        "medians": {name: _medians(them) for name, them in rounds.items()},
        "ratios": {
            "cpu_per_poll": ratio(*([one.cpu_seconds_per_poll for one in rounds[name]] for name in (OURS, THEIRS))),
            "rss": ratio(*([one.memory.rss_bytes for one in rounds[name]] for name in (OURS, THEIRS))),
            "pss": ratio(*([one.memory.pss_bytes for one in rounds[name]] for name in (OURS, THEIRS))),
        },
    }


def run(side: Side, fleet: Fleet, options: Options, place: Path) -> Round:
    """One round of one side: a new process in a new directory. Raises CannotMeasure, FleetFailed."""
    fleet.forget()
    with side.run(place, fleet.names) as child:
        wait_until(child, "a first poll of every agent", lambda: _all_asked(fleet, side.path), 60.0)
        time.sleep(options.warm_up_seconds)
        child.require_running()
        fleet.forget()
        started, cpu = time.monotonic(), child.cpu_seconds()
        time.sleep(options.round_seconds)
        seconds, cpu = time.monotonic() - started, child.cpu_seconds() - cpu
        statement = fleet.statement()
        child.require_running()
        memory, own_word = child.memory(), side.own_word(place)
    punctuality = of_fleet(statement, side.path, INTERVAL_SECONDS)
    agents = statement["agents"].values()
    return Round(
        seconds=seconds,
        polls=len(punctuality.lateness),
        requests=sum(len(times) for agent in agents for times in agent["asked"].values()),
        cpu_seconds=cpu,
        memory=memory,
        lateness_seconds=spread(punctuality.lateness),
        polls_missed=punctuality.missed,
        connections=sum(agent["open"] for agent in agents),
        fleet_cpu_seconds=statement["cpu_seconds"],
        own_word=own_word,
    )


def _all_asked(fleet: Fleet, path: str) -> bool:
    return all(agent["asked"].get(path) for agent in fleet.statement()["agents"].values())


@contextlib.contextmanager
def _prometheus(directory: Path, names: list[str]) -> Iterator[Child]:
    port = free_port()
    with anchors.prometheus(directory, names, port) as child:
        wait_until(child, "its readiness", lambda: answers(port, "/-/ready"))
        yield child


def _supervisors_word(directory: Path) -> dict[str, Any]:
    """What the supervisor said of itself when it saved last; with many agents that is a while ago."""
    document = ours.snapshot(directory)
    about = document.get("supervisor", {})
    keys = ("polls_total", "polls_missed_total", "poll_lateness_p99_seconds")
    return {
        **{key: about.get(key) for key in keys},
        "whitelist": len(document.get("whitelist", [])),
        "age_seconds": time.time() - document["written_at"] if document else None,
    }


def _no_word(_: Path) -> dict[str, Any]:
    return {}


def _medians(rounds: list[Round]) -> dict[str, float | None]:
    own = [one.own_word["poll_lateness_p99_seconds"] for one in rounds if one.own_word]
    return {
        "cpu_seconds_per_poll": median(one.cpu_seconds_per_poll for one in rounds),
        "cpu_seconds_per_poll_best": min(one.cpu_seconds_per_poll for one in rounds),
        "cpu_seconds_per_poll_worst": max(one.cpu_seconds_per_poll for one in rounds),
        "cpu_share_of_a_core": median(one.cpu_seconds / one.seconds for one in rounds),
        "rss_bytes": median(one.memory.rss_bytes for one in rounds),
        "pss_bytes": median(one.memory.pss_bytes for one in rounds),
        **{f"lateness_{key}_seconds": median(_present(rounds, key)) for key in ("p50", "p99", "max")},
        "own_lateness_p99_seconds": median(value for value in own if value is not None),
        "polls_missed": float(sum(one.polls_missed for one in rounds)),
        "fleet_cpu_seconds_per_request": median(one.fleet_cpu_seconds / max(1, one.requests) for one in rounds),
    }


def _present(rounds: list[Round], key: str) -> list[float]:
    values = (one.lateness_seconds[key] for one in rounds)
    return [value for value in values if value is not None]


def _best_and_worst(medians: dict[str, float | None]) -> str:
    return " - ".join(microseconds(medians[f"cpu_seconds_per_poll_{which}"]) for which in ("best", "worst"))


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    own, other = (result["medians"][name] for name in (OURS, THEIRS))
    ratios, content = result["ratios"], result["content"]

    def row(what: str, key: str, show: Callable[[float | None], str], ratio: str = "", aim: str = "") -> Row:
        return Row(what, (show(own[key]), show(other[key]), ratio), aim)

    def missed(value: float | None) -> str:
        return f"{value or 0:,.0f}"

    rows = [
        row("CPU per poll", "cpu_seconds_per_poll", microseconds, share(ratios["cpu_per_poll"]), "<= 0.33 x"),
        Row("... of the best - worst round", (_best_and_worst(own), _best_and_worst(other), "")),
        row("CPU, share of one core", "cpu_share_of_a_core", lambda value: f"{(value or 0) * 100:.1f} %"),
        row("RSS", "rss_bytes", megabytes, share(ratios["rss"]), "<= 0.25 x"),
        row("PSS", "pss_bytes", megabytes, share(ratios["pss"])),
        row("lateness of polls, p50", "lateness_p50_seconds", milliseconds),
        row("lateness of polls, p99", "lateness_p99_seconds", milliseconds, aim="<= 50 ms"),
        row("lateness of polls, max", "lateness_max_seconds", milliseconds),
        row("... p99 as it last saved itself", "own_lateness_p99_seconds", milliseconds),
        row("polls missed, all rounds", "polls_missed", missed, aim="0"),
        row("fleet: CPU per request", "fleet_cpu_seconds_per_request", microseconds),
    ]
    rounds = result["rounds"][OURS]
    versions = result["versions"]
    return table(
        f"Asking {result['agents']} agents every {result['interval_seconds']:g} s",
        (f"{OURS} {versions[OURS]}", f"{THEIRS} {versions[THEIRS]}", "ratio"),
        rows,
        (
            f"Medians of {len(rounds)} rounds of {rounds[0]['seconds']:.0f} s each, one side after the other, in turn"
            " first; each a new process, warmed up.",
            f"The same {content['values']} values a poll: {content['report_bytes']} bytes of JSON,"
            f" {content['exposition_bytes']} of Prometheus' text.",
            "CPU is of all threads, health checks and saving included, over collections of metrics alone. Lateness is"
            " seen by the agents.",
        ),
    )
