"""Agents that misbehave: a socket that answers with whatever the test wants."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from monitoring_agent.shared import wire

REPORT = wire.encode({"schema": 1, "sequence": 1, "collected_at": 1_794_900_000.5, "load": {"load_1m": 0.5}})

# Gets the connection after one request was read, and the path of the request. Returns whether to go on with it.
Behaviour = Callable[[socket.socket, str], bool]


def http_answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A well-formed answer."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


HEALTHY = http_answer(b'{"status":"ok"}')
GOOD = http_answer(REPORT)


def well_behaved(connection: socket.socket, path: str) -> bool:
    """What an agent should do."""
    connection.sendall(GOOD if path.startswith("/getmetrics") else HEALTHY)
    return True


def says(answer: bytes) -> Behaviour:
    """Sends these bytes whatever is asked."""

    def behave(connection: socket.socket, _path: str) -> bool:
        connection.sendall(answer)
        return True

    return behave


def says_and_hangs_up(answer: bytes) -> Behaviour:
    """Sends these bytes and closes the connection."""

    def behave(connection: socket.socket, _path: str) -> bool:
        connection.sendall(answer)
        return False

    return behave


def says_of_metrics(answer: bytes) -> Behaviour:
    """Is healthy, but answers with these bytes when metrics are asked."""

    def behave(connection: socket.socket, path: str) -> bool:
        connection.sendall(answer if path.startswith("/getmetrics") else HEALTHY)
        return True

    return behave


def hangs_up(_connection: socket.socket, _path: str) -> bool:
    """Closes the connection without an answer."""
    return False


def is_silent(connection: socket.socket, _path: str) -> bool:
    """Never answers."""
    connection.recv(1)
    return False


def never_ends(begin: bytes, again: bytes, pause_seconds: float = 0.0) -> Behaviour:
    """Sends how an answer begins, and then the same again and again, never an end."""

    def behave(connection: socket.socket, _path: str) -> bool:
        connection.sendall(begin)
        while True:
            connection.sendall(again)
            time.sleep(pause_seconds)

    return behave


_OK, _CHUNKED = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_FIELD = b"X-More: " + b"y" * 1000 + b"\r\n"
# As fast as it is taken, beyond every limit of size: headers, chunks, interim answers (RFC 9110, 15.2), and fields
# behind the last chunk (RFC 9112, 7.1.2).
endless_headers = never_ends(_OK, _FIELD)
endless_chunks = never_ends(_CHUNKED, b"8000\r\n" + b" " * 0x8000 + b"\r\n")
endless_trailers = never_ends(_CHUNKED + b"2\r\n{}\r\n0\r\n", _FIELD * 64)
only_promises = never_ends(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
# So slowly that no limit of size is met: a body and a header a byte at a time, whole headers, interim answers.
drips = never_ends(_OK + b"Content-Length: 100000\r\n\r\n", b" ", 0.05)
drips_headers = never_ends(_OK + b"X-More: ", b"y", 0.05)
drips_fields = never_ends(_OK, b"X-More: y\r\n", 0.05)
promises_now_and_then = never_ends(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05)


def floods(connection: socket.socket, _path: str) -> bool:
    """Sends a body of 100 MB."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    for _ in range(1600):
        connection.sendall(b" " * 65536)
    return True


class Rogue:
    """A server at a loopback address. It notes every request, its path, and how many connections there were."""

    def __init__(self, behave: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        self.behave = behave
        self.paths: list[str] = []
        self.requests: list[bytes] = []
        self.connections = 0
        # What it does with a connection before it listens; what comes of that is where it listens.
        self.greet: Callable[[socket.socket], socket.socket] | None = None
        self._listener = socket.create_server((host, port))
        self.port = int(self._listener.getsockname()[1])
        self.name = f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as ends, contextlib.suppress(OSError):  # the other side closed
            ends.enter_context(connection)
            if self.greet:
                connection = ends.enter_context(self.greet(connection))
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    part = connection.recv(4096)
                    if not part:
                        return
                    buffer += part
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                path = head.split(b" ")[1].decode("ascii")
                self.requests.append(head)
                self.paths.append(path)
                if not self.behave(connection, path):
                    return

    def close(self) -> None:
        """Stop listening; connections that stand go on."""
        # Without shutdown, the thread in accept() would keep the socket listening.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


