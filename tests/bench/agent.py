"""The agent beside node_exporter: both on this machine at the same time, idle and then asked once a second each."""

import contextlib
import time
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from tests.bench import anchors, ours
from tests.bench.asking import Inquirer, Question, answers, free_port, wait_until
from tests.bench.children import Child
from tests.bench.figures import Row, median, megabytes, milliseconds, ratio, share, spread, table
from tests.bench.options import Options
from tests.fleet.agents import EXPOSITION, METRICS
from tests.fleet.content import count_values

OURS, THEIRS = ours.AGENT, anchors.NODE_EXPORTER

START_UP_SECONDS = 3.0
QUICK_PAUSE_SECONDS = 0.05
QUICK_SECONDS = 10.0

Seconds = dict[str, list[float]]


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """Windows in which both idle, windows in which both are asked, and quick questions for the times of answers.

    Raises CannotMeasure.
    """
    anchors.binary(anchors.NODE_EXPORTER)
    with contextlib.ExitStack() as stack:
        children, questions = _start(stack, directory)
        time.sleep(START_UP_SECONDS)
        idle, asked = _new(), _new()
        for _ in range(max(1, options.agent_windows - 1)):
            _window(children, options.agent_window_seconds, idle)
        inquirers = {name: stack.enter_context(Inquirer(question)) for name, question in questions.items()}
        for inquirer in inquirers.values():
            inquirer.ask()  # the first answer costs what no other does
        latencies = _new()
        for _ in range(options.agent_windows):
            _window(children, options.agent_window_seconds, asked, inquirers, latencies)
        quick = _quick(inquirers, min(QUICK_SECONDS, options.seconds))
        memory = {name: child.memory() for name, child in children.items()}
        said = {name: inquirer.body for name, inquirer in inquirers.items()}
        processes = {name: len(child.members()) for name, child in children.items()}
    report, exposition = wire.decode(said[OURS]), said[THEIRS].decode()
    samples = [line for line in exposition.splitlines() if line[:1] != "#"]
    values = {OURS: count_values(report), THEIRS: len(samples)}
    failed = [line.split('"')[1] for line in samples if "_collector_success{" in line and line.endswith(" 0")]
    return {
        "versions": {OURS: wire.VERSION, THEIRS: anchors.version(THEIRS)},
        "window_seconds": options.agent_window_seconds,
        "processes": processes,
        "values": values,
        "answer_bytes": {name: len(body) for name, body in said.items()},
        "collectors_without_data": {
            OURS: [name for name, health in report["collectors"].items() if not health["ok"]],
            THEIRS: failed,
        },
        "cpu_seconds_per_second": {"idle": idle, "asked": asked},
        "memory": {name: {"rss_bytes": one.rss_bytes, "pss_bytes": one.pss_bytes} for name, one in memory.items()},
        "answer_seconds": {
            "once_a_second": {name: spread(times) for name, times in latencies.items()},
            "quick": {name: spread(times) for name, times in quick.items()},
            "counts": {"once_a_second": len(latencies[OURS]), "quick": len(quick[OURS])},
        },
        "medians": {
            "idle": {name: median(values) for name, values in idle.items()},
            "asked": {name: median(values) for name, values in asked.items()},
        },
        "ratios": {
            "cpu_asked": ratio(asked[OURS], asked[THEIRS]),
            "pss": memory[OURS].pss_bytes / memory[THEIRS].pss_bytes,
        },
    }


def _new() -> Seconds:
    return {OURS: [], THEIRS: []}


def _start(stack: contextlib.ExitStack, directory: Path) -> tuple[dict[str, Child], dict[str, Question]]:
    ports = {OURS: free_port(), THEIRS: free_port()}
    agent, token = stack.enter_context(ours.agent(directory, ports[OURS]))
    exporter = stack.enter_context(anchors.node_exporter(directory, ports[THEIRS]))
    wait_until(agent, "a healthy answer", lambda: answers(ports[OURS], "/healthcheck"))
    wait_until(exporter, "an answer", lambda: answers(ports[THEIRS], "/"))
    questions = {OURS: Question(ports[OURS], METRICS, token), THEIRS: Question(ports[THEIRS], EXPOSITION)}
    return {OURS: agent, THEIRS: exporter}, questions


def _window(
    children: dict[str, Child],
    seconds: float,
    result: Seconds,
    inquirers: dict[str, Inquirer] | None = None,
    latencies: Seconds | None = None,
) -> None:
    """Note what each child used per second, while it was asked once a second if there is somebody to ask."""
    started = time.monotonic()
    before = {name: child.cpu_seconds() for name, child in children.items()}
    for turn in range(int(seconds)):
        for number, name in enumerate(children):
            # Half a second apart, so that neither is measured while the other works.
            time.sleep(max(0.0, started + turn + number / 2 - time.monotonic()))
            if inquirers and latencies:
                latencies[name].append(inquirers[name].ask())
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    took = time.monotonic() - started
    for name, child in children.items():
        child.require_running()
        result[name].append((child.cpu_seconds() - before[name]) / took)


def _quick(inquirers: dict[str, Inquirer], seconds: float) -> Seconds:
    """Questions in quick succession: a 99th percentile needs more answers than there are seconds."""
    latencies = _new()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, inquirer in inquirers.items():
            latencies[name].append(inquirer.ask())
            time.sleep(QUICK_PAUSE_SECONDS / 2)
    return latencies


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    medians, memory, times = result["medians"], result["memory"], result["answer_seconds"]
    ratios, counts = result["ratios"], result["answer_seconds"]["counts"]

    def row(what: str, cells: dict[str, str], ratio: str = "", aim: str = "") -> Row:
        return Row(what, (cells[OURS], cells[THEIRS], ratio), aim)

    def each(values: dict[str, Any], key: str | None, show: Any) -> dict[str, str]:
        return {name: show(value[key] if key else value) for name, value in values.items()}

    once, quick = times["once_a_second"], times["quick"]
    rows = [
        row("CPU per second, idle", each(medians["idle"], None, milliseconds)),
        row(
            "CPU per second, asked once",
            each(medians["asked"], None, milliseconds),
            share(ratios["cpu_asked"]),
            "<= 0.25 x",
        ),
        row("PSS, all processes", each(memory, "pss_bytes", megabytes), share(ratios["pss"]), "<= 40 MB"),
        row("RSS, all processes", each(memory, "rss_bytes", megabytes)),
        row("time of an answer, p50", each(once, "p50", milliseconds)),
        row(f"... p99 of {counts['once_a_second']}", each(once, "p99", milliseconds), aim="<= 10 ms"),
        row("... asked quickly, p50", each(quick, "p50", milliseconds)),
        row(f"... p99 of {counts['quick']}", each(quick, "p99", milliseconds), aim="<= 10 ms"),
        row("values in an answer", each(result["values"], None, str)),
        row("processes", each(result["processes"], None, str)),
    ]
    windows = len(result["cpu_seconds_per_second"]["asked"][OURS])
    notes = [
        f"Both at the same time on this machine; medians over windows of {result['window_seconds']:.0f} s ({windows})."
        " Without compression. The agent samples once a second, asked or not."
    ]
    for name, failed in result["collectors_without_data"].items():
        if failed:
            notes.append(f"Collectors of {name} that have nothing to say on this machine: {', '.join(failed)}.")
    versions = result["versions"]
    columns = (f"{OURS} {versions[OURS]}", f"{THEIRS} {versions[THEIRS]}", "ratio")
    return table("Being asked: the cost to the machine that is watched", columns, rows, notes)
