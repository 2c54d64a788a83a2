"""The gunicorn worker: samples in a thread of its own, and does not let a client hold it up.

Stock gthread waits for ever for a client that sends half a request: as many of them as there are threads stop it,
and gunicorn's own timeout does not notice. Here a connection takes no thread before the head of its request is there
whole, everything has a deadline, and the sign of life stops when sampling stops.
"""

import contextlib
import errno
import os
import selectors
import socket
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from monitoring_agent.app import Service
from monitoring_agent.collectors.registry import collectors
from monitoring_agent.host import Host
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire

# The head of a request must be there, and then the request be done, each within this time.
PATIENCE_SECONDS = 5.0
# A larger head is refused; gunicorn's own limits are per line.
MAX_HEAD_BYTES = 16 * 1024
# Without a sample, or with a thread held, for this long the worker stops its sign of life, and gunicorn replaces it.
STUCK_SECONDS = 20.0
MAX_REFUSED = 64


def _refusal(status: str, reason: str) -> bytes:
    body = wire.encode({"error": reason})
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}"
    return head.encode("ascii") + b"\r\n\r\n" + body


FORBIDDEN = _refusal("403 Forbidden", "this address is not in the agent's AGENT_ALLOW")
HEAD_TOO_LARGE = _refusal("431 Request Header Fields Too Large", f"the head is larger than {MAX_HEAD_BYTES} bytes")


class AgentWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread of gunicorn 20.1 to 27 with the sampler, the allow-list, and deadlines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[TConn, float] = {}  # for the head of a request: connection to its deadline
        self._serving: dict[TConn, float] = {}  # in a thread: connection to its deadline
        self._refused: deque[socket.socket] = deque()
        self._wants_settings = False
        self._stop = threading.Event()

    @property
    def _service(self) -> Service:
        return self.app.service  # type: ignore[no-any-return]

    def run(self) -> None:
        """Start sampling, then serve until told to end."""
        # A signal writes to this pipe: with it in the loop, a stop or a reload does not wait for the next turn.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, self._drain)
        self._service.sampler = Sampler(collectors(), Host(), previous=self._service.previous)
        thread = threading.Thread(target=self._service.sampler.run, args=(self._stop,), name="sampler", daemon=True)
        thread.start()
        super().run()
        self._stop.set()

    def _drain(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 4096)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """The settings changed in a way that needs no new worker. Only leaves word: this is a signal handler."""
        self._wants_settings = True

    def notify(self) -> None:
        """Once a turn of gunicorn's loop: keep the house, and give the sign of life if it is deserved."""
        if self._wants_settings:
            self._wants_settings = False
            self.app.renew_access()
        now = time.monotonic()
        self._end_overdue(now if self.alive else float("inf"), now)
        if self._is_stuck(now):
            return
        super().notify()
        if self._service.newest() is not None:
            self.app.heartbeat.beat()

    def _is_stuck(self, now: float) -> bool:
        newest = self._service.newest()
        if newest is not None and now - newest.sampled > STUCK_SECONDS:
            return True
        return any(now - deadline > STUCK_SECONDS for deadline in list(self._serving.values()))

    def _end_overdue(self, idle_until: float, now: float) -> None:
        for conn, deadline in list(self._waiting.items()):
            if idle_until > deadline:
                self._forget(conn)
                self.nr_conns -= 1
                conn.close()
        if not self.alive:
            # gunicorn 27 would let idle connections linger, and the stop would take as long.
            for conn in getattr(self, "keepalived_conns", ()):
                conn.timeout = now
        for conn, deadline in list(self._serving.items()):
            if now > deadline:
                # The thread that waits for this client wakes up with an end of file, and closes the connection.
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RDWR)
        while self._refused:
            self._refused.popleft().close()

    def accept(self, *args: Any) -> None:
        """Take a connection; gunicorn 20.1 and 23 pass (server, listener), later ones only the listener."""
        listener = args[-1]
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                return
            raise
        sock.setblocking(False)
        if not self._service.access.allows(client[0]):
            self._refuse(sock, FORBIDDEN)
            return
        conn = TConn(self.cfg, sock, client, listener.getsockname())
        self.nr_conns += 1
        self.enqueue_req(conn)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread, once the head of its request is there; in the main thread.

        The head is only looked at: the bytes stay in the socket. Over TLS there is nothing to see, and the deadline
        of the request has to do.
        """
        if self.cfg.is_ssl or _has_buffered(conn):
            super().enqueue_req(conn)
        else:
            self._look_at_head(conn, conn.sock)

    def _look_at_head(self, conn: TConn, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            head = sock.recv(MAX_HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            head, is_there = b"", False
        except OSError:
            head, is_there = b"", True  # whoever reads it finds out
        else:
            is_there = not head or b"\r\n\r\n" in head
        too_large = len(head) == MAX_HEAD_BYTES and not is_there
        if not is_there and not too_large:
            # Be woken for more bytes than those that were already seen (SO_RCVLOWAT in socket(7)).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(head) + 1)
            if conn not in self._waiting:
                self._waiting[conn] = time.monotonic() + PATIENCE_SECONDS
                self.poller.register(sock, selectors.EVENT_READ, partial(self._look_at_head, conn))
            return
        if conn in self._waiting:
            self._forget(conn)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if too_large:
            self.nr_conns -= 1
            self._refuse(sock, HEAD_TOO_LARGE)
        else:
            super().enqueue_req(conn)

    def _refuse(self, sock: socket.socket, answer: bytes) -> None:
        """Answer without reading a byte. The socket is closed a turn later, so that the answer arrives first."""
        with contextlib.suppress(OSError):
            sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
        self._refused.append(sock)
        if len(self._refused) > MAX_REFUSED:
            self._refused.popleft().close()

    def _forget(self, conn: TConn) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def handle(self, conn: TConn) -> Any:
        """In a thread of the pool: one request, with its deadline."""
        self._serving[conn] = time.monotonic() + PATIENCE_SECONDS
        try:
            return super().handle(conn)
        finally:
            del self._serving[conn]


def _has_buffered(conn: TConn) -> bool:
    """Whether gunicorn has already read bytes of the next request (later versions continue with those)."""
    return conn.parser is not None and conn.parser.unreader.buf.tell() > 0
