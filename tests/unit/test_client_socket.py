"""The agent's end of a connection, with a real one."""

import socket
import threading
from collections.abc import Iterator

import pytest

from monitoring_agent.client_socket import ClientSocket


@pytest.fixture
def ends() -> Iterator[tuple[ClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    with ClientSocket(fileno=ours.detach()) as agent, theirs as client:
        agent.setblocking(False)
        client.settimeout(5)
        yield agent, client


def received(client: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size and (part := client.recv(65536)):
        parts += part
    return parts


def test_what_was_held_arrives_in_one_piece_and_not_before(ends: tuple[ClientSocket, socket.socket]) -> None:
    agent, client = ends
    agent.hold()
    agent.sendall(b"head ")
    agent.sendall(b"body")
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    assert agent.send_held()
    assert client.recv(100) == b"head body"


def test_what_a_client_does_not_take_is_sent_later_and_nothing_is_lost(
    ends: tuple[ClientSocket, socket.socket],
) -> None:
    agent, client = ends
    answer = bytes(range(256)) * 4096
    agent.hold()
    agent.sendall(answer)
    assert not agent.send_held()
    agent.setblocking(True)
    rest = threading.Thread(target=agent.send_rest)
    rest.start()
    assert received(client, len(answer)) == answer
    rest.join(5)
    assert not rest.is_alive()


def test_nothing_waits_while_an_answer_is_held(ends: tuple[ClientSocket, socket.socket]) -> None:
    agent, client = ends
    client.sendall(b"all there is")
    agent.hold()
    agent.setblocking(True)
    agent.settimeout(5)
    assert agent.recv(100) == b"all there is"
    assert agent.recv(100) == b""
    agent.send_held()
    with pytest.raises(BlockingIOError):
        agent.recv(100)


def test_a_client_that_is_gone_is_no_error(ends: tuple[ClientSocket, socket.socket]) -> None:
    agent, client = ends
    client.close()
    agent.hold()
    agent.sendall(b"answer")
    assert agent.send_held()
