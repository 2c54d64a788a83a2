"""monitoringctl and what was: courses of metrics, events, and exports."""

import contextlib
import csv
import io
import json
import re
import resource
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from monitoring_supervisor.store.reading import Reader
from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import ROOT, SupervisorDaemon, free_port, wait_for
from tests.integration.rogues import Rogue
from tests.integration.test_ctl import CTL, ctl, environ, terminal

# What history takes for the time of a report can be up to a second ahead.
ALL = ["--since", "@0", "--until", f"@{time.time() + 3600:.0f}"]


@pytest.fixture
def watched(make_supervisor: MakeSupervisor, make_agent: MakeAgent) -> tuple[SupervisorDaemon, str]:
    """A supervisor that has watched an agent for some reports, and was stopped: all of them are in its history."""
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name)
    supervisor.start().wait_ready()
    first = wait_for(lambda: supervisor.agent(agent.name)["report"])["sequence"]
    wait_for(lambda: supervisor.agent(agent.name)["report"]["sequence"] >= first + 4)
    assert supervisor.stop() == 0
    return supervisor, agent.name


Watched = tuple[SupervisorDaemon, str]


def test_the_course_of_a_metric_is_drawn_and_told(watched: Watched) -> None:
    supervisor, name = watched
    ended = ctl(supervisor, "history", name, "memory.used_bytes", "--since", "5m")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"{name}  20")
    copied = ctl(supervisor, "history", f"https://{name}", "memory.used_bytes", "--since", "5m")  # from the whitelist
    assert copied.stdout.startswith(f"{name}  20")
    assert lines[2] == "memory.used_bytes"
    assert "·" in lines[3], "before it was watched there is nothing"
    assert set(lines[3].strip()) & set("▁▂▃▄▅▆▇█")
    assert "iB, greatest " in lines[4]
    assert lines[6].split() == ["TIME", "LEAST", "MEAN", "GREATEST"]
    several = ctl(supervisor, "history", "127.0.0.1", "load", "--since", "5m", "--step", "1h").stdout.splitlines()
    assert several[-2].split() == ["TIME", "load_1m", "load_5m", "load_15m", "tasks_runnable", "tasks"]


def test_the_course_for_programs_is_what_history_has(watched: Watched) -> None:
    supervisor, name = watched
    arguments = ["history", name, "load.load_1m", "load.tasks", *ALL, "--step", "1s"]
    rows = list(csv.DictReader(io.StringIO(ctl(supervisor, *arguments, "--format", "csv").stdout)))
    lines = [json.loads(line) for line in ctl(supervisor, *arguments, "--format", "jsonl").stdout.splitlines()]
    document = json.loads(ctl(supervisor, *arguments, "--json").stdout)
    with Reader(supervisor.directory / "history.db") as reader:
        kept = reader.series(name, ["load.load_1m", "load.tasks"], 0, time.time() + 3600, 1.0)
    assert len(rows) == len(lines) == len(kept["load.load_1m"]) >= 4
    for path, series in kept.items():
        assert [float(row["at"]) for row in rows] == [at for at, _ in series]
        assert [float(row[path]) for row in rows] == [line[path] for line in lines]
        assert [point["mean"] for point in document["metrics"][path]] == [line[path] for line in lines]


def test_a_metric_that_does_not_exist_is_answered_with_the_nearest(watched: Watched) -> None:
    supervisor, name = watched
    ended = ctl(supervisor, "history", name, "lode.load_1m")
    assert ended.returncode == 2
    assert "did you mean load.load_1m" in ended.stderr
    assert "is no time; write for example" in ctl(supervisor, "history", name, "load", "--since", "soon").stderr
    assert "not before --until" in ctl(supervisor, "history", name, "load", "--since", "1h", "--until", "2h").stderr
    assert f"did you mean {name}?" in ctl(supervisor, "history", name[:-1], "load").stderr
    assert "name an AGENT and a METRIC" in ctl(supervisor, "history", name).stderr


def outage(supervisor: SupervisorDaemon, agent: Rogue, make_rogue: MakeRogue) -> None:
    agent.close()
    agent.behave = lambda connection, path: False
    supervisor.wait_state(agent.name, "down")
    make_rogue(port=agent.port)
    supervisor.wait_state(agent.name, "up")


def test_events_tell_when_an_agent_went_down_why_and_how_available_it_was(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    agent, gone = make_rogue(), f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(agent.name, gone)
    supervisor.start().wait_ready()
    supervisor.wait_state(agent.name, "up")
    supervisor.wait_state(gone, "down")
    outage(supervisor, agent, make_rogue)
    supervisor.stop()
    ended = ctl(supervisor, "history", agent.name, "--events")
    assert ended.returncode == 0, ended.stderr
    _, available, _, title, *rows = ended.stdout.splitlines()
    assert available.startswith("Available ")
    assert title.split() == ["TIME", "STATE", "FOR", "WHY"]
    states = [row.split()[2] for row in rows]
    assert states == ["up", "suspect", "down", "up"]
    assert "connection" in rows[2]
    document = json.loads(ctl(supervisor, "history", agent.name, "--events", "--json").stdout)
    assert [event["state"] for event in document["events"]] == ["new", *states]
    assert 0 < document["availability"]["percent"] < 100
    everybody = ctl(supervisor, "history", "--events").stdout.splitlines()
    assert sorted(row.split()[2:4] for row in everybody[3:]) == sorted(
        [[agent.name, "down"], [agent.name, "up"], [gone, "down"]]
    )


def test_how_a_state_lasted_is_not_told_beyond_the_time_that_the_supervisor_ran(watched: Watched) -> None:
    supervisor, name = watched
    with contextlib.closing(sqlite3.connect(supervisor.directory / "history.db")) as connection, connection:
        connection.execute("UPDATE events SET at = at - 7200")
        connection.execute("UPDATE runs SET began = began - 7200, ended = ended - 7200")
    (row,) = ctl(supervisor, "history", name, "--events").stdout.splitlines()[4:]
    assert row.split()[2] == "up"
    assert re.fullmatch(r"\d+s", row.split()[3]), "some seconds, and not two hours"


def test_an_export_has_every_report_as_it_was(watched: Watched) -> None:
    supervisor, name = watched
    lines = [json.loads(line) for line in ctl(supervisor, "export", *ALL).stdout.splitlines()]
    with Reader(supervisor.directory / "history.db") as reader:
        kept = [json.loads(json.dumps(report)) for _, report in reader.reports(name, 0, time.time() + 60)]
    assert len(kept) >= 4
    assert [line["report"] for line in lines] == kept
    assert {line["agent"] for line in lines} == {name}


def test_an_export_of_some_metrics_is_a_table(watched: Watched) -> None:
    supervisor, name = watched
    arguments = ["export", name, *ALL, "-m", "load.load_1m", "-m", "memory.used*"]
    rows = list(csv.DictReader(io.StringIO(ctl(supervisor, *arguments, "--format", "csv").stdout)))
    lines = [json.loads(line) for line in ctl(supervisor, *arguments).stdout.splitlines()]
    assert len(rows) == len(lines) >= 4
    assert list(rows[0]) == ["agent", "at", "load.load_1m", "memory.used_bytes", "memory.used_percent"]
    assert list(lines[0]) == list(rows[0])
    long = list(csv.DictReader(io.StringIO(ctl(supervisor, "export", name, "--format", "csv").stdout)))
    assert {"agent", "at", "metric", "value"} == set(long[0])
    assert "load.load_1m" in {row["metric"] for row in long}


def test_an_export_to_a_file_is_whole_or_not_there(watched: Watched, tmp_path: Path) -> None:
    supervisor, name = watched
    (tmp_path / "out").mkdir()
    file = tmp_path / "out/reports.jsonl"
    assert ctl(supervisor, "export", name, "--output", str(file)).returncode == 0
    whole = file.read_text(encoding="utf-8")
    assert len(whole.splitlines()) >= 4

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    ended = subprocess.run(
        [*CTL, "--config", str(supervisor.directory / "monitoring.env"), "export", name, "--output", str(file)],
        cwd=ROOT,
        env=environ(supervisor),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=small_files_only,
    )
    assert ended.returncode == 2
    assert "cannot be written: File too large" in ended.stderr
    assert file.read_text(encoding="utf-8") == whole
    assert list(file.parent.iterdir()) == [file]
    missing = ctl(supervisor, "export", name, "--output", str(tmp_path / "nowhere/x"))
    assert "cannot be written: No such file" in missing.stderr


def test_an_export_shows_its_progress_to_a_person_and_to_nobody_else(watched: Watched, tmp_path: Path) -> None:
    supervisor, name = watched
    assert ctl(supervisor, "export", name, *ALL, "--output", str(tmp_path / "a")).stderr == ""
    with terminal(supervisor, "export", name, *ALL, "--output", str(tmp_path / "b")) as shown:
        assert shown.wait() == 0
    assert "Exporting" in shown.output
    assert "100%" in shown.output
    assert (tmp_path / "a").read_text(encoding="utf-8") == (tmp_path / "b").read_text(encoding="utf-8")


def test_of_an_agent_of_which_nothing_is_stored_yet_that_is_said_and_nothing_else_is_offered(watched: Watched) -> None:
    supervisor, _ = watched
    new = f"127.0.0.1:{free_port()}"
    saved = supervisor.document()
    saved["agents"][new] = {**next(iter(saved["agents"].values())), "state": "new", "report": None}
    supervisor.file.write_text(json.dumps(saved), encoding="utf-8")
    for arguments in ([new, "--events"], [new, "load.load_1m"], [new, "load", "--json"], [new, "--events", "--json"]):
        ended = ctl(supervisor, "history", *arguments)
        assert (ended.returncode, "did you mean" in ended.stderr) == (0, False), ended.stderr
    assert ctl(supervisor, "history", new, "--events").stdout.endswith("\nNothing is stored of it yet.\n")
    assert ctl(supervisor, "history", new, "load").stdout.endswith("nothing is kept of it from this time\n")
    exported = ctl(supervisor, "export", new, "-m", "load")
    assert (exported.returncode, exported.stdout) == (0, "")


def test_without_history_the_reason_is_told(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor()
    supervisor.configure()
    assert "there is no history at" in ctl(supervisor, "history", "a", "load").stderr
    supervisor.configure(HISTORY_FILE="")
    assert "HISTORY_FILE is empty" in ctl(supervisor, "export").stderr
    supervisor.configure(HISTORY_FILE="history.db")
    (supervisor.directory / "history.db").write_bytes(b"this is no database" * 1000)
    ended = ctl(supervisor, "history", "a", "load")
    assert ended.returncode == 2
    assert "cannot be read: file is not a database" in ended.stderr


