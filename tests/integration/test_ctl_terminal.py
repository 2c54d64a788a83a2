"""monitoringctl in terminals of any width: tables that fit, and the fleet in the order that was asked for."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wcwidth import wcswidth

from monitoring_agent.shared import wire
from monitoring_supervisor.ctl.top import KEYS
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, free_port, wait_for
from tests.integration.rogues import HEALTHY, Behaviour, http_answer
from tests.integration.terminal import Terminal
from tests.integration.test_ctl import ctl, terminal

# Letters that take two columns, one, and none; each name has its own, so that one sees where they are.
WIDE, NARROW, COMBINED = "日本" * 20, "long-name-of-a-machine-" * 4, "e\u0301กิ\u0e49" * 20
REASON = "理由がとても長いのでここには入りません" * 4
LABEL = "データ" * 15
LONG_NAME = ".".join(["a-part-of-a-long-name"] * 6) + ".invalid"
TABLES = ("status", "agents", "course", "courses", "events", "all events", "probe")


def machine(hostname: str, **vitals: float) -> Behaviour:
    """An agent of a machine of this name."""
    sections = {
        "load": {"load_1m": vitals.get("load", 1e14 + 0.25), "load_5m": 0.5, "load_15m": 0.25},
        "cpu": {"busy_percent": vitals.get("cpu", 99.5)},
        "memory": {"used_percent": vitals.get("memory", 55.5)},
        "filesystems": {f"/{WIDE}": {"used_percent": vitals.get("disk", 5)}},
        "network": {
            WIDE: {
                "received_bytes_per_second": vitals.get("in", 12345.6),
                "sent_bytes_per_second": vitals.get("out", 1e9),
            }
        },
    }
    sequence = 0

    def behave(connection: socket.socket, path: str) -> bool:
        nonlocal sequence
        sequence += 1
        report = {"schema": 1, "sequence": sequence, "collected_at": time.time(), "host": {"hostname": hostname}}
        body = wire.encode({**report, **sections})
        connection.sendall(http_answer(body) if path.startswith("/getmetrics") else HEALTHY)
        return True

    return behave


def fails_at_length(connection: socket.socket, _path: str) -> bool:
    body = json.dumps({"status": "failing", "error": REASON}).encode()
    connection.sendall(http_answer(body, "503 SERVICE UNAVAILABLE"))
    return True


@pytest.fixture
def watched(make_supervisor: MakeSupervisor, make_rogue: MakeRogue, tmp_path: Path) -> SupervisorDaemon:
    """A supervisor that has made up its mind about agents with all kinds of names."""
    names = [make_rogue(machine(name), f"127.0.6.{n}").name for n, name in enumerate((WIDE, NARROW, COMBINED), 1)]
    # By its name it is the last: what goes too far in its line is overwritten by none.
    failing = f"localhost:{make_rogue(fails_at_length).port}"
    nobody = f"127.0.6.5:{free_port()}"
    lines = [f"{names[0]} kind={LABEL} rack=7", *names[1:], failing, nobody, LONG_NAME]
    (tmp_path / "agents").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    supervisor = make_supervisor(WHITELIST_FILE=str(tmp_path / "agents"))
    supervisor.start().wait_ready()
    for name in (failing, nobody, f"{LONG_NAME}:5000"):
        supervisor.wait_state(name, "down", 30)
    for name in names:
        wait_for(lambda name=name: supervisor.agent(name)["report"])  # type: ignore[misc]
    # History is written every few seconds.
    wait_for(lambda: ctl(supervisor, "export", names[0], "-m", "load.load_1m").stdout, 30)
    wait_for(lambda: ctl(supervisor, "history", "--events", "--json").stdout.count('"down"') >= 3, 30)
    return supervisor


def arguments(table: str, agents: dict[str, str]) -> list[str]:
    return {
        "status": ["status"],
        "agents": ["agents"],
        "course": ["history", agents["127.0.6.1"], "load.load_1m"],
        "courses": ["history", agents["127.0.6.1"], "load", "network"],
        "events": ["history", agents["localhost"], "--events"],
        "all events": ["history", "--events"],
        "probe": ["probe", agents["localhost"]],
    }[table]


def shown(supervisor: SupervisorDaemon, columns: int, *command: str) -> list[str]:
    """The lines of the table that a command writes into a terminal; what stands above a table is prose."""
    with terminal(supervisor, *command, columns=columns, PAGER="cat", NO_COLOR="1") as seen:
        seen.wait()
    assert "Traceback" not in seen.output
    lines = seen.output.replace("\r\n", "\n").rstrip("\n").split("\n")
    titles = [number for number, line in enumerate(lines) if line.startswith(("AGENT", "TIME", "  ok "))]
    return lines[titles[0] :] if titles else lines[-1:]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_of_a_table_is_wider_than_the_terminal_and_no_agent_and_no_reason_is_lost(
    watched: SupervisorDaemon, columns: int
) -> None:
    states = {name: about["state"] for name, about in watched.document()["agents"].items()}
    agents = {name.rpartition(":")[0]: name for name in states}
    for table in TABLES:
        lines = shown(watched, columns, *arguments(table, agents))
        assert len(lines) > 1 or table == "courses", table
        if len(lines) > 1:
            assert max(map(wcswidth, lines)) <= columns, (table, lines)
        text = "\n".join(lines)
        if table in {"status", "events", "all events", "probe"}:
            letters = "".join(letter for letter in text if letter in REASON)
            assert REASON in letters, (table, text)
        if table in {"status", "agents"}:
            told = [name for name in states if table == "agents" or states[name] != "up"]
            assert [name for name in told if len(name) <= 21 and name not in text] == [], (table, text)
            # The long one goes on below, with nothing left out.
            column = len(lines[0]) - len(lines[0].removeprefix("AGENT").lstrip())
            first = "".join(line[:column].strip() for line in lines)
            assert f"{LONG_NAME}:5000" in first, (table, text)
    watched.stop()
    for table in ("status", "agents"):
        lines = shown(watched, columns, *arguments(table, agents))
        assert max(map(wcswidth, lines)) <= columns


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_top_fits_the_terminal_and_no_row_goes_on_in_the_next(watched: SupervisorDaemon, columns: int) -> None:
    with terminal(watched, "top", columns=columns, term="linux", NO_COLOR="1") as top:
        top.wait_shown("AGENT")
        top.press("n")
        wait_for(lambda: top.screen()[8].startswith("local") and top.screen()[-1].startswith("q quit"))
        screen = top.screen()
        top.press("q")
        assert top.wait() == 0
    assert screen[2].split()[0] == "AGENT"
    rows = screen[3:9]
    assert [row[:6] for row in rows] == ["127.0."] * 4 + ["a-part", "localh"], screen
    assert not any(screen[9:-1]), screen
    assert max(map(wcswidth, screen)) <= columns


VITALS = {
    # What each of five has, such that no two of these bring them into one order.
    "load": (5, 1, 2, 3, 4),
    "cpu": (10, 50, 20, 30, 40),
    "memory": (40, 30, 50, 10, 20),
    "disk": (20, 10, 30, 50, 40),
    "in": (1e3, 4e3, 3e3, 2e3, 5e3),
    "out": (2e5, 3e5, 1e5, 5e5, 4e5),
}


@pytest.fixture
def sorted_by(make_supervisor: MakeSupervisor, make_rogue: MakeRogue) -> Iterator[tuple[Terminal, list[str]]]:
    """`top`, and the agents that it shows: five with numbers, one that is down."""
    vitals = [dict(zip(VITALS, one, strict=True)) for one in zip(*VITALS.values(), strict=True)]
    names = [make_rogue(machine(f"m{n}", **one), f"127.0.7.{n}").name for n, one in enumerate(vitals, 1)]
    gone = f"127.0.7.6:{free_port('127.0.7.6')}"
    supervisor = make_supervisor(*names, gone)
    supervisor.start().wait_ready()
    supervisor.wait_state(gone, "down")
    for name in names:
        wait_for(lambda name=name: supervisor.agent(name)["report"])  # type: ignore[misc]
    with terminal(supervisor, "top", "--interval", "0.5", columns=120, term="linux", NO_COLOR="1") as top:
        yield top, [*names, gone]


def test_each_key_of_top_sorts_by_what_the_line_at_the_foot_says(sorted_by: tuple[Terminal, list[str]]) -> None:
    top, names = sorted_by
    *known, gone = names

    def expected(order: str) -> list[str]:
        if order == "name":
            return names
        if order == "state":
            return [gone, *known]
        values = dict(zip(known, VITALS[order], strict=True))
        # Of one that is down nothing is known now.
        return [*sorted(known, key=lambda name: -values[name]), gone]

    def rows() -> list[str]:
        return [line.split()[0] for line in top.screen()[3:9] if line]

    orders = [*KEYS.items(), *reversed(KEYS.items())]
    assert len({tuple(expected(order)) for order in KEYS.values()}) == len(KEYS)
    wait_for(lambda: rows() == expected("state"))
    for key, order in orders:
        assert f"{key} {order}" in top.screen()[-1]
        top.press(key)
        wait_for(lambda order=order: rows() == expected(order))  # type: ignore[misc]
    top.press("q")
    assert top.wait() == 0

