"""A client that measures one server: a blocking keep-alive connection, as cheap as Python has it."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httptools

from monitoring_agent.shared import wire
from tests.bench.children import CannotMeasure, Child

START_SECONDS = 30.0
ANSWER_SECONDS = 10.0


def free_port() -> int:
    """A port of 127.0.0.1 that nothing uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(child: Child, what: str, came: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Wait for something of a child. Raises CannotMeasure if it ends, or if it does not come in time."""
    deadline = time.monotonic() + seconds
    while not came():
        child.require_running()
        if time.monotonic() > deadline:
            last = child.last_words()
            raise CannotMeasure(f"{child.name}: {what} did not come within {seconds:.0f} s; its last words:\n{last}")
        time.sleep(0.1)


def answers(port: int, path: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a server at this port of 127.0.0.1 says 200 there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=tls)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Question:
    """What to ask a server on 127.0.0.1. No compression: a server that would compress is spared that."""

    port: int
    path: str
    token: str | None = None

    def request(self, query: str = "") -> bytes:
        """The request in HTTP."""
        authorization = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"GET {self.path}{query} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{authorization}\r\n".encode()


class Inquirer:
    """Asks one question again and again, over one connection, and takes the time of each answer."""

    def __init__(self, question: Question, tls: ssl.SSLContext | None = None) -> None:
        self._question = question
        self._socket = socket.create_connection(("127.0.0.1", question.port), ANSWER_SECONDS)
        if tls:
            self._socket = tls.wrap_socket(self._socket, server_hostname="127.0.0.1")
        self._parser = httptools.HttpResponseParser(self)
        self._done = False
        self._what = f"127.0.0.1:{question.port}{question.path}"
        self.body = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def on_message_begin(self) -> None:
        """Called by httptools."""
        self.body = b""

    def on_body(self, part: bytes) -> None:
        """Called by httptools."""
        self.body += part

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._done = True

    def ask(self, query: str = "") -> float:
        """Ask once; returns the seconds until the answer was there whole."""
        self._done = False
        request = self._question.request(query)
        started = time.perf_counter()
        self._socket.sendall(request)
        while not self._done:
            received = self._socket.recv(262144)
            if not received:
                raise CannotMeasure(f"{self._what} closed the connection")
            self._parser.feed_data(received)
        took = time.perf_counter() - started
        if self._parser.get_status_code() != 200:
            raise CannotMeasure(f"{self._what} answered with status {self._parser.get_status_code()}: {self.body!r}")
        return took


class Follower:
    """Asks an agent as the supervisor does: for what moved since the report that it holds."""

    def __init__(self, question: Question) -> None:
        self._inquirer = Inquirer(question)
        self._layout: list[int] = [0, 0]
        self._inquirer.ask("?layout=0-0")
        self._hold(wire.decode(self._inquirer.body))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._inquirer.__exit__(*error)

    def ask(self) -> float:
        """Ask once; returns the seconds until the answer was there whole."""
        known = f"{self._layout[0]}-{self._layout[1]}"
        took = self._inquirer.ask(f"?changes={self._sequence}&life={self._life}&layout={known}")
        self._hold(wire.decode(self._inquirer.body))
        return took

    def _hold(self, answer: dict[str, Any]) -> None:
        self._layout = answer.get("layout") or self._layout
        if "report" in answer:
            self._sequence, self._life = answer["report"]["sequence"], answer["report"]["agent"]["started_at"]
        else:
            self._sequence = answer["until"]
