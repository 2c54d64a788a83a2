"""The gunicorn worker: samples in a thread of its own, and does not let a client hold it up.

Stock gthread waits for ever for a client that sends half a request: as many of them as there are threads stop it,
and gunicorn's own timeout does not notice. Here every request has a deadline, a connection takes no thread before
it says something, and the sign of life stops when sampling stops.
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

# A new connection must begin its request, and a request must be done, within this time.
PATIENCE_SECONDS = 5.0
# Without a sample, or with a thread held, for this long the worker stops its sign of life, and gunicorn replaces it.
STUCK_SECONDS = 20.0
MAX_REFUSED = 64

_BODY = wire.encode({"error": "this address is not in the agent's AGENT_ALLOW"})
FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class AgentWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread of gunicorn 20.1 to 27 with the sampler, the allow-list, and deadlines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._silent: dict[TConn, float] = {}  # accepted, nothing read yet: connection to its deadline
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
        self._service.sampler = Sampler(collectors(), Host())
        thread = threading.Thread(
            target=self._service.sampler.run, args=(self._stop,), name="sampler", daemon=True
        )
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
        self._end_overdue(now)
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

    def _end_overdue(self, now: float) -> None:
        for conn, deadline in list(self._silent.items()):
            if now > deadline:
                self._forget_silent(conn)
                self.nr_conns -= 1
                conn.close()
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
            self._refuse(sock)
            return
        conn = TConn(self.cfg, sock, client, listener.getsockname())
        self.nr_conns += 1
        self._silent[conn] = time.monotonic() + PATIENCE_SECONDS
        self.poller.register(sock, selectors.EVENT_READ, partial(self._begin, conn))

    def _refuse(self, sock: socket.socket) -> None:
        """Say 403 without reading a byte. The socket is closed a turn later, so that the answer arrives first."""
        with contextlib.suppress(OSError):
            sock.send(FORBIDDEN)
            sock.shutdown(socket.SHUT_WR)
        self._refused.append(sock)
        if len(self._refused) > MAX_REFUSED:
            self._refused.popleft().close()

    def _begin(self, conn: TConn, _sock: socket.socket) -> None:
        self._forget_silent(conn)
        self.enqueue_req(conn)

    def _forget_silent(self, conn: TConn) -> None:
        del self._silent[conn]
        self.poller.unregister(conn.sock)

    def handle(self, conn: TConn) -> Any:
        """In a thread of the pool: one request, with its deadline."""
        self._serving[conn] = time.monotonic() + PATIENCE_SECONDS
        try:
            return super().handle(conn)
        finally:
            del self._serving[conn]
