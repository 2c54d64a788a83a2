"""The supervisor as a real process, with real agents and with servers that answer for them."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import TOKEN, free_port, wait_for
from tests.integration.rogues import (
    GOOD,
    HEALTHY,
    hangs_up,
    http_answer,
    is_silent,
    says,
    says_of_metrics,
    well_behaved,
)


def test_an_agent_is_found_up_and_its_report_is_saved_every_round(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name, INTERVAL_METRICS_CHECK="1", INTERVAL_HEALTH_CHECK="3")
    supervisor.start()
    about = supervisor.wait_state(agent.name, "up", 3)
    assert (about["listing"], about["failure"]) == ("white", None)
    assert supervisor.document()["whitelist"] == [agent.name]
    wait_for(lambda: supervisor.agent(agent.name)["report"])
    began = time.monotonic()
    written: set[float] = set()
    sequences: set[int] = set()

    def five_of_each() -> bool:
        document = supervisor.document()
        written.add(document["written_at"])
        sequences.add(document["agents"][agent.name]["report"]["sequence"])
        return min(len(written), len(sequences)) >= 5

    wait_for(five_of_each, 30)
    assert time.monotonic() - began > 2, "once a round, not as fast as it can"
    assert time.time() - max(written) < 5, "it tells when it was written"


def test_the_saved_report_is_to_the_letter_what_the_agent_said_although_only_changes_are_sent(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name)
    supervisor.start().wait_ready()
    first = wait_for(lambda: supervisor.agent(agent.name)["report"])
    last = first["sequence"] + 3
    later = wait_for(lambda: (one := supervisor.agent(agent.name)["report"])["sequence"] > last and one)
    reports = json.loads(agent.get(f"/getmetrics?since={later['sequence'] - 1}")[2])["reports"]
    assert later == reports[0]


def test_an_agent_that_stops_is_blacklisted_and_one_that_returns_is_whitelisted(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name)
    supervisor.start().wait_ready()
    report = wait_for(lambda: supervisor.agent(agent.name)["report"])
    agent.stop()
    about = supervisor.wait_state(agent.name, "down")
    assert about["failure"]["kind"] == "refused"
    assert about["report"]["agent"] == report["agent"]
    assert supervisor.document()["blacklist"] == [agent.name]
    assert supervisor.said(f"warning: {agent.name} is down: connection refused, nothing listens at the port (3 checks")
    assert supervisor.said("blacklisted, health checks only; last seen with load ")
    agent.start()
    about = supervisor.wait_state(agent.name, "up")
    assert about["failure"] is None
    assert supervisor.said(f"info: {agent.name} is up: it answers again after ")
    wait_for(lambda: supervisor.agent(agent.name)["report"]["agent"] != report["agent"])


def test_a_blacklisted_agent_has_health_checks_only(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    unwell = make_rogue(says(http_answer(b"{}", "503 No")))
    supervisor = make_supervisor(unwell.name)
    supervisor.start()
    supervisor.wait_state(unwell.name, "down")
    time.sleep(0.3)
    unwell.paths.clear()
    time.sleep(1.5)
    assert set(unwell.paths) == {"/healthcheck"}
    assert 3 <= len(unwell.paths) <= 6


def test_it_asks_over_one_connection_and_says_who_it_is(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    supervisor.start().wait_ready()
    wait_for(lambda: len(server.paths) > 15)
    assert server.connections == 1
    assert {path.partition("?")[0] for path in server.paths} == {"/healthcheck", "/getmetrics"}
    for head in server.requests:
        assert f"\r\nHost: {server.name}\r\n".encode() in head
        assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in head
        assert b"\r\nUser-Agent: monitoring-supervisor/" in head


def test_a_connection_that_the_agent_closes_between_two_questions_is_no_failure(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def answer_and_close(connection: socket.socket, path: str) -> bool:
        well_behaved(connection, path)
        return False

    server = make_rogue(answer_and_close)
    supervisor = make_supervisor(server.name)
    supervisor.start()
    since = supervisor.wait_state(server.name, "up")["since"]
    wait_for(lambda: len(server.paths) > 20)
    assert supervisor.agent(server.name)["since"] == since


def test_an_interim_answer_is_followed_by_the_real_one(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    def with_hints(connection: socket.socket, path: str) -> bool:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        return well_behaved(connection, path)

    server = make_rogue(with_hints)
    supervisor = make_supervisor(server.name)
    supervisor.start()
    supervisor.wait_state(server.name, "up")
    assert wait_for(lambda: supervisor.agent(server.name)["report"])


def test_an_agent_that_was_never_there_is_down_without_a_since(make_supervisor: MakeSupervisor) -> None:
    name = f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(name)
    supervisor.start()
    about = supervisor.wait_state(name, "down")
    assert (about["since"], about["last_health"], about["report"]) == (None, None, None)
    wait_for(lambda: supervisor.said(f"{name} is down: it has not answered since it is watched"))


def test_a_name_that_does_not_exist_is_named_as_that(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor("no-such-machine.invalid:5000")
    supervisor.start()
    about = supervisor.wait_state("no-such-machine.invalid:5000", "down", 20)
    assert about["failure"]["kind"] in {"name_not_found", "timeout_connect"}


def test_a_name_is_resolved(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    server = make_rogue()
    supervisor = make_supervisor(f"localhost:{server.port}")
    supervisor.start()
    supervisor.wait_state(f"localhost:{server.port}", "up")


def test_standings_survive_a_restart_without_a_second_word(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server, dead = make_rogue(), f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(server.name, dead)
    supervisor.start()
    up, down = supervisor.wait_state(server.name, "up"), supervisor.wait_state(dead, "down")
    wait_for(lambda: supervisor.agent(server.name)["report"])
    for stop in (signal.SIGTERM, signal.SIGKILL):
        supervisor.signal(stop)
        supervisor.wait()
        supervisor.lines.clear()
        supervisor.notifications.clear()
        supervisor.start().wait_ready()
        time.sleep(1)
        assert supervisor.agent(server.name)["since"] == up["since"]
        assert supervisor.agent(dead)["since"] == down["since"]
        assert supervisor.agent(dead)["failure"]["since"] == down["failure"]["since"]
        assert not supervisor.said(" is up")
        assert not supervisor.said(" is down")


@pytest.mark.parametrize("garbage", [b"", b"\x00" * 5000, b'{"schema": 1, "agents": {"a"', b"[]"])
def test_a_damaged_file_is_set_aside_with_a_warning(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor, garbage: bytes
) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    supervisor.file.write_bytes(garbage)
    supervisor.start().wait_ready()
    (aside,) = supervisor.directory.glob("metrics_data.json.damaged-*")
    assert aside.read_bytes() == garbage
    assert supervisor.said(f"warning: {supervisor.file} is damaged (")
    assert supervisor.said(f"it is kept as {aside}")
    supervisor.wait_state(server.name, "up")


def test_ready_comes_after_the_first_round_with_all_its_failures(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server, silent, dead = make_rogue(), make_rogue(is_silent), f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(server.name, silent.name, dead)
    supervisor.start().wait_ready()
    assert silent.paths
    assert server.paths
    (ready,) = [message for message in supervisor.notifications if message.startswith("READY")]
    assert re.fullmatch(r"READY=1\nSTATUS=3 agents, 1 up, .*", ready)
    wait_for(lambda: "STATUS=3 agents, 1 up, 2 down" in supervisor.notifications)


def test_the_watchdog_is_fed_alone_and_not_by_a_process_that_stands_still(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    wait_for(lambda: supervisor.notifications.count("WATCHDOG=1") >= 3)
    supervisor.signal(signal.SIGSTOP)
    time.sleep(0.3)
    count = len(supervisor.notifications)
    time.sleep(1)
    assert len(supervisor.notifications) == count
    supervisor.signal(signal.SIGCONT)
    wait_for(lambda: len(supervisor.notifications) > count)
    assert not [message for message in supervisor.notifications if "WATCHDOG=1" in message and message != "WATCHDOG=1"]


def test_the_supervisor_s_own_pause_is_not_the_agents_fault(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    servers = [make_rogue() for _ in range(5)]
    supervisor = make_supervisor(*(server.name for server in servers), BLACKLIST_AFTER="1")
    supervisor.start()
    since = {server.name: supervisor.wait_state(server.name, "up")["since"] for server in servers}
    for _ in range(3):
        supervisor.signal(signal.SIGSTOP)
        time.sleep(1.5)
        supervisor.signal(signal.SIGCONT)
        time.sleep(0.5)
    assert {name: about["since"] for name, about in supervisor.document()["agents"].items()} == since
    assert supervisor.document()["supervisor"]["polls_missed_total"] > 0


@pytest.mark.parametrize("busy", [well_behaved, is_silent])
def test_it_ends_soon_whatever_the_agents_do_and_saves_once_more(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor, busy: object
) -> None:
    servers = [make_rogue(busy) for _ in range(10)]
    supervisor = make_supervisor(*(server.name for server in servers), "no-such-machine.invalid", REQUEST_TIMEOUT="60")
    supervisor.start()
    wait_for(lambda: all(server.paths for server in servers))
    before = time.time()
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait(5) == 0
    assert supervisor.document()["written_at"] >= before - 0.1
    assert "STOPPING=1" in supervisor.notifications


def test_a_reload_keeps_standings_and_connections_of_those_who_stay(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    stays, goes, comes = make_rogue(), make_rogue(), make_rogue()
    supervisor = make_supervisor(stays.name, goes.name)
    supervisor.start()
    since = supervisor.wait_state(stays.name, "up")["since"]
    supervisor.wait_state(goes.name, "up")
    supervisor.configure(WHITELIST_AGENT=f"{stays.name},{comes.name}", HEALTHROOT="health", INTERVAL_HEALTH_CHECK="0.2")
    (supervisor.directory / "token").write_text("another-token-0123456789", encoding="ascii")
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_state(comes.name, "up")
    assert set(supervisor.document()["agents"]) == {stays.name, comes.name}
    assert supervisor.agent(stays.name)["since"] == since
    wait_for(lambda: "/health" in stays.paths)
    assert b"Bearer another-token-0123456789" in stays.requests[-1]
    assert stays.connections == 1
    time.sleep(0.3)
    asked = len(goes.paths)
    time.sleep(0.7)
    assert len(goes.paths) == asked
    assert [message.partition("\n")[0] for message in supervisor.notifications if "READY" in message] == ["READY=1"] * 2
    assert any(message.startswith("RELOADING=1\nMONOTONIC_USEC=") for message in supervisor.notifications)


def test_a_reload_with_mistakes_changes_nothing_and_names_them_all(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    supervisor.start().wait_ready()
    supervisor.configure(INTERVAL_HEALTH_CHECK="often", WHITELIST_AGENT="10.0.0.999", METRICS_FILE="elsewhere.json")
    supervisor.signal(signal.SIGHUP)
    wait_for(lambda: supervisor.said("error: not reloaded: ") and len(supervisor.notifications) > 3)
    assert supervisor.said("INTERVAL_HEALTH_CHECK: 'often' is not a number of seconds from 0.1 to 86400")
    assert supervisor.said("WHITELIST_AGENT: '10.0.0.999' is neither an IP address nor a host name")
    assert list(supervisor.document()["agents"]) == [server.name]


def test_a_whitelist_file_is_followed_without_a_reload(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    first, second = make_rogue(), make_rogue()
    supervisor = make_supervisor()
    whitelist = supervisor.directory / "agents.list"
    whitelist.write_text(f"{first.name} role=db\n", encoding="utf-8")
    supervisor.settings["WHITELIST_FILE"] = str(whitelist)
    supervisor.start()
    since = supervisor.wait_state(first.name, "up")["since"]
    assert supervisor.agent(first.name)["labels"] == {"role": "db"}
    whitelist.write_text(f"{first.name} role=web\n{second.name}\n", encoding="utf-8")
    supervisor.wait_state(second.name, "up", 4)
    assert (supervisor.agent(first.name)["labels"], supervisor.agent(first.name)["since"]) == ({"role": "web"}, since)
    assert first.connections == 1
    whitelist.write_text("10.0.0.999\n", encoding="utf-8")
    wait_for(lambda: supervisor.said("the agents stay as they were: "), 4)
    assert set(supervisor.document()["agents"]) == {first.name, second.name}
    whitelist.write_text(f"{second.name}\n", encoding="utf-8")
    wait_for(lambda: set(supervisor.document()["agents"]) == {second.name}, 4)


def test_a_state_directory_that_is_missing_is_one_clear_line(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor("127.0.0.1", METRICS_FILE="missing/metrics_data.json")
    assert supervisor.start().wait() == 73
    wait_for(lambda: supervisor.lines)
    assert len(supervisor.lines) == 1
    missing = supervisor.directory / "missing/metrics_data.json"
    assert supervisor.said(f"METRICS_FILE: {missing} cannot be used: No such file")


def test_wrong_settings_are_all_named_and_nothing_is_touched(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor("10.0.0.999", BLACKLIST_AFTER="0")
    supervisor.file.write_bytes(b"kept")
    for arguments in ((), ("--check",)):
        supervisor.lines.clear()
        assert supervisor.start(*arguments).wait() == 78
        wait_for(lambda: len(supervisor.lines) == 2)
        assert supervisor.said("BLACKLIST_AFTER: '0' is not a whole number from 1 to 1000")
    assert supervisor.file.read_bytes() == b"kept"


def test_a_disk_that_is_full_is_said_once_and_polling_goes_on(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    # A directory in the way of the file written beside the snapshot fails every write, as root too.
    obstacle = supervisor.directory / "metrics_data.json.new"
    supervisor.start()
    supervisor.wait_state(server.name, "up")
    saved = supervisor.file.read_bytes

    def put_obstacle() -> bool:
        with contextlib.suppress(FileExistsError):
            obstacle.mkdir()
        return obstacle.is_dir()

    wait_for(put_obstacle)
    wait_for(lambda: supervisor.said("error: cannot save: "))
    before, asked = saved(), len(server.paths)
    wait_for(lambda: len(server.paths) > asked + 10)
    assert saved() == before
    assert len([line for line in supervisor.lines if "cannot save" in line]) == 1
    assert any("cannot save: Is a directory" in message for message in supervisor.notifications)
    obstacle.rmdir()
    wait_for(lambda: supervisor.said("info: saving works again"))
    wait_for(lambda: saved() != before)


def test_metrics_that_cannot_be_used_are_named_while_the_agent_stays_white(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue(says_of_metrics(http_answer(b"<html>")))
    supervisor = make_supervisor(server.name)
    supervisor.start()
    about = supervisor.wait_state(server.name, "suspect")
    assert (about["listing"], about["failure"]["kind"]) == ("white", "not_a_report")
    wait_for(lambda: supervisor.said("is suspect: its metrics cannot be used, though it is healthy (not JSON: "))
    server.behave = well_behaved
    supervisor.wait_state(server.name, "up")
    assert supervisor.said("is up: its metrics can be used again")


def test_a_snapshot_can_be_read_by_its_group_and_nobody_else(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    supervisor = make_supervisor(make_rogue().name)
    supervisor.start().wait_ready()
    wait_for(supervisor.file.exists)
    assert supervisor.file.stat().st_mode & 0o777 == 0o640


def test_no_descriptor_and_no_thread_is_left_over_by_agents_that_fail(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue(hangs_up)
    dead = f"127.0.0.1:{free_port()}"
    supervisor = make_supervisor(server.name, dead, INTERVAL_HEALTH_CHECK="0.1")
    supervisor.start()
    supervisor.wait_state(dead, "down")

    def open_things() -> int:
        proc = Path(f"/proc/{supervisor.process.pid}")
        return len(os.listdir(proc / "fd")) + len(os.listdir(proc / "task"))

    before = open_things()
    asked = len(server.paths)
    wait_for(lambda: len(server.paths) > asked + 40)
    assert open_things() <= before + 3


def test_an_answer_that_nobody_asked_for_ends_the_connection(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def twice(connection: socket.socket, path: str) -> bool:
        connection.sendall((GOOD if path.startswith("/getmetrics") else HEALTHY) * 2)
        return True

    server = make_rogue(twice)
    supervisor = make_supervisor(server.name)
    supervisor.start()
    supervisor.wait_state(server.name, "up")
    wait_for(lambda: server.connections > 5)
    assert wait_for(lambda: supervisor.agent(server.name)["report"])


def test_answers_that_lay_ready_while_the_supervisor_did_not_run_came_in_time(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def takes_its_time(connection: socket.socket, path: str) -> bool:
        time.sleep(0.3)
        return well_behaved(connection, path)

    servers = [make_rogue(takes_its_time) for _ in range(5)]
    supervisor = make_supervisor(*(server.name for server in servers), BLACKLIST_AFTER="1")
    supervisor.start()
    since = {server.name: supervisor.wait_state(server.name, "up")["since"] for server in servers}
    for _ in range(3):
        supervisor.signal(signal.SIGSTOP)  # with most of the questions open
        time.sleep(1.5)
        supervisor.signal(signal.SIGCONT)
        time.sleep(0.7)
    assert {name: about["since"] for name, about in supervisor.document()["agents"].items()} == since


def test_a_writer_that_is_stuck_is_no_progress_to_tell_systemd_of(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    supervisor.start().wait_ready()
    # Opening this for writing waits for a reader: a disk that does not come back.
    stuck = supervisor.directory / "metrics_data.json.new"

    def put_in_the_way() -> bool:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(stuck)
        return stuck.is_fifo()

    wait_for(put_in_the_way)
    time.sleep(32)
    asked, beats = len(server.paths), supervisor.notifications.count("WATCHDOG=1")
    time.sleep(1.5)
    assert supervisor.notifications.count("WATCHDOG=1") == beats
    assert len(server.paths) > asked
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait(5) == 0
    assert supervisor.said("ended without saving once more")


def test_it_ends_at_once_while_a_whitelist_file_is_being_read(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor("127.0.0.1")
    whitelist = supervisor.directory / "agents.list"
    whitelist.write_text("", encoding="utf-8")
    supervisor.settings["WHITELIST_FILE"] = str(whitelist)
    supervisor.start().wait_ready()
    whitelist.unlink()
    os.mkfifo(whitelist)
    time.sleep(3)
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait(5) == 0


def test_too_few_descriptors_are_said_and_blamed_on_no_agent(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    servers = [make_rogue() for _ in range(40)]
    supervisor = make_supervisor(*(server.name for server in servers))
    supervisor.before_start = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
    supervisor.start()
    wait_for(lambda: supervisor.said("40 agents need 104 file descriptors and only 30 are allowed"))
    wait_for(lambda: supervisor.said("agents cannot be asked: Too many open files; they are not blamed for it"))
    time.sleep(2)
    assert not supervisor.said(" is down")
    assert not supervisor.said("Traceback")


def test_metrics_that_never_come_are_told_once_while_the_health_checks_are_good(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def silent_about_metrics(connection: socket.socket, path: str) -> bool:
        if path.startswith("/getmetrics"):
            return is_silent(connection, path)
        return well_behaved(connection, path)

    server = make_rogue(silent_about_metrics)
    supervisor = make_supervisor(server.name)
    supervisor.start()
    wait_for(lambda: supervisor.said("is suspect: its metrics cannot be used"))
    time.sleep(3)
    assert supervisor.agent(server.name)["state"] == "suspect"
    assert len([line for line in supervisor.lines if "cannot be used" in line]) == 1


def test_a_shorter_time_limit_counts_at_once_after_a_reload(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    silent, server = make_rogue(is_silent), make_rogue()
    supervisor = make_supervisor(silent.name, server.name, REQUEST_TIMEOUT="30")
    supervisor.start()
    supervisor.wait_state(server.name, "up")
    supervisor.configure(REQUEST_TIMEOUT="0.5")
    supervisor.signal(signal.SIGHUP)
    wait_for(lambda: supervisor.said("settings reloaded"))
    server.behave = is_silent
    supervisor.wait_state(server.name, "down", 6)


def test_a_whitelist_file_that_is_empty_for_a_moment_costs_nobody_the_standing(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue()
    supervisor = make_supervisor()
    whitelist = supervisor.directory / "agents.list"
    whitelist.write_text(f"{server.name}\n", encoding="utf-8")
    supervisor.settings["WHITELIST_FILE"] = str(whitelist)
    supervisor.start()
    since = supervisor.wait_state(server.name, "up")["since"]
    whitelist.write_text("", encoding="utf-8")
    wait_for(lambda: server.name not in supervisor.document()["agents"], 6)
    whitelist.write_text(f"{server.name}\n", encoding="utf-8")
    assert supervisor.wait_state(server.name, "up", 6)["since"] == since
    assert len([line for line in supervisor.lines if f"{server.name} is up" in line]) == 1


def test_long_intervals_do_not_delay_the_start(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    servers = [make_rogue() for _ in range(5)]
    supervisor = make_supervisor(
        *(server.name for server in servers), INTERVAL_HEALTH_CHECK="3600", INTERVAL_METRICS_CHECK="3600"
    )
    started = time.monotonic()
    supervisor.start().wait_ready()
    assert time.monotonic() - started < 6
    for server in servers:
        supervisor.wait_state(server.name, "up")
