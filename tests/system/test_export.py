"""What was, read by other programs: jq and pandas as each release has them, over what the README says.

Here and not in tests/integration: the machines have both releases' versions, and nobody's own machine gets a pandas.
"""

import json
import math
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from . import changing
from .conftest import CHECKOUT, Installation
from .machine import Machine, boot
from .watching import AGENT, SETTINGS

CHANGING = "127.0.0.9:5000"
SAID = "/root/said.jsonl"
HISTORY = "/var/lib/monitoring/history.db"
REPORTS = 12
FIRST_INEXACT = 2**53
# Reads a file of JSON lines, and says as JSON what pandas made of it.
PANDAS = """
import json, sys, pandas
frame = pandas.read_json(sys.argv[1], lines=True, precise_float=True)
print(json.dumps([frame[name].dtype.kind for name in frame]))
print(json.dumps(frame.to_dict("records")))
"""


@pytest.fixture(scope="module")
def machine(installation: Installation) -> Iterator[Machine]:
    """A machine that has watched its own agent and the changing one for some reports, and was stopped."""
    with boot(installation.layers, binds={CHECKOUT: "/checkout"}) as booted:
        booted.run("apt install -y jq python3-pandas", timeout=300)
        address, port = CHANGING.split(":")
        booted.run(
            "systemd-run --quiet --unit=changing --working-directory=/checkout -E PYTHONDONTWRITEBYTECODE=1"
            f" python3 -m tests.system.changing {address} {port} {SAID}"
        )
        booted.wait_until(lambda: f"{address}:{port}" in booted.run("ss -ltn"), 30, "the changing agent listens")
        booted.run(
            f"printf 'WHITELIST_AGENT=127.0.0.1,{address}\\nINTERVAL_METRICS_CHECK=0.5\\n' >{SETTINGS}"
            " && systemctl restart monitoring-supervisor"
        )
        booted.wait_until(lambda: len(said(booted)) >= REPORTS, 60, "it was asked often enough")
        booted.run("systemctl stop monitoring-supervisor changing")
        yield booted


def said(machine: Machine) -> list[dict[str, Any]]:
    """What the changing agent said, in order."""
    return [json.loads(line) for line in machine.attempt(f"cat {SAID}").stdout.splitlines()]


def lines(machine: Machine, command: str) -> list[dict[str, Any]]:
    """What a command says as JSON lines. In a text of JSON there may be ends of a line that are none to others."""
    return [json.loads(line) for line in machine.run(command).split("\n")]


def expected(machine: Machine) -> list[dict[str, Any]]:
    """The same as it is to come out: no half letters, nothing that is null, floating numbers for too large ones."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key.replace(changing.HALF, "\ufffd"): plain(value) for key, value in part.items() if value is not None
            }
        if isinstance(part, list):
            return [plain(value) for value in part]
        if isinstance(part, str):
            return part.replace(changing.HALF, "\ufffd")
        return float(part) if isinstance(part, int) and not -(2**63) <= part < 2**64 else part

    return [plain(report) for report in said(machine)]


def as_jq_has_it(part: Any) -> Any:
    """Whole numbers as jq 1.6 and 1.7 both have them: floating ones where these are no longer exact."""
    if isinstance(part, dict):
        return {key: as_jq_has_it(value) for key, value in part.items()}
    if isinstance(part, list):
        return [as_jq_has_it(value) for value in part]
    return float(part) if isinstance(part, int) and abs(part) >= FIRST_INEXACT else part


def pandas(machine: Machine, file: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The kind of each column, and the rows with what is in them."""
    machine.run("cat >/root/read.py", stdin=PANDAS.encode())
    kinds, rows = map(json.loads, machine.run(f"python3 /root/read.py {file}").splitlines())
    known = [
        {key: value for key, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
        for row in rows
    ]
    return dict(zip(rows[0], kinds, strict=True)), known


def from_readme(beginning: str) -> str:
    """The block of the README that begins so."""
    blocks = (CHECKOUT / "README.md").read_text(encoding="utf-8").split("```")[1::2]
    (found,) = (block.partition("\n")[2] for block in blocks if block.partition("\n")[2].startswith(beginning))
    return found


def test_jq_and_pandas_read_every_report_as_the_agent_said_it(machine: Machine) -> None:
    machine.run(f"cd /root && monitoringctl export {CHANGING} >reports.jsonl")
    exported = lines(machine, "cat /root/reports.jsonl")
    assert [one["report"] for one in exported] == expected(machine)[-len(exported) :]
    assert len(exported) >= REPORTS
    # What history takes for the time is the agent's, set by the distance of the clocks when a block was begun.
    skews = lines(machine, f"""/usr/bin/python3 -c "
import sqlite3
for skew, in sqlite3.connect('{HISTORY}').execute('SELECT DISTINCT skew FROM blocks'): print(skew)" """)
    assert all(one["at"] in {one["report"]["collected_at"] + skew for skew in skews} for one in exported)
    assert as_jq_has_it(lines(machine, "jq -c . /root/reports.jsonl")) == as_jq_has_it(exported)
    kinds, rows = pandas(machine, "/root/reports.jsonl")
    assert rows == exported
    assert kinds["at"] == "f"


def test_metrics_that_come_and_go_are_columns_with_nothing_where_there_was_none(machine: Machine) -> None:
    hostile = f"network.{changing.HOSTILE}\ufffd.sent_bytes_total"
    metrics = ["load.load_1m", "load.tasks", "memory", "network.*.sent_bytes_total", "clock", "at"]
    chosen = " ".join(f"-m {shlex.quote(metric)}" for metric in metrics)
    machine.run(f"cd /root && monitoringctl export {CHANGING} {chosen} --output some.jsonl")
    exported = lines(machine, "cat /root/some.jsonl")
    told = expected(machine)[-len(exported) :]
    for one, report in zip(exported, told, strict=True):
        load = report["load"] if isinstance(report.get("load"), dict) else {}
        wanted = {
            "agent": CHANGING,
            "at": one["at"],
            "load.load_1m": load.get("load_1m"),
            "load.tasks": load.get("tasks"),
            "memory.used_bytes": report["memory"]["used_bytes"],
            "memory.free_bytes": report["memory"]["free_bytes"],
            "network.eth0.100.sent_bytes_total": report["network"].get("eth0.100", {}).get("sent_bytes_total"),
            hostile: report["network"][f"{changing.HOSTILE}\ufffd"]["sent_bytes_total"],
            "clock.large": report["clock"]["large"],
            "clock.tiny": report["clock"]["tiny"],
        }
        assert one == {key: value for key, value in wanted.items() if value is not None}
    assert {"load.tasks", "network.eth0.100.sent_bytes_total"} <= set.union(*map(set, exported))
    assert len({frozenset(one) for one in exported}) > 2, "not all of them have all"
    assert as_jq_has_it(lines(machine, "jq -c . /root/some.jsonl")) == as_jq_has_it(exported)
    kinds, rows = pandas(machine, "/root/some.jsonl")
    # What is not in each row is a column of floating numbers.
    assert as_jq_has_it(rows) == as_jq_has_it(exported)
    assert {kinds[name] for name in ("load.load_1m", "network.eth0.100.sent_bytes_total", "clock.tiny")} == {"f"}


def test_the_course_of_metrics_is_read_too(machine: Machine) -> None:
    metrics = "load.load_1m gpu network"
    machine.run(f"cd /root && monitoringctl history {CHANGING} {metrics} --step 1s --format jsonl >course.jsonl")
    course = lines(machine, "cat /root/course.jsonl")
    told = {one["at"]: one["report"] for one in lines(machine, f"monitoringctl export {CHANGING}")}
    hostile = f"{changing.HOSTILE}\ufffd"
    for one in course:
        reports = [report for at, report in sorted(told.items()) if math.floor(at) == one["at"]]
        loads = [report["load"]["load_1m"] for report in reports if isinstance(report.get("load"), dict)]
        # A mean has six digits, and a counter the last of what it was.
        assert one.get("load.load_1m") == (pytest.approx(sum(loads) / len(loads), rel=1e-5) if loads else None)
        sent = reports[-1]["network"][hostile]["sent_bytes_total"]
        assert one[f"network.{hostile}.sent_bytes_total"] == sent
    assert "gpu.temperature_celsius" not in course[0]
    assert "gpu.temperature_celsius" in course[-1]
    assert lines(machine, "jq -c . /root/course.jsonl") == course
    assert pandas(machine, "/root/course.jsonl")[1] == course


def test_what_happened_is_read_too(machine: Machine) -> None:
    machine.run("cd /root && monitoringctl history --events --format jsonl >events.jsonl")
    events = lines(machine, "cat /root/events.jsonl")
    assert {(one["agent"], one["state"]) for one in events} >= {(CHANGING, "up"), (AGENT, "up")}
    assert lines(machine, "jq -c . /root/events.jsonl") == events
    assert pandas(machine, "/root/events.jsonl")[1] == events


def test_the_readme_s_commands_tell_the_greatest_load_of_each_agent(machine: Machine) -> None:
    ended = machine.run(f"cd /root && {from_readme('monitoringctl export')}")
    by_jq, _, by_pandas = ended.partition("\n}\n")
    loads: dict[str, list[float]] = {AGENT: [], CHANGING: []}
    for one in lines(machine, "monitoringctl export --since 1d"):
        load = one["report"].get("load")
        if isinstance(load, dict):
            loads[one["agent"]].append(load["load_1m"])
    assert json.loads(by_jq + "}") == {name: max(values) for name, values in loads.items()}
    for name, values in loads.items():
        (told,) = re.findall(rf"^{re.escape(name)} +(\S+)$", by_pandas, re.M)
        assert float(told) == pytest.approx(max(values), rel=1e-5)
    assert loads[CHANGING]


def test_the_readme_s_function_gives_a_script_the_lines_of_the_command(machine: Machine) -> None:
    script = from_readme("from pathlib import Path").replace("127.0.0.1:5000", CHANGING)
    machine.run("cat >/root/script.py", stdin=script.encode())
    assert machine.run("python3 /root/script.py") == machine.run(f"monitoringctl export --since 1d {CHANGING}")
    assert len(machine.run("python3 /root/script.py").splitlines()) >= REPORTS


def test_one_hostile_agent_does_not_keep_jq_from_reading_about_the_others(machine: Machine) -> None:
    saved = "/var/lib/monitoring/metrics_data.json"
    assert set(json.loads(machine.run(f"jq '.agents | map_values(.state)' {saved}"))) == {AGENT, CHANGING}
    for command in ("agents --json", f"show {CHANGING} --json", "status --json"):
        machine.attempt(f"monitoringctl {command} >/root/told.json")
        assert machine.run("jq -c keys /root/told.json").startswith("[")
