"""What TLS costs both daemons: each with certificates on both sides, beside itself in the clear."""

import contextlib
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from monitoring_supervisor.ctl.authority import Authority
from tests.bench import ours, supervisor
from tests.bench.asking import Inquirer, Question, answers, free_port, wait_until
from tests.bench.children import Child
from tests.bench.figures import Row, median, megabytes, microseconds, milliseconds, ratio, share, table
from tests.bench.options import INTERVAL_SECONDS, Options
from tests.bench.supervisor import Round, Side
from tests.fleet.agents import METRICS
from tests.fleet.process import Fleet
from tests.fleet.server import Plan, hosts

PLAIN, TLS = "http", "https"
AGENTS = 200
ROUNDS = 3
DAYS = 30
# What an agent does once, apt's lists among it, is not counted.
START_UP_SECONDS = 8.0


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """The supervisor over two fleets in turn, then two agents that are asked side by side. Raises CannotMeasure."""
    _issue(directory / "tls", [*hosts(Plan(AGENTS)), "127.0.0.1"])
    rounds = _supervisors(options, directory)
    cpu = _agents(options, directory)
    polls = {name: [one.cpu_seconds_per_poll for one in them] for name, them in rounds.items()}
    memory = {name: [float(one.memory.rss_bytes) for one in them] for name, them in rounds.items()}
    late = {name: [one.lateness_seconds["p99"] or 0.0 for one in them] for name, them in rounds.items()}
    return {
        "agents": AGENTS,
        "supervisor": {"cpu_seconds_per_poll": polls, "rss_bytes": memory, "lateness_p99_seconds": late},
        "agent": {"cpu_seconds_per_second": cpu},
        "polls_missed": {name: sum(one.polls_missed for one in them) for name, them in rounds.items()},
    }


def _issue(place: Path, names: list[str]) -> None:
    identity = Authority(place.with_name("ca")).issue(names, DAYS, asks=True)
    place.mkdir(mode=0o700)
    for name, content in (("cert", identity.cert), ("key", identity.key), ("ca", identity.ca)):
        path = place / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)


def _settings(place: Path) -> dict[str, str]:
    return {f"TLS_{name.upper()}": str(place / f"{name}.pem") for name in ("cert", "key", "ca")}


def _supervisors(options: Options, directory: Path) -> dict[str, list[Round]]:
    settings = _settings(directory / "tls")

    def over_tls(place: Path, names: list[str]) -> contextlib.AbstractContextManager[Child]:
        return ours.supervisor(place, [f"https://{name}" for name in names], **settings)

    sides = (Side(PLAIN, METRICS, ours.supervisor, _no_word), Side(TLS, METRICS, over_tls, _no_word))
    rounds: dict[str, list[Round]] = {PLAIN: [], TLS: []}
    with Fleet(AGENTS) as plain, Fleet(AGENTS, tls=directory / "tls") as tls:
        fleets = {PLAIN: plain, TLS: tls}
        for number in range(ROUNDS):
            for side in sides if number % 2 == 0 else reversed(sides):
                place = directory / f"{side.name}-{number}"
                place.mkdir()
                rounds[side.name].append(supervisor.run(side, fleets[side.name], options, place))
    return rounds


def _no_word(_: Path) -> dict[str, Any]:
    return {}


def _agents(options: Options, directory: Path) -> dict[str, list[float]]:
    """Processor time by the second of two real agents, each asked once a second for its whole report."""
    used: dict[str, list[float]] = {PLAIN: [], TLS: []}
    with contextlib.ExitStack() as stack:
        children: dict[str, Child] = {}
        questions: dict[str, tuple[Question, ssl.SSLContext | None]] = {}
        for name, settings in ((PLAIN, {}), (TLS, _settings(directory / "tls"))):
            place, port = directory / f"agent-{name}", free_port()
            place.mkdir()
            child, token = stack.enter_context(ours.agent(place, port, **settings))
            context = _client(directory / "tls") if settings else None
            wait_until(child, "an answer", partial(answers, port, "/healthcheck", context))
            children[name] = child
            questions[name] = (Question(port, METRICS, token), context)
        time.sleep(START_UP_SECONDS)
        inquirers = {name: stack.enter_context(Inquirer(*question)) for name, question in questions.items()}
        for _ in range(options.agent_windows):
            for name, seconds in _window(children, inquirers, options.agent_window_seconds).items():
                used[name].append(seconds)
    return used


def _client(place: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=place / "ca.pem")
    context.load_cert_chain(place / "cert.pem", place / "key.pem")
    return context


def _window(children: dict[str, Child], inquirers: dict[str, Inquirer], seconds: float) -> dict[str, float]:
    started = time.monotonic()
    before = {name: child.cpu_seconds() for name, child in children.items()}
    for turn in range(int(seconds)):
        for number, inquirer in enumerate(inquirers.values()):
            time.sleep(max(0.0, started + turn + number / 2 - time.monotonic()))
            inquirer.ask()
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    took = time.monotonic() - started
    return {name: (child.cpu_seconds() - before[name]) / took for name, child in children.items()}


def tables(result: dict[str, Any]) -> str:
    """The result for people."""

    def row(what: str, values: dict[str, list[float]], show: Callable[[float | None], str]) -> Row:
        cells = (show(median(values[TLS])), show(median(values[PLAIN])), share(ratio(values[TLS], values[PLAIN])))
        return Row(what, cells)

    own = result["supervisor"]
    rows = [
        row("supervisor: CPU per poll", own["cpu_seconds_per_poll"], microseconds),
        row("... RSS", own["rss_bytes"], megabytes),
        row("... lateness of polls, p99", own["lateness_p99_seconds"], milliseconds),
        row("agent: CPU per second, asked once", result["agent"]["cpu_seconds_per_second"], milliseconds),
    ]
    missed = ", ".join(f"{name} {count}" for name, count in result["polls_missed"].items())
    notes = (
        f"{result['agents']} simulated agents every {INTERVAL_SECONDS:g} s, then two real. Certificates on both sides.",
        f"Polls missed: {missed}.",
    )
    return table("What TLS costs", (TLS, PLAIN, "ratio"), rows, notes)
