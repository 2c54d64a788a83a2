"""The agent's end of TLS: what a client sends is heard a piece at a time, however small its records are."""

import array
import contextlib
import fcntl
import socket
import ssl
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring_agent.shared import tls
from monitoring_agent.shared.tls import LOOK_BYTES, MAX_LOOKED_AT_BYTES, Files, TlsSocket

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("tls")
    made = Files(directory / "cert.pem", directory / "key.pem", None)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=agent"]
    command = ["openssl", "req", "-x509", *new, "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(command, check=True, capture_output=True)
    Path(str(made.key)).chmod(0o600)
    return made


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def ends(files: Files, request: pytest.FixtureRequest) -> Iterator[tuple[TlsSocket, ssl.SSLSocket]]:
    """The agent's end and a client's, after they shook hands and the client got a first answer."""
    context = tls.serving(files)
    assert context
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    asking.minimum_version = asking.maximum_version = request.param
    own, other = socket.socketpair()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    agent = TlsSocket(own, context)
    client = asking.wrap_socket(other, do_handshake_on_connect=False)

    def ask() -> None:
        client.do_handshake()
        client.sendall(HEAD)

    asked = threading.Thread(target=ask)
    asked.start()
    agent.settimeout(10)
    seen = b""
    while not seen:
        with contextlib.suppress(BlockingIOError):
            seen = agent.look(1000)
    asked.join()
    assert agent.recv(1000) == HEAD
    agent.sendall(b"welcome")
    assert client.recv(100) == b"welcome"
    agent.setblocking(False)
    with agent, client:
        yield agent, client


def unread(sock: socket.socket) -> int:
    """The bytes that the kernel has for it."""
    there = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, there)
    return there[0]


def test_a_look_takes_a_piece_and_not_all_that_is_there_nor_what_comes_meanwhile(
    ends: tuple[TlsSocket, ssl.SSLSocket],
) -> None:
    agent, client = ends
    for _ in range(1000):
        client.sendall(b"x")  # a record of its own
    before = unread(agent)
    seen = agent.look(100_000)
    assert 0 < len(seen) <= LOOK_BYTES // 20
    assert before - unread(agent) <= LOOK_BYTES


def test_whoever_says_more_and_more_and_no_request_is_cut_off(ends: tuple[TlsSocket, ssl.SSLSocket]) -> None:
    agent, client = ends
    for _ in range(4 * MAX_LOOKED_AT_BYTES // 22 // 100):
        for _ in range(100):
            client.sendall(b"x")
        try:
            while True:
                agent.look(MAX_LOOKED_AT_BYTES)
        except BlockingIOError:
            continue
        except ConnectionAbortedError:
            return
    pytest.fail("nobody stopped it")


def test_after_each_answer_there_is_room_for_another_request(ends: tuple[TlsSocket, ssl.SSLSocket]) -> None:
    agent, client = ends
    for _ in range(3 * MAX_LOOKED_AT_BYTES // 1000):
        request = HEAD[:-2] + b"X: " + b"y" * 1000 + b"\r\n\r\n"
        client.sendall(request)
        assert agent.look(16_384) == request
        assert agent.recv(16_384) == request
        agent.sendall(b"an answer")
        assert client.recv(100) == b"an answer"


def test_what_was_looked_at_is_received_and_then_the_rest_and_the_end(ends: tuple[TlsSocket, ssl.SSLSocket]) -> None:
    agent, client = ends
    client.sendall(HEAD)
    client.sendall(b"more")
    assert agent.look(16_384) == HEAD
    assert (agent.recv(4), agent.recv(100)) == (b"GET ", HEAD[4:])
    assert agent.recv(100) == b"more"
    socket.socket.shutdown(client, socket.SHUT_WR)
    agent.setblocking(True)
    assert agent.recv(100) == b""


def test_a_large_answer_arrives_whole_and_a_refusal_is_encrypted_too(ends: tuple[TlsSocket, ssl.SSLSocket]) -> None:
    agent, client = ends
    answer = bytes(range(256)) * 4096
    agent.setblocking(True)
    sending = threading.Thread(target=agent.sendall, args=(answer,))
    sending.start()
    got = b""
    while len(got) < len(answer):
        got += client.recv(65_536)
    sending.join()
    assert got == answer
    agent.setblocking(False)
    assert agent.send(b"no") == 2
    assert client.recv(10) == b"no"
