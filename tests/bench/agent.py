"""The agent beside node_exporter: both on this machine at the same time, idle, asked once a second, and twenty times.

Both are asked for everything they have. The agent is also asked as the supervisor does it, for what changed; and it is
asked while a mount hangs, of which node_exporter is spared the sight.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitoring_agent.collectors.registry import collectors
from monitoring_agent.shared import wire
from tests.bench import anchors, hanging, ours
from tests.bench.asking import Follower, Inquirer, Question, answers, free_port, wait_until
from tests.bench.children import Child
from tests.bench.figures import Row, median, megabytes, milliseconds, ratio, share, spread, table
from tests.bench.options import Options
from tests.fleet.agents import EXPOSITION, HEALTH, METRICS
from tests.fleet.content import count_values

OURS, THEIRS = ours.AGENT, anchors.NODE_EXPORTER

START_UP_SECONDS = 3.0
QUICK_PAUSE_SECONDS = 0.05
QUICK_SECONDS = 10.0
# The agent looks at the filesystems every 15 seconds, and gives each one two.
HUNG_WITHIN_SECONDS = 30.0

Seconds = dict[str, list[float]]
Ask = Callable[[], float]


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """Windows in which both idle, windows in which both are asked, and quick questions for the times of answers.

    Raises CannotMeasure.
    """
    anchors.binary(anchors.NODE_EXPORTER)
    with contextlib.ExitStack() as stack:
        children, questions = _start(stack, directory)
        inquirers = {name: stack.enter_context(Inquirer(question)) for name, question in questions.items()}
        # The first answer, and the first run of what runs once an hour, cost what no other does.
        inquirers[THEIRS].ask()
        wait_until(children[OURS], "a run of every collector", lambda: _has_run_all(inquirers[OURS]))
        time.sleep(START_UP_SECONDS)
        idle, asked = _new(), _new()
        followed: Seconds = {OURS: []}
        for _ in range(max(1, options.agent_windows - 1)):
            _window(children, options.agent_window_seconds, idle)
        asks: dict[str, Ask] = {name: inquirer.ask for name, inquirer in inquirers.items()}
        latencies = _new()
        for _ in range(options.agent_windows):
            _window(children, options.agent_window_seconds, asked, asks, latencies)
        follower = stack.enter_context(Follower(questions[OURS]))
        _window({OURS: children[OURS]}, options.agent_window_seconds, followed, {OURS: follower.ask}, _new())
        quick_cpu = _new()
        quick = _quick(children, asks, min(QUICK_SECONDS, options.seconds), quick_cpu)
        memory = {name: child.memory() for name, child in children.items()}
        said = {name: inquirer.body for name, inquirer in inquirers.items()}
        processes = {name: len(child.members()) for name, child in children.items()}
        hung: Seconds = {METRICS: [], HEALTH: []}
        if os.geteuid() == 0:
            hung = _while_hung(stack, children, questions[OURS], inquirers[OURS], directory, options)
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
        "cpu_seconds_per_second": {"idle": idle, "asked": asked, "followed": followed, "asked_quickly": quick_cpu},
        "memory": {name: {"rss_bytes": one.rss_bytes, "pss_bytes": one.pss_bytes} for name, one in memory.items()},
        "answer_seconds": {
            "once_a_second": {name: spread(times) for name, times in latencies.items()},
            "quick": {name: spread(times) for name, times in quick.items()},
            "while_a_mount_hangs": {path: spread(times) for path, times in hung.items()},
            "counts": {
                "once_a_second": len(latencies[OURS]),
                "quick": len(quick[OURS]),
                "while_a_mount_hangs": len(hung[METRICS]),
            },
        },
        "medians": {
            "idle": {name: median(values) for name, values in idle.items()},
            "asked": {name: median(values) for name, values in asked.items()},
            "followed": {OURS: median(followed[OURS]), THEIRS: None},
            "asked_quickly": {name: median(values) for name, values in quick_cpu.items()},
        },
        "ratios": {
            "cpu_asked_quickly": ratio(quick_cpu[OURS], quick_cpu[THEIRS]),
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
    asks: dict[str, Ask] | None = None,
    latencies: Seconds | None = None,
) -> None:
    """Note what each child used per second, while it was asked once a second if there is somebody to ask."""
    started = time.monotonic()
    before = {name: child.cpu_seconds() for name, child in children.items()}
    for turn in range(int(seconds)):
        for number, name in enumerate(children):
            # Half a second apart, so that neither is measured while the other works.
            time.sleep(max(0.0, started + turn + number / 2 - time.monotonic()))
            if asks and latencies:
                latencies[name].append(asks[name]())
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    took = time.monotonic() - started
    for name, child in children.items():
        child.require_running()
        result[name].append((child.cpu_seconds() - before[name]) / took)


def _quick(children: dict[str, Child], asks: dict[str, Ask], seconds: float, used: Seconds) -> Seconds:
    """Questions in quick succession: a 99th percentile needs more answers than there are seconds."""
    latencies: Seconds = {name: [] for name in asks}
    started = time.monotonic()
    before = {name: child.cpu_seconds() for name, child in children.items()}
    for turn in range(int(seconds / QUICK_PAUSE_SECONDS)):
        for number, (name, ask) in enumerate(asks.items()):
            beat = started + (turn + number / len(asks)) * QUICK_PAUSE_SECONDS
            time.sleep(max(0.0, beat - time.monotonic()))
            latencies[name].append(ask())
    took = time.monotonic() - started
    for name, child in children.items():
        used[name].append((child.cpu_seconds() - before[name]) / took)
    return latencies


def _has_run_all(inquirer: Inquirer) -> bool:
    inquirer.ask()
    return {one.name for one in collectors()} <= set(wire.decode(inquirer.body)["collectors"])


def _while_hung(
    stack: contextlib.ExitStack,
    children: dict[str, Child],
    question: Question,
    inquirer: Inquirer,
    directory: Path,
    options: Options,
) -> Seconds:
    """The agent's answers, to both its questions, once it has noticed a mount that hangs."""
    point = str(stack.enter_context(hanging.mount(directory)))

    def is_noticed() -> bool:
        inquirer.ask()
        about = wire.decode(inquirer.body).get("filesystems", {}).get(point, {})
        return bool(about.get("state") == "hung")

    wait_until(children[OURS], "word of the mount that hangs", is_noticed, HUNG_WITHIN_SECONDS)
    health = stack.enter_context(Inquirer(Question(question.port, HEALTH, question.token)))
    asks: dict[str, Ask] = {METRICS: inquirer.ask, HEALTH: health.ask}
    return _quick({}, asks, min(QUICK_SECONDS, options.seconds), {})


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    medians, memory, times = result["medians"], result["memory"], result["answer_seconds"]
    ratios, counts = result["ratios"], result["answer_seconds"]["counts"]

    def row(what: str, cells: dict[str, str], ratio: str = "", aim: str = "") -> Row:
        return Row(what, (cells[OURS], cells[THEIRS], ratio), aim)

    def each(values: dict[str, Any], key: str | None, show: Any) -> dict[str, str]:
        return {name: show(value[key] if key else value) for name, value in values.items()}

    once, quick, hung = times["once_a_second"], times["quick"], times["while_a_mount_hangs"]
    rows = [
        row("CPU per second, idle", each(medians["idle"], None, milliseconds)),
        row(
            "CPU per second, asked once",
            each(medians["asked"], None, milliseconds),
            share(ratios["cpu_asked"]),
            "<= 0.25 x",
        ),
        row("... for what changed, as the supervisor", each(medians["followed"], None, milliseconds)),
        row(
            "CPU per second, asked 20 times",
            each(medians["asked_quickly"], None, milliseconds),
            share(ratios["cpu_asked_quickly"]),
        ),
        row("PSS, all processes", each(memory, "pss_bytes", megabytes), share(ratios["pss"]), "<= 40 MB"),
        row("RSS, all processes", each(memory, "rss_bytes", megabytes)),
        row("time of an answer, p50", each(once, "p50", milliseconds)),
        row(f"... p99 of {counts['once_a_second']}", each(once, "p99", milliseconds), aim="<= 10 ms"),
        row("... asked 20 times a second, p50", each(quick, "p50", milliseconds)),
        row(f"... p99 of {counts['quick']}", each(quick, "p99", milliseconds), aim="<= 10 ms"),
        row("... and while a mount hangs, p50", {OURS: milliseconds(hung[METRICS]["p50"]), THEIRS: "-"}),
        row(f"... p99 of {counts['while_a_mount_hangs']}", {OURS: milliseconds(hung[METRICS]["p99"]), THEIRS: "-"},
            aim="<= 10 ms"),
        row("... p99 of as many health checks", {OURS: milliseconds(hung[HEALTH]["p99"]), THEIRS: "-"}),
        row("values in an answer", each(result["values"], None, str)),
        row("processes", each(result["processes"], None, str)),
    ]
    windows = len(result["cpu_seconds_per_second"]["asked"][OURS])
    notes = [
        f"Both at the same time on this machine; medians over windows of {result['window_seconds']:.0f} s ({windows})."
        " Both are asked for all they have, without compression. The agent samples once a second, asked or not."
    ]
    if not counts["while_a_mount_hangs"]:
        notes.append("Only root can mount a filesystem, and so measure with one that hangs.")
    for name, failed in result["collectors_without_data"].items():
        if failed:
            notes.append(f"Collectors of {name} that have nothing to say on this machine: {', '.join(failed)}.")
    versions = result["versions"]
    columns = (f"{OURS} {versions[OURS]}", f"{THEIRS} {versions[THEIRS]}", "ratio")
    return table("Being asked: the cost to the machine that is watched", columns, rows, notes)
