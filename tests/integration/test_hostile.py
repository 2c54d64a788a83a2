"""Agents that answer in due form and lie: what they say is bounded, and costs the supervisor and the others nothing."""

import json
import re
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.shared.layout import Layout
from monitoring_supervisor.model import Kind
from monitoring_supervisor.store.reading import Reader
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, free_port, wait_for
from tests.integration.rogues import HEALTHY, Behaviour, Rogue, http_answer, says
from tests.integration.test_ctl import ctl, terminal

LIFE = 1_794_900_000.5
WHOLE = {"schema": 1, "sequence": 1, "collected_at": LIFE, "agent": {"started_at": LIFE}, "load": {"load_1m": 0.5}}
_HELD = re.compile(r"[?&]changes=([0-9]+)")

# A report may have 1 MiB, and what is taken in before a whole one is wanted again some times as much.
MAX_HELD_BYTES = 5 * 1024 * 1024
MAX_MEMORY_MIB = 150

# What would clear a terminal, set its title, end a string, turn the writing, be run by a shell or by a browser.
EVIL = "\x1b[2J\x1b]0;evil\x07\x9b31m\u202e\u2028\r\b\x00\ud800<script>alert(1)</script>$(touch evil)`touch evil`\n,"


def says_reports(*reports: dict[str, Any]) -> Behaviour:
    """Is healthy, and sends these reports, whole and one after the other."""
    bodies = [http_answer(json.dumps(report).encode("ascii")) for report in reports]
    numbers = count()

    def behave(connection: socket.socket, path: str) -> bool:
        is_metrics = path.startswith("/getmetrics")
        connection.sendall(bodies[next(numbers) % len(bodies)] if is_metrics else HEALTHY)
        return True

    return behave


def moves(since: int, sequence: int, first: int, keys: int) -> bytes:
    """A good answer: what moved from the report `since` to the report `sequence`, with so many new keys."""
    move = {"sequence": sequence, "collected_at": LIFE + sequence, "at": [0] * keys, "to": [1] * keys}
    numbers = {f"key {number}": number for number in range(first, first + keys)}
    document = {"schema": 1, "since": since, "until": sequence, "moves": [move]}
    layout = {"layout": [1, first + keys], "numbers": numbers}
    return json.dumps({**document, **layout}, separators=(",", ":")).encode("ascii")


def lies(first: int, step: int, keys: int) -> Behaviour:
    """A whole report once; from then on what moved, whatever is asked, each time with so many new keys."""
    layout = Layout()
    layout.values(WHOLE)
    held, count = 0, layout.count

    def behave(connection: socket.socket, path: str) -> bool:
        nonlocal held, count
        if not path.startswith("/getmetrics"):
            connection.sendall(HEALTHY)
        elif not held:
            held = first
            numbered = {"layout": [1, count], "numbers": layout.tree}
            report = {"schema": 1, "report": {**WHOLE, "sequence": first}, **numbered}
            connection.sendall(http_answer(json.dumps(report).encode("ascii")))
        else:
            asked = _HELD.search(path)
            since = int(asked[1]) if asked else held
            held = since + step
            connection.sendall(http_answer(moves(since, held, count, keys)))
            count += keys
        return True

    return behave


def peak_mib(supervisor: SupervisorDaemon) -> int:
    status = Path(f"/proc/{supervisor.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def wait_failure(supervisor: SupervisorDaemon, name: str) -> dict[str, str]:
    failure: dict[str, str] = wait_for(lambda: supervisor.agent(name)["failure"], 30)
    return failure


def test_agents_with_ten_thousand_new_keys_in_each_answer_are_held_to_a_size(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    good, adds = make_rogue(), make_rogue(lies(first=1, step=1, keys=10_000))
    reports = [
        {**WHOLE, "sequence": number, "more": {f"{number} {key}": key for key in range(10_000)}}
        for number in range(1, 60)
    ]
    exchanges = make_rogue(says_reports(*reports))
    supervisor = make_supervisor(good.name, adds.name, exchanges.name)
    supervisor.start().wait_ready()
    since = supervisor.wait_state(good.name, "up")["since"]
    assert wait_failure(supervisor, adds.name)["kind"] == Kind.NOT_A_REPORT
    polls = len(good.paths)
    wait_for(lambda: len(good.paths) > polls + 15)
    assert 0 < len(json.dumps(supervisor.agent(adds.name)["report"])) < MAX_HELD_BYTES
    assert len(supervisor.agent(exchanges.name)["report"]["more"]) == 10_000
    assert peak_mib(supervisor) < MAX_MEMORY_MIB
    assert supervisor.agent(good.name)["since"] == since
    assert supervisor.stop() == 0
    assert not supervisor.said("Traceback")


def test_sequences_that_run_backwards_are_no_report(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    liar = make_rogue(lies(first=1000, step=-1, keys=1))
    supervisor = make_supervisor(liar.name)
    supervisor.start().wait_ready()
    failure = wait_failure(supervisor, liar.name)
    assert failure["kind"] == Kind.NOT_A_REPORT
    assert failure["detail"].startswith("the changes ")  # do not follow each other, and then not what is held
    assert supervisor.agent(liar.name)["report"]["sequence"] == 1000


def test_whole_reports_that_run_backwards_spoil_neither_history_nor_the_supervisor(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    liar = make_rogue(says_reports(*({**WHOLE, "sequence": sequence} for sequence in range(60, 0, -1))))
    supervisor = make_supervisor(liar.name)
    supervisor.start().wait_ready()
    wait_for(lambda: len(liar.paths) > 10)
    assert supervisor.stop() == 0
    assert not supervisor.said("Traceback"), supervisor.lines
    with Reader(supervisor.directory / "history.db") as reader:
        said = [report["sequence"] for _, report in reader.reports(liar.name, 0.0, 1e12)]
    assert len(said) > 5
    assert said == sorted(said, reverse=True)
    assert reader.damaged == 0


def test_new_numbers_in_reports_that_are_no_use_cost_the_supervisor_nothing(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    """A minute of which all reports with some number were refused had once ended the supervisor."""
    bad = [{**WHOLE, "sequence": 2 + new, "load": {"load_1m": 0.5, "new": new, "large": 1e301}} for new in range(2)]
    liar = make_rogue(says_reports(WHOLE, *bad * 500))
    supervisor = make_supervisor(liar.name)
    supervisor.start().wait_ready()
    assert wait_failure(supervisor, liar.name)["kind"] == Kind.NOT_A_REPORT
    wait_for(lambda: len(liar.paths) > 10)
    assert supervisor.stop() == 0, "it closes the minute then"
    assert not supervisor.said("Traceback"), supervisor.lines


def test_an_agent_that_claims_to_be_another_one_is_named_and_the_other_s_report_stays(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def report(sequence: int, load: float) -> dict[str, Any]:
        host = {"hostname": "web-1", "machine_id": "a" * 32}
        return {**WHOLE, "sequence": sequence, "host": host, "load": {"load_1m": load}}

    good, liar = make_rogue(says_reports(report(5, 0.5))), make_rogue(says_reports(report(99, 77.0)))
    supervisor = make_supervisor(good.name, liar.name)
    supervisor.start().wait_ready()
    for name, load in ((good.name, 0.5), (liar.name, 77.0)):
        wait_for(lambda name=name: supervisor.agent(name)["report"])  # type: ignore[misc]
        assert supervisor.agent(name)["report"]["load"]["load_1m"] == load
    wait_for(lambda: supervisor.said("are one machine; it is asked, and counted, once for each name"))
    asked = ctl(supervisor, "show", "web-1")
    assert asked.returncode == 2
    assert "may be" in asked.stderr
    assert good.name in asked.stderr
    assert liar.name in asked.stderr


def test_of_a_key_that_is_there_twice_the_last_one_counts_everywhere(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    twice = b'{"schema":2,"schema":1,"sequence":9,"sequence":7,"collected_at":1.5,"agent":{"started_at":1.5},'
    twice += b'"host":{"hostname":"first"},"host":{"hostname":"last"},"load":{"load_1m":1,"load_1m":2}}'

    def behave(connection: socket.socket, path: str) -> bool:
        connection.sendall(http_answer(twice) if path.startswith("/getmetrics") else HEALTHY)
        return True

    liar = make_rogue(behave)
    supervisor = make_supervisor(liar.name)
    supervisor.start().wait_ready()
    report = wait_for(lambda: supervisor.agent(liar.name)["report"])
    assert (report["sequence"], report["host"]["hostname"], report["load"]) == (7, "last", {"load_1m": 2})
    wait_for(lambda: len(liar.paths) > 10)
    assert supervisor.stop() == 0
    assert json.loads(supervisor.file.read_bytes(), object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    text = supervisor.file.read_text(encoding="ascii")
    assert (text.count('"hostname":"last"'), text.count('"first"')) == (1, 0)
    with Reader(supervisor.directory / "history.db") as reader:
        assert [one["load"] for _, one in reader.reports(liar.name, 0.0, 1e12)][:1] == [{"load_1m": 2}]
    assert not supervisor.said("Traceback")


def test_of_an_answer_with_a_second_one_behind_it_only_the_first_counts_and_the_connection_ends(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    liar = make_rogue(says(HEALTHY + http_answer(b'{"status":"no"}')))
    supervisor = make_supervisor(liar.name)
    supervisor.start().wait_ready()
    wait_for(lambda: len(liar.paths) > 10)
    # The end of the connection is seen a moment after the next question is counted.
    assert liar.connections >= len(liar.paths) - 1
    assert supervisor.agent(liar.name)["state"] != "down"


def test_a_redirect_is_followed_nowhere_and_the_token_goes_to_nobody_else(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    trap, socket_trap = make_rogue(), socket.socket(socket.AF_UNIX)
    socket_trap.bind(str(tmp_path / "trap.sock"))
    socket_trap.listen()
    supervisor = make_supervisor()
    sockets = [f"http+unix://{str(path).replace('/', '%2F')}/" for path in (supervisor.control, tmp_path / "trap.sock")]
    places = (f"http://{trap.name}/getmetrics", f"//{trap.name}/", "file:///etc/passwd", *sockets)
    agents = [
        make_rogue(says(http_answer(b"", f"{status} Elsewhere", f"Location: {place}\r\n")))
        for place in places
        for status in (301, 307)
    ]
    supervisor.configure(WHITELIST_AGENT=",".join(agent.name for agent in agents))
    supervisor.start().wait_ready()
    for agent in agents:
        failure = supervisor.wait_state(agent.name, "down")["failure"]
        assert failure["kind"] == Kind.HTTP_STATUS
        probed = ctl(supervisor, "probe", agent.name)
        assert probed.returncode == 1
        assert "HTTP status 30" in probed.stdout
    assert trap.connections == 0
    with socket_trap, pytest.raises(BlockingIOError):
        socket_trap.setblocking(False)
        socket_trap.accept()
    assert not supervisor.said("Traceback")


def evil_agent(make_rogue: MakeRogue) -> Rogue:
    report = {
        **WHOLE,
        "host": {"hostname": f"host{EVIL}", "machine_id": EVIL},
        "load": {"load_1m": 0.5, EVIL: 1.5},
        f"section{EVIL}": {f"deep{EVIL}": {"state": EVIL, "list": [EVIL, {EVIL: EVIL}], f"number{EVIL}": 7}},
        "filesystems": {f"/{EVIL}": {"used_percent": 99.5, "state": "hung"}},
        "collectors": {f"collector{EVIL}": {"ok": False, "error": EVIL}},
    }
    return make_rogue(says_reports(report, {**report, "host": {"machine_id": f"{EVIL}2"}}))


def test_names_of_any_characters_are_kept_as_they_are_and_steer_no_terminal_through_the_journal(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    agent = evil_agent(make_rogue)
    supervisor = make_supervisor(agent.name)
    supervisor.start().wait_ready()
    report = wait_for(lambda: supervisor.agent(agent.name)["report"])
    kept = EVIL.replace("\ud800", "\ufffd")  # half a letter is none, and has others refuse the whole document
    assert report["collectors"] == {f"collector{kept}": {"ok": False, "error": kept}}
    answer = json.dumps({"status": "failing", "reason": EVIL}).encode("ascii")
    agent.behave = says(http_answer(answer, "503 No"))
    supervisor.wait_state(agent.name, "down")
    supervisor.stop()
    assert supervisor.said("HTTP status 503: \\x1b[2J\\x1b]0;evil")
    assert supervisor.said(f"disk /{EVIL[:1].encode('unicode_escape').decode()}[2J")
    assert all(line.isprintable() for line in supervisor.lines)
    assert not supervisor.said("Traceback")


# AGENT is the hostile one. What a program reads is read by people too, in a terminal.
COMMANDS = {
    "status": ["status"],
    "status --json": ["status", "--json"],
    "agents": ["agents"],
    "agents --json": ["agents", "--json"],
    "show": ["show", "AGENT"],
    "show --all": ["show", "AGENT", "--all"],
    "show --json": ["show", "AGENT", "--json"],
    "show of a section that is not there": ["show", "AGENT", "section"],
    "show of an ambiguous name": ["show", "127.0.0.1"],
    "history": ["history", "AGENT", "load"],
    "history of one": ["history", "AGENT", f"load.{EVIL.replace(chr(0), '*').replace(chr(0xD800), '*')}"],
    "history of what is not there": ["history", "AGENT", "loadx"],
    "history --format csv": ["history", "AGENT", "load", "--format", "csv", "--step", "1s"],
    "history --json": ["history", "AGENT", "load", "--json"],
    "history --events": ["history", "--events", "AGENT"],
    "history --events --format csv": ["history", "--events", "--format", "csv"],
    "export": ["export"],
    "export --format csv": ["export", "--format", "csv"],
    "export of metrics": ["export", "--format", "csv", "-m", "load", "-m", "section*"],
    "probe": ["probe", "AGENT"],
}
# What monitoringctl itself writes in a terminal: colours, and the ends of lines.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m|\r?\n")


def test_what_an_agent_says_cannot_steer_the_terminal_through_any_command(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    agent, gone = evil_agent(make_rogue), f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(agent.name, gone)
    supervisor.start().wait_ready()
    wait_for(lambda: supervisor.agent(agent.name)["report"])
    numbers = len(agent.paths)
    wait_for(lambda: len(agent.paths) > numbers + 60, 30)  # some of it is in history by then
    for what, command in COMMANDS.items():
        arguments = [agent.name if word == "AGENT" else word for word in command]
        with terminal(supervisor, *arguments, PAGER="cat") as shown:  # both at once: it is the start that takes time
            plain = ctl(supervisor, *arguments)
            shown.wait()
            assert _COLOURS.sub("", shown.output).isprintable(), (what, shown.output)
        assert "Traceback" not in plain.stderr, what
        for text in (plain.stdout, plain.stderr):
            assert not {letter for letter in text if not letter.isprintable()} - {"\n"}, (what, text)
    with terminal(supervisor, "top", "--sort", "name") as shown:
        shown.wait_shown("MACHINE")
        shown.press("q")
        shown.wait()
        assert not [part for part in ("\x1b]0;evil", "\x9b31m", "\u202e", "\x1b[2J\x1b]") if part in shown.output]
