"""The control socket of a real supervisor: what it answers, to whom, and that nobody can make it wait."""

import contextlib
import json
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitoring_supervisor import control
from tests.fleet.process import Fleet
from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, free_port, wait_for

BAD_REQUESTS = {
    "nothing": b"",
    "no JSON": b"status",
    "no UTF-8": b"\xff",
    "no object": b"[]",
    "no such question": b'{"ask":"everything"}',
    "no name": b'{"ask":"agent"}',
    "no such state": b'{"ask":"agents","state":"lost"}',
    "labels that are none": b'{"ask":"agents","labels":7}',
    "a label that is no text": b'{"ask":"agents","labels":{"a":["b"]}}',
    "no such order": b'{"ask":"top","by":"colour"}',
    "no agents wanted": b'{"ask":"top","by":"cpu","limit":0}',
    "too long": b"x" * 100_000,
}


@contextmanager
def connected(supervisor: SupervisorDaemon) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(supervisor.control))
        yield sock


def ask(supervisor: SupervisorDaemon, **request: Any) -> Any:
    with connected(supervisor) as sock:
        sock.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(sock.makefile("rb").readline())


def test_status_tells_the_counts_and_every_agent_that_is_not_up(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    well, gone = make_rogue().name, f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(well, gone)
    supervisor.start().wait_ready()
    supervisor.wait_state(gone, "down")
    answer = ask(supervisor, ask="status")
    assert answer["counts"] == {"new": 0, "up": 1, "suspect": 0, "down": 1}
    assert list(answer["agents"]) == [gone]
    assert answer["agents"][gone]["failure"]["kind"] == "refused"
    assert answer["agents"][gone]["since"] is None
    assert answer["supervisor"]["troubles"] == []


def test_one_agent_is_told_with_its_report_by_its_name_its_address_and_the_name_of_its_machine(
    make_supervisor: MakeSupervisor, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name)
    supervisor.start().wait_ready()
    supervisor.wait_state(agent.name, "up")
    wait_for(lambda: ask(supervisor, ask="agent", name=agent.name)["agents"][agent.name]["report"])
    known = ask(supervisor, ask="agent", name=agent.name)["agents"][agent.name]
    assert known["report"]["host"]["hostname"] == known["hostname"]
    assert known["vitals"]["memory_percent"] > 0
    for name in ("127.0.0.1", known["hostname"]):
        assert list(ask(supervisor, ask="agent", name=name)["agents"]) == [agent.name]
    assert ask(supervisor, ask="agent", name="127.0.0.2")["kind"] == "unknown_agent"


def test_agents_are_told_by_state_and_by_label(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue, tmp_path: Path
) -> None:
    db, web = make_rogue().name, make_rogue().name
    (tmp_path / "agents").write_text(f"{db} role=db rack=7\n{web} role=web rack=7\n", encoding="ascii")
    supervisor = make_supervisor(WHITELIST_FILE=str(tmp_path / "agents"))
    supervisor.start().wait_ready()
    assert set(ask(supervisor, ask="agents")["agents"]) == {db, web}
    assert set(ask(supervisor, ask="agents", labels={"rack": "7"}, state="up")["agents"]) == {db, web}
    assert set(ask(supervisor, ask="agents", labels={"rack": "7", "role": "db"})["agents"]) == {db}
    assert ask(supervisor, ask="agents", state="down")["agents"] == {}


def test_a_reload_over_the_socket_applies_the_settings_or_tells_the_mistakes(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    first, second = make_rogue().name, make_rogue().name
    supervisor = make_supervisor(first)
    supervisor.start().wait_ready()
    supervisor.configure(WHITELIST_AGENT=f"{first},{second}")
    assert ask(supervisor, ask="reload") == {"schema": 1, "mistakes": [], "agents": 2}
    supervisor.wait_state(second, "up")
    supervisor.configure(REQUEST_TIMEOUT="0")
    (mistake,) = ask(supervisor, ask="reload")["mistakes"]
    assert "REQUEST_TIMEOUT: '0' is not a number of seconds" in mistake
    wait_for(lambda: supervisor.said("not reloaded"))


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_bad_request_is_answered_with_what_is_wrong_with_it(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue, what: str
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    with connected(supervisor) as sock:
        sock.sendall(BAD_REQUESTS[what] + b"\n")
        answer = json.loads(sock.makefile("rb").readline())
    assert answer["kind"] == "bad_request"
    assert answer["error"]
    assert ask(supervisor, ask="status")["counts"]["up"] == 1


def test_who_does_not_read_takes_neither_memory_nor_the_turn_of_others(
    make_supervisor: MakeSupervisor,
) -> None:
    with Fleet(400) as fleet:
        # As seldom as usual: this is not about how many can be asked.
        usual = {"INTERVAL_METRICS_CHECK": "1", "INTERVAL_HEALTH_CHECK": "3", "REQUEST_TIMEOUT": "2"}
        supervisor = make_supervisor(*fleet.names, HISTORY_FILE="", **usual)
        supervisor.start().wait_ready()
        wait_for(lambda: ask(supervisor, ask="status")["counts"]["up"] == 400, 30)
        for _ in range(40):
            ask(supervisor, ask="agents")
        before = rss_bytes(supervisor)
        with connected(supervisor) as deaf:
            deaf.sendall(b'{"ask":"agents"}\n' * 300)  # answers of 60 MB together
            wait_for(lambda: len(deaf.recv(1, socket.MSG_PEEK)) == 1)
            for _ in range(80):
                assert len(ask(supervisor, ask="agents")["agents"]) == 400
            assert rss_bytes(supervisor) - before < 10_000_000


def test_who_asks_small_questions_and_does_not_read_takes_no_memory_either(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    for _ in range(40):
        ask(supervisor, ask="status")
    before = rss_bytes(supervisor)
    with connected(supervisor) as deaf:
        deaf.settimeout(3)
        with pytest.raises((TimeoutError, ConnectionError)):  # its questions are taken no more, then it is let go of
            for _ in range(1000):
                deaf.sendall(b"x\n" * 1000)  # each answered with forty times as much
                assert rss_bytes(supervisor) - before < 10_000_000
    assert ask(supervisor, ask="status")["counts"]["up"] == 1


def test_who_ends_and_never_reads_is_counted_until_gone(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    folder = Path(f"/proc/{supervisor.process.pid}/fd")
    before = len(list(folder.iterdir()))
    with contextlib.ExitStack() as ends:
        for _ in range(2 * control.MAX_CONNECTIONS):
            deaf = ends.enter_context(connected(supervisor))
            with contextlib.suppress(ConnectionError):  # one too many
                deaf.sendall(b"x\n" * 400)
                deaf.shutdown(socket.SHUT_WR)
        wait_for(lambda: len(list(folder.iterdir())) > before + 10)
        wait_for(lambda: len(list(folder.iterdir())) <= before + 5, control.DEAF_SECONDS + 20)
        assert ask(supervisor, ask="status")["counts"]["up"] == 1


def test_who_ends_and_reads_slowly_gets_all_of_its_answer(make_supervisor: MakeSupervisor) -> None:
    names = [f"127.0.0.1:{port}" for port in range(20000, 22000)]
    supervisor = make_supervisor(WHITELIST_AGENT=",".join(names), INTERVAL_HEALTH_CHECK="60")
    supervisor.start().wait_ready()
    step = 16 * 1024
    with contextlib.ExitStack() as ends:
        # Each stops at another place: for some of them all that is left lies in the supervisor and in the socket.
        readers = []
        for number in range(control.MAX_CONNECTIONS - 1):
            slow = ends.enter_context(connected(supervisor))
            slow.sendall(b'{"ask":"agents"}\n')
            slow.shutdown(socket.SHUT_WR)
            reader = slow.makefile("rb")
            readers.append((reader.read(number * step), reader))
        time.sleep(4)  # longer than who is one too many may take to ask
        answers = [begun + reader.read() for begun, reader in readers]
    assert len(answers[0]) > len(answers) * step
    assert all(len(json.loads(answer)["agents"]) == 2000 for answer in answers)


def rss_bytes(supervisor: SupervisorDaemon) -> int:
    status = Path(f"/proc/{supervisor.process.pid}/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_more_connections_than_are_allowed_are_told_so_and_the_others_go_on(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(control.MAX_CONNECTIONS)]
    try:
        for sock in sockets:
            sock.settimeout(10)
            sock.connect(str(supervisor.control))
            sock.sendall(b'{"ask":"status"}\n')
            assert b"counts" in sock.makefile("rb").readline()
        assert ask(supervisor, ask="status")["kind"] == "busy"
        sockets[0].sendall(b'{"ask":"status"}\n')
        assert b"counts" in sockets[0].makefile("rb").readline()
    finally:
        for sock in sockets:
            sock.close()
    wait_for(lambda: "counts" in ask(supervisor, ask="status"))


def test_only_owner_and_group_may_connect_and_the_socket_goes_with_the_supervisor(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    assert stat.S_IMODE(supervisor.control.stat().st_mode) == 0o660
    assert supervisor.stop() == 0
    assert not supervisor.control.exists()


def test_a_socket_left_by_a_crash_is_no_obstacle(make_supervisor: MakeSupervisor, make_rogue: MakeRogue) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    supervisor.process.kill()
    supervisor.wait()
    assert supervisor.control.exists()
    supervisor.notifications.clear()
    supervisor.start().wait_ready()
    assert ask(supervisor, ask="status")["counts"]["up"] == 1
    assert not supervisor.said("control socket")


def test_a_second_supervisor_says_that_it_leaves_the_socket_to_the_first(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    agent = make_rogue().name
    first = make_supervisor(agent)
    first.start().wait_ready()
    started_at = ask(first, ask="status")["supervisor"]["started_at"]
    second = make_supervisor(agent, CONTROL_SOCKET=str(first.control))
    second.start().wait_ready()
    assert second.said("another supervisor answers at")
    assert ask(first, ask="status")["supervisor"]["started_at"] == started_at
    assert second.stop() == 0
    assert ask(first, ask="status")["supervisor"]["started_at"] == started_at


def test_without_a_place_for_the_socket_the_supervisor_says_so_and_works(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue, tmp_path: Path
) -> None:
    agent = make_rogue().name
    supervisor = make_supervisor(agent, CONTROL_SOCKET=str(tmp_path / "nowhere/supervisor.sock"))
    supervisor.start().wait_ready()
    supervisor.wait_state(agent, "up")
    assert supervisor.said("no control socket at")
