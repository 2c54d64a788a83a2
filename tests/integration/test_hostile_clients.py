"""Clients that do their worst to an agent, and a supervisor that asks it all the while and notices nothing."""

import contextlib
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from monitoring_agent.worker import MAX_CONNECTIONS
from monitoring_supervisor.store.reading import Reader
from tests.integration.conftest import MakeAgent, MakeSupervisor
from tests.integration.daemons import TOKEN, AgentDaemon, wait_for

ASKS = b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n"

# What is sent before the client ends its side, and the status of the answer; with 0 it is hung up on. Versions of
# gunicorn differ in some.
REQUESTS: dict[str, tuple[bytes, int] | tuple[bytes, int, int]] = {
    "as it should be": (ASKS + b"\r\n", 200),
    "a URL in place of a path": (b"GET http://b/healthcheck HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "a blank in place of a name": (ASKS + b" : b\r\n\r\n", 400),
    "two lengths": (ASKS + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a length and chunks": (ASKS + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a length below its name": (ASKS + b"Content-Length:\r\n 5\r\n\r\n", 400),
    "chunks behind a tab": (ASKS + b"Transfer-Encoding:\tchunked\r\n\r\n", 400),
    "a second request behind the first": (ASKS + b"\r\n" + ASKS + b"\r\n", 400),
    "a line that goes on below": (ASKS + b"X-More: a\r\n b\r\n\r\n", 400),
    "a line that ends with LF alone": (ASKS + b"X-More: a\nContent-Length: 5\r\n\r\n", 400),
    "a line that ends with CR alone": (ASKS + b"X-More: a\rContent-Length: 5\r\n\r\n", 400),
    "LF alone everywhere": (ASKS.replace(b"\r\n", b"\n") + b"\n", 400, 0),
    "a zero byte": (ASKS + b"X-More: a\0b\r\n\r\n", 400),
    "no version, as in 1991": (b"GET /healthcheck\r\n\r\n", 400),
    "a version to come": (b"GET /healthcheck HTTP/3.0\r\nHost: a\r\n\r\n", 400, 200),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an upgrade to HTTP/2": (ASKS + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n", 200),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),
    "a proxy's greeting": (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + ASKS + b"\r\n", 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", 400, 0),
    "nothing": (b"", 0),
    "a long path": (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a long query": (b"GET /getmetrics?since=" + b"1" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a long header": (ASKS + b"X-More: " + b"x" * 10_000 + b"\r\n\r\n", 431),
    "many headers": (ASKS + b"X-More: x\r\n" * 1000 + b"\r\n", 431),
    "a huge head": (ASKS + b"X-More: x\r\n" * 2000 + b"\r\n", 431),
    "a path out of its folder": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "a path of zero bytes": (b"GET /%00%ff HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "another address in a header": (b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ::1\r\n\r\n", 401),
    "a path of its own for the application": (ASKS + b"SCRIPT_NAME: /x\r\n\r\n", 400),
    "a name that others read otherwise": (ASKS + b"x_forwarded_for: ::1\r\n\r\n", 400),
    "an underscore in a value": (ASKS + b"X-More: a_b: c\r\n\r\n", 200),
    "a query that is not UTF-8": (
        b"GET /getmetrics?since=\xff HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n\r\n" % TOKEN.encode("ascii"),
        400,
    ),
    "a token of other letters": (ASKS + b"Authorization: Bearer \xff\xfe\r\n\r\n", 401),
    **{
        method: (f"{method} /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n".encode("ascii"), 405)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW")
    },
    "HEAD": (b"HEAD /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "CONNECT": (b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentDaemon]:
    agent = AgentDaemon(tmp_path_factory.mktemp("agent"))
    agent.start()
    agent.wait_ready()
    wait_for(lambda: agent.said("serving at"))
    yield agent
    agent.stop()


def answer(port: int, said: bytes) -> bytes:
    """All that comes back when this is said and no more will follow."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), 10) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("what", REQUESTS)
def test_whatever_is_sent_is_answered_once_or_hung_up_on_and_nothing_of_it_is_logged(
    agent: AgentDaemon, what: str
) -> None:
    said, *expected = REQUESTS[what]
    lines = len(agent.lines)
    head, _, body = answer(agent.port, said).partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1]) if head else 0
    assert status in expected, (head, body)
    assert body == b"" if not status or what == "HEAD" else isinstance(json.loads(body), dict)
    assert len(agent.lines) == lines


def test_who_waits_to_be_told_to_go_on_is_answered(agent: AgentDaemon) -> None:
    received = answer(agent.port, ASKS + b"Expect: 100-continue\r\n\r\n")
    assert received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_asks_for_the_end_of_the_connection_and_stays_holds_up_nobody(agent: AgentDaemon) -> None:
    with contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(socket.create_connection(("127.0.0.1", agent.port), 10)) for _ in range(10)]
        for sock in clients:
            sock.sendall(ASKS + b"Connection: close\r\n\r\n")
        started = time.monotonic()
        assert agent.get("/healthcheck")[0] == 200
        assert time.monotonic() - started < 5  # gunicorn 27 by itself waits two seconds for each
        assert all(sock.recv(1000).startswith(b"HTTP/1.1 200 ") for sock in clients)


def test_a_connection_that_speaks_as_it_is_dropped_for_another_one_does_no_harm(make_agent: MakeAgent) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    agent = make_agent()
    agent.start().wait_ready()
    worker = agent.worker_pid()
    with contextlib.ExitStack() as open_ones:

        def connect() -> socket.socket:
            return open_ones.enter_context(socket.create_connection(("127.0.0.1", agent.port), 10))

        waiting = [connect() for _ in range(MAX_CONNECTIONS)]
        for sock in waiting:
            sock.sendall(b"G")
        assert agent.get("/healthcheck")[0] == 200  # all of them are known by now, and there is no room
        os.kill(worker, signal.SIGSTOP)
        for _ in range(10):
            connect()
        for sock in waiting[1:20]:
            sock.sendall(b"E")
        os.kill(worker, signal.SIGCONT)
        assert agent.get("/healthcheck")[0] == 200
        time.sleep(0.5)
    assert agent.get("/healthcheck")[0] == 200
    assert agent.worker_pid() == worker
    assert not agent.said("Traceback"), agent.lines


def _again(over: threading.Event, do: Callable[[], None]) -> None:
    while not over.is_set():
        with contextlib.suppress(OSError):  # cut off, as it should be
            do()


def _drip(port: int, over: threading.Event) -> None:
    """A hundred connections, a byte at a time each."""
    with contextlib.ExitStack() as open_ones:
        slow = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(100)]
        for letter in ASKS + b"X-Slow: " + b"y" * 1000:
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.send(bytes([letter]))
            if over.wait(0.1):
                return


def _stay_silent(port: int, over: threading.Event) -> None:
    """A thousand connections on which nothing is said."""
    with contextlib.ExitStack() as open_ones:
        for _ in range(1000):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        over.wait(6)


def _ask_and_stay(port: int, over: threading.Event) -> None:
    """A thousand connections that are kept after one question."""
    with contextlib.ExitStack() as open_ones:
        for _ in range(1000):
            client = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            with contextlib.suppress(ConnectionError):
                client.sendall(ASKS + b"\r\n")
                client.recv(1000)
        over.wait(3)


def _send_nonsense(port: int, over: threading.Event) -> None:
    for said, *_ in REQUESTS.values():
        answer(port, said)
        if over.wait(0.01):
            return


def test_while_clients_do_their_worst_the_supervisor_misses_no_sample(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name, INTERVAL_METRICS_CHECK="1", REQUEST_TIMEOUT="2", INTERVAL_HEALTH_CHECK="1")
    supervisor.start().wait_ready()
    wait_for(lambda: supervisor.agent(agent.name)["report"])
    since = supervisor.agent(agent.name)["since"]
    over = threading.Event()
    storm = [
        threading.Thread(target=_again, args=(over, lambda attack=attack: attack(agent.port, over)))
        for attack in (_drip, _stay_silent, _ask_and_stay, _send_nonsense)
    ]
    for thread in storm:
        thread.start()
    time.sleep(12)
    over.set()
    for thread in storm:
        thread.join()
    about = supervisor.agent(agent.name)
    assert (about["state"], about["since"], about["failure"]) == ("up", since, None)
    assert supervisor.stop() == 0
    with Reader(supervisor.directory / "history.db") as reader:
        sequences = [report["sequence"] for _, report in reader.reports(agent.name, 0.0, 1e12)]
        assert [event.state for event in reader.events(agent.name, 0.0, 1e12)] == ["new", "up"]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert len(sequences) >= 12
    assert not agent.said("Traceback"), agent.lines
    assert not supervisor.said("suspect")


def test_who_asked_once_and_stayed_keeps_nobody_out(make_agent: MakeAgent) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    agent = make_agent()
    agent.start().wait_ready()
    with contextlib.ExitStack() as open_ones:
        clients = []
        for _ in range(MAX_CONNECTIONS + 100):
            clients.append(open_ones.enter_context(socket.create_connection(("127.0.0.1", agent.port), 5)))
            clients[-1].sendall(ASKS + b"\r\n")
            assert clients[-1].recv(1000).startswith(b"HTTP/1.1 200 ")
        # Who asked last is still there, and who asked first had to go.
        clients[-1].sendall(ASKS + b"\r\n")
        assert clients[-1].recv(1000).startswith(b"HTTP/1.1 200 ")
        assert clients[0].recv(1000) == b""
    assert not agent.said("Traceback"), agent.lines
