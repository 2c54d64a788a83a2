"""The agent as a real gunicorn."""

import contextlib
import email.utils
import http.client
import json
import os
import re
import resource
import signal
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring_agent.arbiter import GRACE_SECONDS
from monitoring_agent.collectors.registry import collectors
from monitoring_agent.server import THREADS
from monitoring_agent.shared import address
from monitoring_agent.shared.layout import Layout, numbers
from monitoring_agent.shared.patch import apply
from tests.integration.conftest import MakeAgent
from tests.integration.daemons import TOKEN, AgentDaemon, free_port, wait_for

# Less than the five seconds after which the agent cuts off a client that does not go on: who is answered within that
# did not wait for such a one, and a busy machine has time to answer.
CUT_OFF_SECONDS = 4.0


@pytest.fixture
def agent(make_agent: MakeAgent) -> AgentDaemon:
    """An agent for one test alone."""
    agent = make_agent()
    agent.start()
    agent.wait_ready()
    return agent


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentDaemon]:
    """One agent for all tests that only ask it."""
    agent = AgentDaemon(tmp_path_factory.mktemp("agent"))
    agent.start()
    agent.wait_ready()
    yield agent
    agent.stop()


def test_a_report_has_the_contract_s_keys_and_every_collector(shared_agent: AgentDaemon) -> None:
    names = {collector.name for collector in collectors()}
    wait_for(lambda: set(shared_agent.report()["collectors"]) == names, 60)
    report = shared_agent.report()
    assert report["schema"] == 1
    assert abs(report["collected_at"] - time.time()) < 3
    for name, health in report["collectors"].items():
        assert health["ok"], (name, health)
        assert {"age_seconds", "duration_seconds"} <= set(health)
    assert report["cpu"]["busy_percent"] >= 0


def test_reports_follow_one_another_every_second(shared_agent: AgentDaemon) -> None:
    first = shared_agent.report()
    time.sleep(3)
    last = shared_agent.report()
    assert 2 <= last["sequence"] - first["sequence"] <= 4
    assert last["agent"] == first["agent"]


def test_health_tells_a_stranger_the_status_and_nothing_else(shared_agent: AgentDaemon) -> None:
    assert shared_agent.get("/healthcheck", token=None)[::2] == (200, b'{"status":"ok"}')
    status, _, body = shared_agent.get("/healthcheck")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert json.loads(body)["sequence"] >= 1


@pytest.mark.parametrize(
    ("path", "token", "method", "status", "error"),
    [
        ("/getmetrics", None, "GET", 401, "the token is missing"),
        ("/getmetrics", "wrong", "GET", 401, "the token is not the one"),
        ("/healthcheck", "wrong", "GET", 401, "the token is not the one"),
        ("/", TOKEN, "GET", 404, "not found"),
        ("/getmetrics/", TOKEN, "GET", 404, "not found"),
        ("/x//getmetrics", TOKEN, "GET", 404, "not found"),
        ("/static/app.py", TOKEN, "GET", 404, "not found"),
        ("/getmetrics", TOKEN, "POST", 405, "not allowed"),
        ("/getmetrics", TOKEN, "OPTIONS", 405, "not allowed"),
        ("/healthcheck", TOKEN, "DELETE", 405, "not allowed"),
    ],
)
def test_what_is_refused_is_refused_in_json_without_redirect_or_cors(
    shared_agent: AgentDaemon, path: str, token: str | None, method: str, status: int, error: str
) -> None:
    got, headers, body = shared_agent.get(path, token, method)
    assert got == status
    assert error in json.loads(body)["error"]
    assert not [name for name in headers if name.lower() == "location" or name.lower().startswith("access-control")]


def test_a_refusal_for_want_of_a_token_names_the_scheme(shared_agent: AgentDaemon) -> None:
    assert shared_agent.get("/getmetrics", None)[1]["WWW-Authenticate"] == "Bearer"


def test_an_address_outside_the_allow_list_is_refused_before_anything_is_read(make_agent: MakeAgent) -> None:
    agent = make_agent(AGENT_ALLOW="127.0.0.1/32")
    agent.start().wait_ready()
    status, _, body = agent.get("/getmetrics", source="127.0.0.2")
    assert (status, json.loads(body)) == (403, {"error": "this address is not in the agent's AGENT_ALLOW"})
    with socket.create_connection(("127.0.0.1", agent.port), 5, source_address=("127.0.0.3", 0)) as silent:
        assert silent.recv(100).startswith(b"HTTP/1.1 403 ")
    assert agent.get("/getmetrics")[0] == 200


@pytest.mark.parametrize(("allowed", "status"), [("127.0.0.1/32", 200), ("::/0", 403), ("127.0.0.2/32", 403)])
def test_of_an_ipv4_client_at_a_socket_for_both_its_own_address_counts(
    make_agent: MakeAgent, allowed: str, status: int
) -> None:
    agent = make_agent(AGENT_ALLOW=allowed)
    agent.configure(AGENT_LISTEN=f"[::]:{agent.port}")
    agent.start().wait_ready()
    assert agent.get("/healthcheck")[0] == status


def test_many_refused_addresses_cost_the_others_nothing(make_agent: MakeAgent) -> None:
    agent = make_agent(AGENT_ALLOW="127.0.0.1/32")
    agent.start().wait_ready()
    before = len(os.listdir(f"/proc/{agent.worker_pid()}/fd"))
    refused = [
        socket.create_connection(("127.0.0.1", agent.port), 5, source_address=("127.0.0.9", 0)) for _ in range(300)
    ]
    assert agent.get("/getmetrics")[0] == 200
    for sock in refused:
        sock.close()
    wait_for(lambda: len(os.listdir(f"/proc/{agent.worker_pid()}/fd")) <= before + 2)


def test_ready_means_that_it_serves(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start()
    agent.wait_ready()
    assert agent.get("/getmetrics")[0] == 200
    assert [message for message in agent.notifications if "READY" in message] == [
        f"READY=1\nSTATUS=Serving at 127.0.0.1:{agent.port}"
    ]


def test_the_watchdog_hears_of_a_beating_heart_and_of_nothing_else(agent: AgentDaemon) -> None:
    wait_for(lambda: agent.notifications.count("WATCHDOG=1") >= 3)
    worker = agent.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    try:
        time.sleep(1.5)
        beats = agent.notifications.count("WATCHDOG=1")
        time.sleep(3)
        assert agent.notifications.count("WATCHDOG=1") == beats
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_for(lambda: agent.notifications.count("WATCHDOG=1") > beats)


def test_a_worker_that_dies_is_replaced(agent: AgentDaemon) -> None:
    before = agent.report()
    os.kill(agent.worker_pid(), signal.SIGKILL)

    def report_of_another_life() -> bool:
        try:
            return bool(agent.report()["agent"]["started_at"] > before["agent"]["started_at"])
        except (OSError, AssertionError):
            return False

    wait_for(report_of_another_life)


@pytest.mark.parametrize("said", [b"", b"GET /getmetrics HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_clients_that_never_finish_hold_no_thread_and_are_cut_off(agent: AgentDaemon, said: bytes) -> None:
    slow = [socket.create_connection(("127.0.0.1", agent.port), 30) for _ in range(100)]
    for sock in slow:
        sock.sendall(said)
    started = time.monotonic()
    assert agent.get("/getmetrics")[0] == 200
    assert time.monotonic() - started < CUT_OFF_SECONDS
    for sock in slow:
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1000) == b""
        sock.close()
    assert CUT_OFF_SECONDS < time.monotonic() - started < 10
    assert not agent.said("Traceback")


def test_a_request_that_comes_in_pieces_is_answered(agent: AgentDaemon) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), 10) as sock:
        for _ in range(2):  # the second time on a connection that was kept alive
            for piece in (b"GET /health", b"check HTTP/1.1\r\nHo", b"st: a\r\n\r", b"\n"):
                time.sleep(0.1)
                sock.sendall(piece)
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += sock.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 OK")


def test_half_a_request_on_a_kept_connection_holds_no_thread(agent: AgentDaemon) -> None:
    kept = [http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10) for _ in range(20)]
    for connection in kept:
        connection.request("GET", "/healthcheck")
        connection.getresponse().read()
        connection.sock.sendall(b"GET /getmetrics HTTP/1.1\r\n")
    started = time.monotonic()
    assert agent.get("/getmetrics")[0] == 200
    assert time.monotonic() - started < CUT_OFF_SECONDS
    for connection in kept:
        connection.close()


def test_clients_that_take_no_answer_hold_up_nobody_and_are_cut_off(agent: AgentDaemon) -> None:
    question = f"GET /getmetrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    deaf = [socket.socket() for _ in range(THREADS)]
    for sock in deaf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", agent.port))
        sock.settimeout(10)
    open_still = set(deaf)
    deadline = time.monotonic() + 30
    while open_still:  # ask until what the agent has for each is more than the kernel holds, and it gives up
        assert time.monotonic() < deadline
        time.sleep(0.02)  # two questions at once would be refused
        for sock in list(open_still):
            try:
                sock.sendall(question)
            except OSError:
                open_still.remove(sock)
        started = time.monotonic()
        assert agent.get("/healthcheck")[0] == 200
        assert time.monotonic() - started < CUT_OFF_SECONDS
    for sock in deaf:
        sock.close()
    assert not agent.said("Traceback")


def cpu_seconds(pid: int) -> float:
    columns = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def test_a_client_that_dies_in_the_middle_of_a_head_costs_nothing(agent: AgentDaemon) -> None:
    dead = [socket.create_connection(("127.0.0.1", agent.port), 10) for _ in range(5)]
    for sock in dead:
        sock.sendall(b"GET /getmetrics HTTP/1.1\r\nHo")
        sock.shutdown(socket.SHUT_WR)
    before = cpu_seconds(agent.worker_pid())
    time.sleep(2)
    assert cpu_seconds(agent.worker_pid()) - before < 1
    for sock in dead:
        with contextlib.suppress(ConnectionResetError):
            sock.recv(1000)
        sock.close()


@pytest.mark.parametrize(
    "said",
    [
        b"GET /getmetrics HTTP/1.1\r\nHost: a\r\n\r\nGET /",
        b"GET /getmetrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        b"POST /getmetrics HTTP/1.1\r\nHost: a\r\ntransfer-encoding : chunked\r\n\r\n",
    ],
)
def test_a_body_or_a_second_request_behind_the_head_is_refused_and_holds_no_thread(
    agent: AgentDaemon, said: bytes
) -> None:
    greedy = [socket.create_connection(("127.0.0.1", agent.port), 10) for _ in range(40)]
    for sock in greedy:
        sock.sendall(said)
    started = time.monotonic()
    assert agent.get("/getmetrics")[0] == 200
    assert time.monotonic() - started < CUT_OFF_SECONDS
    for sock in greedy:
        assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
        sock.close()


def test_a_second_request_that_comes_too_early_ends_the_connection_and_holds_no_thread(agent: AgentDaemon) -> None:
    greedy = [socket.create_connection(("127.0.0.1", agent.port), 10) for _ in range(20)]
    for sock in greedy:
        sock.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.sendall(b"G")
    started = time.monotonic()
    assert agent.get("/getmetrics")[0] == 200
    assert time.monotonic() - started < CUT_OFF_SECONDS
    for sock in greedy:
        sock.close()


@pytest.mark.parametrize(
    ("said", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414), (b"GET / HTTP/9\r\n\r\n", 400)],
)
def test_what_is_no_request_is_refused_in_json_and_not_logged(
    shared_agent: AgentDaemon, said: bytes, status: int
) -> None:
    lines = len(shared_agent.lines)
    with socket.create_connection(("127.0.0.1", shared_agent.port), 10) as sock:
        sock.sendall(said)
        answer = sock.recv(4000)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert len(shared_agent.lines) == lines


def test_a_thousand_silent_connections_do_not_keep_others_out(agent: AgentDaemon) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    silent = [socket.create_connection(("127.0.0.1", agent.port), 10) for _ in range(1100)]
    started = time.monotonic()
    assert agent.get("/getmetrics")[0] == 200
    assert time.monotonic() - started < CUT_OFF_SECONDS
    worker = agent.worker_pid()
    for sock in silent:
        sock.close()
    wait_for(lambda: agent.get("/getmetrics")[0] == 200)
    assert agent.worker_pid() == worker
    assert not agent.said("Traceback")


def test_a_head_without_end_is_refused(agent: AgentDaemon) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), 10) as sock:
        sock.sendall(b"GET /getmetrics HTTP/1.1\r\n" + b"X-Long: " + b"y" * 40_000)
        assert sock.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_a_stop_does_not_wait_for_idle_connections(agent: AgentDaemon) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)
    kept.request("GET", "/healthcheck")
    kept.getresponse().read()
    started = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - started < GRACE_SECONDS


def test_a_client_that_drips_is_cut_off_although_it_goes_on_talking(agent: AgentDaemon) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), 30) as drip:
        drip.sendall(b"GET /getmetrics HTTP/1.1\r\nHost: a\r\n")
        started = time.monotonic()
        with pytest.raises(OSError, match="Broken pipe|reset by peer"):
            while time.monotonic() - started < 20:
                drip.sendall(b"X-Slow: y\r\n")
                time.sleep(0.2)
    assert CUT_OFF_SECONDS < time.monotonic() - started < 10


def test_a_reload_takes_a_new_token_without_losing_a_sample_or_a_connection(agent: AgentDaemon) -> None:
    before, worker = agent.report(), agent.worker_pid()
    (agent.directory / "token").write_text("another-token-0123456789\n", encoding="ascii")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.get("/getmetrics", "another-token-0123456789")[0] == 200)
    assert agent.get("/getmetrics", TOKEN)[0] == 401
    assert agent.worker_pid() == worker
    status, _, body = agent.get("/getmetrics", "another-token-0123456789")
    assert (status, json.loads(body)["agent"]) == (200, before["agent"])
    reload = [message.partition("\n")[0] for message in agent.notifications if message != "WATCHDOG=1"]
    assert reload == ["READY=1", "RELOADING=1", "READY=1"]


def test_as_soon_as_a_reload_is_over_the_new_token_is_the_one_that_counts(agent: AgentDaemon) -> None:
    def over() -> int:
        return sum(message.startswith("READY=1") for message in agent.notifications)

    before = TOKEN
    for number in range(50):
        token, ready = f"token-number-{number:02}-0123456789", over()
        (agent.directory / "token").write_text(f"{token}\n", encoding="ascii")
        agent.signal(signal.SIGHUP)
        wait_for(lambda ready=ready: over() > ready, pause_seconds=0.0005)  # type: ignore[misc]
        assert (agent.get("/getmetrics", token)[0], agent.get("/getmetrics", before)[0]) == (200, 401), number
        before = token


def test_a_reload_ends_though_the_worker_cannot_take_the_settings_which_it_does_later(agent: AgentDaemon) -> None:
    (agent.directory / "token").write_text("another-token-0123456789\n", encoding="ascii")
    os.kill(agent.worker_pid(), signal.SIGSTOP)
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.notifications[-1].startswith("READY=1") and "RELOADING=1" in str(agent.notifications))
    assert agent.said("the worker has not taken the new settings within 5 seconds")
    os.kill(agent.worker_pid(), signal.SIGCONT)
    wait_for(lambda: agent.get("/getmetrics", "another-token-0123456789")[0] == 200)


def test_the_same_question_gets_the_newest_report_until_a_reload_refuses_it(agent: AgentDaemon) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)

    def ask() -> tuple[http.client.HTTPResponse, bytes]:
        connection.request("GET", "/getmetrics", headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        return response, response.read()

    sequences, heads = [], []
    for _ in range(12):
        response, body = ask()
        assert response.status == 200
        sequences.append(json.loads(body)["sequence"])
        date = email.utils.parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert abs(date - time.time()) < 3
        heads.append([name for name, _ in response.getheaders()])
        time.sleep(0.25)
    assert sequences == sorted(sequences)
    assert sequences[-1] >= sequences[0] + 2
    assert all(head == heads[0] for head in heads)

    (agent.directory / "token").write_text("f" * 32 + "\n", encoding="ascii")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: ask()[0].status == 401)
    connection.close()


def test_two_tokens_are_accepted_while_one_replaces_the_other(agent: AgentDaemon) -> None:
    path, new = agent.directory / "token", "another-token-0123456789"
    path.write_text(f"{TOKEN}\n{new}\n", encoding="ascii")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.get("/getmetrics", new)[0] == 200)
    assert agent.get("/getmetrics", TOKEN)[0] == 200
    path.write_text(f"{new}\n", encoding="ascii")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.get("/getmetrics", TOKEN)[0] == 401)
    assert agent.get("/getmetrics", new)[0] == 200


def test_a_token_file_that_became_open_to_all_is_not_taken_on_a_reload_and_the_old_token_stays(
    agent: AgentDaemon,
) -> None:
    path = agent.directory / "token"
    path.write_text("another-token-0123456789\n", encoding="ascii")
    path.chmod(0o644)
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.said("is open to every user of this machine (mode 0644); close it with: chmod o="))
    assert agent.get("/getmetrics", TOKEN)[0] == 200
    assert not agent.said("another-token")


def test_a_token_file_that_all_can_read_is_refused_at_the_start(make_agent: MakeAgent) -> None:
    agent = make_agent()
    Path(agent.settings["TOKEN_FILE"]).chmod(0o644)
    assert agent.start().wait() == 78
    wait_for(lambda: agent.said("close it with: chmod o="))
    assert len(agent.lines) == 1
    assert not agent.said(TOKEN)


def test_a_reload_takes_a_new_path_without_losing_a_sample(agent: AgentDaemon) -> None:
    before = agent.report()["agent"]
    agent.configure(METRICSROOT="measurements")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.get("/measurements")[0] == 200)
    assert agent.get("/getmetrics")[0] == 404
    assert json.loads(agent.get("/measurements")[2])["agent"] == before


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_reload_takes_another_address_beside_the_one_it_has(agent: AgentDaemon, host: str) -> None:
    port = free_port(host) if host == "127.0.0.2" else free_port()
    agent.configure(AGENT_LISTEN=f"127.0.0.1:{agent.port},{address.join(host, port)}")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: answers(host, port))
    assert answers("127.0.0.1", agent.port)
    agent.configure(AGENT_LISTEN=f"127.0.0.1:{agent.port}")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: not answers(host, port))
    wait_for(lambda: answers("127.0.0.1", agent.port))
    assert agent.process.poll() is None


def test_a_reload_takes_all_addresses_in_place_of_one(agent: AgentDaemon) -> None:
    agent.configure(AGENT_LISTEN=f"0.0.0.0:{agent.port}")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: answers("127.0.0.7", agent.port))
    assert not agent.said("error")


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 2) as sock:
            sock.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")
            return sock.recv(20).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def test_a_reload_with_a_mistake_changes_nothing_and_says_so(agent: AgentDaemon) -> None:
    agent.configure(AGENT_ALLOW="everybody", METRICSROOT="measurements")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.said("not reloaded: "))
    assert agent.said("AGENT_ALLOW: 'everybody' is not a network; write for example 10.0.0.0/24")
    assert agent.get("/getmetrics")[0] == 200


def test_a_reload_onto_a_port_in_use_changes_nothing_and_says_so(agent: AgentDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        agent.configure(AGENT_LISTEN=f"127.0.0.1:{agent.port},127.0.0.1:{port}")
        agent.signal(signal.SIGHUP)
        wait_for(lambda: agent.said(f"not reloaded: AGENT_LISTEN: 127.0.0.1:{port} cannot be listened at: Address"))
    assert agent.get("/getmetrics")[0] == 200


def test_a_port_in_use_is_one_clear_line(agent: AgentDaemon, make_agent: MakeAgent) -> None:
    second = make_agent()
    second.settings["AGENT_LISTEN"] = agent.name
    assert second.start().wait() == 69
    wait_for(lambda: second.lines)
    assert len(second.lines) == 1
    assert f"AGENT_LISTEN: {agent.name} cannot be listened at: Address already in use; see who has it with: ss" in (
        second.lines[0]
    )


@pytest.mark.parametrize("second", ["0.0.0.0", "127.0.0.1"])
def test_addresses_that_cannot_be_had_together_are_one_clear_line(make_agent: MakeAgent, second: str) -> None:
    agent = make_agent()
    agent.settings["AGENT_LISTEN"] = f"127.0.0.1:{agent.port},{second}:{agent.port}"
    assert agent.start().wait() == 69
    wait_for(lambda: agent.said(f"AGENT_LISTEN: {second}:{agent.port} cannot be listened at: Address already in use"))
    assert len(agent.lines) == 1


def test_an_address_of_another_machine_is_one_clear_line(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.settings["AGENT_LISTEN"] = "192.0.2.1:5000"
    assert agent.start().wait() == 69
    wait_for(lambda: agent.said("no interface of this machine has the address"))


def test_wrong_settings_are_all_named_and_the_exit_code_keeps_systemd_from_trying_again(make_agent: MakeAgent) -> None:
    agent = make_agent(LOG_LEVEL="loud", AGENT_ALLOW="everybody")
    assert agent.start().wait() == 78
    wait_for(lambda: len(agent.lines) == 2)
    assert agent.said("AGENT_ALLOW: 'everybody'")
    assert agent.said("LOG_LEVEL: 'loud' is not one of debug, info, warning, error")


@pytest.mark.parametrize("content", [None, ""])
def test_a_token_that_cannot_be_read_is_one_clear_line(make_agent: MakeAgent, content: str | None) -> None:
    agent = make_agent()
    token = Path(agent.settings["TOKEN_FILE"])
    token.unlink()
    if content is not None:
        token.write_text(content, encoding="ascii")
        token.chmod(0o600)
    assert agent.start().wait() == 78
    wait_for(lambda: agent.said("make one with: "))
    assert len(agent.lines) == 1


def test_check_says_nothing_of_right_settings(make_agent: MakeAgent) -> None:
    agent = make_agent()
    assert agent.start("--check").wait() == 0
    assert agent.lines == []


def test_a_stop_is_quick_and_leaves_no_process(agent: AgentDaemon) -> None:
    worker = agent.worker_pid()
    with socket.create_connection(("127.0.0.1", agent.port), 5):
        started = time.monotonic()
        assert agent.stop() == 0
    assert time.monotonic() - started < 4
    assert not Path(f"/proc/{worker}").exists()
    assert "STOPPING=1" in agent.notifications


def test_the_log_is_quiet_while_it_serves(agent: AgentDaemon) -> None:
    for _ in range(20):
        agent.get("/getmetrics")
        agent.get("/nowhere")
    assert [re.sub(r"^\S+ ", "", line) for line in agent.lines] == [f"agent info: serving at 127.0.0.1:{agent.port}"]


def test_reports_since_a_sequence_are_those_that_came_after_it(agent: AgentDaemon) -> None:
    first = agent.report()
    wait_for(lambda: agent.report()["sequence"] >= first["sequence"] + 3)
    status, _, body = agent.get(f"/getmetrics?since={first['sequence']}")
    answer = json.loads(body)
    assert (status, answer["complete"], answer["more"], answer["oldest"]) == (200, True, False, 1)
    sequences = [report["sequence"] for report in answer["reports"]]
    assert sequences == list(range(first["sequence"] + 1, answer["newest"] + 1))
    assert answer["reports"][0]["agent"] == first["agent"]


def test_an_unknown_sequence_is_answered_with_all_there_is_and_says_so(shared_agent: AgentDaemon) -> None:
    status, _, body = shared_agent.get("/getmetrics?since=999999")
    answer = json.loads(body)
    assert (status, answer["complete"]) == (200, False)
    assert answer["reports"][0]["sequence"] == answer["oldest"]


def test_who_holds_a_report_gets_only_what_changed_since(agent: AgentDaemon) -> None:
    held = agent.report()
    wait_for(lambda: agent.report()["sequence"] >= held["sequence"] + 2)
    query = f"changes={held['sequence']}&life={held['agent']['started_at']}"
    _, _, body = agent.get(f"/getmetrics?{query}")
    answer = json.loads(body)
    assert answer["since"] == held["sequence"]
    for change in answer["changes"]:
        apply(held, change)
    reports = json.loads(agent.get(f"/getmetrics?since={held['sequence'] - 1}")[2])["reports"]
    assert reports[0] == held
    assert len(body) < len(json.dumps(held)) * len(answer["changes"]) / 2


def test_who_knows_the_layout_of_the_reports_gets_what_moved_by_numbers(agent: AgentDaemon) -> None:
    status, _, body = agent.get("/getmetrics?layout=0-0")
    told = json.loads(body)
    held, layout = told["report"], Layout()
    layout.add(told["numbers"])
    values = layout.values(held)
    assert (status, layout.count) == (200, told["layout"][1])
    wait_for(lambda: agent.report()["sequence"] >= held["sequence"] + 2)
    query = f"changes={held['sequence']}&life={held['agent']['started_at']}&layout={told['layout'][0]}-{layout.count}"
    _, _, text = agent.get(f"/getmetrics?{query}")
    answer = json.loads(text)
    layout.add(answer.get("numbers", {}))
    values += [None] * (layout.count - len(values))
    for move in answer["moves"]:
        for number, value in zip(numbers(move["at"], layout.count), move["to"], strict=True):
            values[number] = value
    reports = json.loads(agent.get(f"/getmetrics?since={answer['until'] - 1}")[2])["reports"]
    apart = {key: answer["moves"][-1][key] for key in ("sequence", "collected_at")}
    assert {**apart, **layout.document(values)} == reports[0]


@pytest.mark.parametrize("layout", ["", "1", "a-b", "-1-5", "1-5-9", "1" * 40 + "-1"])
def test_a_layout_that_is_none_is_refused_with_the_reason(shared_agent: AgentDaemon, layout: str) -> None:
    status, _, body = shared_agent.get(f"/getmetrics?layout={layout}")
    assert status == 400
    assert "is not a layout" in json.loads(body)["error"]


def test_what_changed_since_a_report_of_another_life_is_the_whole_newest_report(shared_agent: AgentDaemon) -> None:
    sequence = shared_agent.report()["sequence"]
    answer = json.loads(shared_agent.get(f"/getmetrics?changes={sequence}&life=1.5")[2])
    assert answer["report"]["sequence"] >= sequence
    assert answer["changes"] == []


def test_the_past_is_told_from_a_report_on(agent: AgentDaemon) -> None:
    wait_for(lambda: agent.report()["sequence"] >= 3)
    answer = json.loads(agent.get("/getmetrics?past=1")[2])
    held = answer["report"]
    for number, change in enumerate(answer["changes"], 2):
        apply(held, change)
        assert held["sequence"] == number
    assert held["sequence"] >= 3


@pytest.mark.parametrize("since", ["", "-1", "1.5", "now", "1" * 40, "%00", "٣"])
def test_a_bad_sequence_is_refused_with_the_reason(shared_agent: AgentDaemon, since: str) -> None:
    status, _, body = shared_agent.get(f"/getmetrics?since={urllib.parse.quote(since, safe='%')}")
    assert status == 400
    assert "is not the sequence of a report" in json.loads(body)["error"]


def test_metrics_for_prometheus_want_the_token_too(shared_agent: AgentDaemon) -> None:
    assert shared_agent.get("/metrics", None)[0] == 401
    status, headers, body = shared_agent.get("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nnode_load1 " in body


def test_a_stop_is_remembered_as_planned_and_a_kill_as_a_crash(agent: AgentDaemon) -> None:
    assert "previous" not in agent.report()["agent"]
    agent.stop()
    assert agent.said("stopped: service stopped")
    agent.notifications.clear()
    agent.start().wait_ready()
    previous = agent.report()["agent"]["previous"]
    assert (previous["end"], time.time() - previous["ended_at"] < 20) == ("service_stopped", True)
    assert json.loads(agent.get("/healthcheck")[2])["previous"] == previous
    os.kill(agent.process.pid, signal.SIGKILL)
    agent.wait()
    wait_for(lambda: not is_listening(agent.port))
    agent.notifications.clear()
    agent.start().wait_ready()
    assert agent.report()["agent"]["previous"] == {"end": "agent_crashed"}


def is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
