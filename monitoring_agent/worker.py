"""The gunicorn worker: samples in a thread of its own, and does not let a client hold it up.

Stock gthread waits for ever for a client that sends half a request: as many of them as there are threads stop it,
and gunicorn's own timeout does not notice. Here nothing happens to a connection before the head of its request is
there whole, everything has a deadline, and the sign of life stops when sampling stops.

An answer that is ready is given by the main thread itself, which never waits for a client: changing threads twice
costs more than the answer. A thread of the pool takes what has to be put together first, what a client does not
take at once, and TLS.
"""

import contextlib
import gc
import logging
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn.util import http_date
from gunicorn.workers.gthread import TConn, ThreadWorker

from monitoring_agent.app import Service
from monitoring_agent.client_socket import ClientSocket
from monitoring_agent.collectors.registry import collectors
from monitoring_agent.heads import (
    FORBIDDEN,
    INTERNAL_ERROR,
    MAX_HEAD_BYTES,
    WANTS_TLS,
    expects_more,
    is_whole,
    refusal_after,
    refusal_of,
)
from monitoring_agent.host import Host
from monitoring_agent.repeated import Repeated, is_ready
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared.tls import ACCESS_DENIED, TlsSocket

log = logging.getLogger(__name__)

# The head of a request must be there, and then the request be done, each within this time.
PATIENCE_SECONDS = 5.0
MAX_DRAINED_BYTES = 64 * 1024
# Without a sample, or with a thread held, for this long the worker stops its sign of life, and is replaced.
STUCK_SECONDS = 20.0
MAX_REFUSED = 64
# Well below the 1024 descriptors that a service has by default.
MAX_CONNECTIONS = 512
# Of these, as many may be kept between two questions; the others are for those who come.
MAX_KEPT = MAX_CONNECTIONS // 2


class AgentWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread of gunicorn 20.1 to 27 with the sampler, the allow-list, and deadlines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[TConn, float] = {}  # for the head of a request: connection to its deadline
        self._seen: dict[TConn, int] = {}  # how much of that head was there already
        self._serving: dict[TConn, float] = {}  # given to the threads: connection to its deadline
        self._answered: dict[TConn, Any] = {}  # what gunicorn made of a request whose answer a thread sends on
        self._refused: deque[socket.socket] = deque()
        self._repeated = Repeated(http_date)
        self._is_new = hasattr(self, "method_queue")  # gunicorn 27
        self._wants_settings = False
        self._stop = threading.Event()

    @property
    def _service(self) -> Service:
        return self.app.service  # type: ignore[no-any-return]

    def init_process(self) -> None:
        """In the new process, before anything else."""
        # gunicorn 20.1 calls setuid(2) even for the user it already is, which the unit's sandbox forbids.
        self.cfg.set("user", 0)
        super().init_process()

    def run(self) -> None:
        """Start sampling, then serve until told to end."""
        # A tick makes some thousand objects, none of them in a circle: looking for circles so often only costs.
        gc.set_threshold(50_000, 20, 20)
        self.poller = _PatientSelector(self)
        # A signal writes to this pipe: with it in the loop, a stop or a reload does not wait for the next turn.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, self._drain)
        sampler = Sampler(collectors(), Host(), previous=self._service.previous)
        self._service.sampler = sampler
        threading.Thread(target=sampler.run, args=(self._stop,), name="sampler", daemon=True).start()
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
            self._take_settings()
        now = time.monotonic()
        self._end_overdue(now)
        self._end_longest_kept()
        newest = self._service.newest()
        if newest is not None and not is_stuck(newest.sampled, self._serving.values(), now):
            self.app.heartbeat.beat()

    def _take_settings(self) -> None:
        self.app.renew()
        self.wsgi = self.app.wsgi()
        self._repeated.forget()
        for conn in list(self._waiting):
            if conn.terms != self._service.terms:
                self._drop(conn)  # half a request: the rest of it would be answered under terms that are over
        self.app.heartbeat.settle()

    def is_idle(self) -> bool:
        """Whether there is no deadline to keep."""
        return self.alive and not (self._waiting or self._serving or self._refused)

    def _end_overdue(self, now: float) -> None:
        for conn, deadline in list(self._waiting.items()):
            if now > deadline or not self.alive:
                self._drop(conn)
        if not self.alive:
            # gunicorn 27 would let idle connections linger, and the stop would take as long.
            for conn in getattr(self, "keepalived_conns", ()):
                conn.timeout = now
        for conn, deadline in list(self._serving.items()):
            if now > deadline:
                # The thread that waits for this client, or comes to it, finds an end of file, and closes it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)  # under TLS, whose state is the thread's
        while self._refused:
            self._refused.popleft().close()

    def _end_longest_kept(self) -> None:
        """Whoever asks once and stays must not keep others out: beyond MAX_KEPT, who asked longest ago goes.

        gunicorn closes them at the end of this turn of its loop: closed by now, one that asks again in this turn would
        be a connection that its loop does not know.
        """
        kept = self.keepalived_conns if hasattr(self, "keepalived_conns") else self._keep
        with contextlib.suppress(IndexError):  # before gunicorn 27 threads take and add too
            for place in range(len(kept) - MAX_KEPT):
                kept[place].timeout = 0.0

    def accept(self, *args: Any) -> None:
        """Take a connection; gunicorn 20.1 and 23 pass (server, listener), later ones only the listener."""
        listener = args[-1]
        try:
            sock, client = listener.accept()
        except OSError:
            return  # gone again, or no descriptor left: the next turn tries again
        sock = ClientSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        sock.setblocking(False)
        if not self._service.access.allows(client[0]):
            self._refuse(sock, ACCESS_DENIED if self._service.tls else FORBIDDEN)
            return
        if self.nr_conns >= MAX_CONNECTIONS:
            if not self._waiting:
                sock.close()
                return
            self._drop(next(iter(self._waiting)))  # the one that has been silent for longest
        if self._service.tls:
            sock = TlsSocket(sock, self._service.tls)
        conn = _Conn(self.cfg, sock, client, listener.getsockname())
        conn.terms = self._service.terms
        self.nr_conns += 1
        self.enqueue_req(conn)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread, once the head of its request is there; in the main thread.

        The head is only looked at: the bytes stay in the socket. Shaking hands for TLS is a part of it, and has
        the same deadline.
        """
        if conn.terms != self._service.terms:
            # A reload has changed who is let in, and how: whoever is let in now connects anew.
            self.nr_conns -= 1
            conn.close()
        else:
            self._look_at_head(conn, conn.sock)

    def _look_at_head(self, conn: TConn, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            head = _look(sock)
        except BlockingIOError:
            self._wait_for_more(conn, sock, 0)
            return
        except (ssl.SSLError, ConnectionAbortedError) as error:
            self._refuse_handshake(conn, sock, error)
            return
        except OSError:
            head = b""
        if not is_whole(head) and self._seen.get(conn, 0) < len(head) < MAX_HEAD_BYTES:
            self._wait_for_more(conn, sock, len(head))
            return
        if conn in self._waiting:
            self._forget(conn)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if isinstance(sock, ClientSocket) and self._answer_again(conn, sock, head):
            return
        refusal = refusal_of(head)
        if refusal is not None:
            self.nr_conns -= 1
            with contextlib.suppress(OSError):
                sock.recv(MAX_DRAINED_BYTES)  # what is left unread would reset the connection, and the answer be lost
            self._refuse(sock, refusal)
        elif isinstance(sock, ClientSocket) and self._is_ready(head):
            self._answer(conn, sock, head)
        else:
            self._hand_over(conn)

    def _is_ready(self, head: bytes) -> bool:
        sampler = self._service.sampler
        return sampler is not None and is_ready(head, sampler.recall) and not expects_more(head)

    def _answer_again(self, conn: TConn, sock: ClientSocket, head: bytes) -> bool:
        """Answer, if the application has answered this question before; nothing else of it needs a look then."""
        sampler = self._service.sampler
        known = self._repeated.answer(head, sampler.recall) if sampler and self.alive else None
        if known is None:
            return False
        self._hold(conn, sock)
        sock.recv(len(head))
        sock.sendall(known)
        self._release(conn, sock, self._result(conn))
        return True

    def _answer(self, conn: TConn, sock: ClientSocket, head: bytes) -> None:
        """Answer in this thread, which does not wait: what the client does not take at once is a thread's to send."""
        assert self._service.sampler
        self._hold(conn, sock)
        result = self._handle(conn)
        self._repeated.learn(head, sock.held(), self._service.sampler.recall)
        self._release(conn, sock, result)

    def _handle(self, conn: TConn) -> Any:
        """Have gunicorn answer. Where a second request came before that, which nobody who means well sends, hang up.

        It was taken in together with the first one: no socket tells of it any more.
        """
        result = super().handle(conn)
        return self._result(conn, is_kept=False) if _has_buffered(conn) else result

    def _hold(self, conn: TConn, sock: ClientSocket) -> None:
        conn.data_ready = True  # gunicorn 27 would wait for more to come
        sock.hold()
        conn.init()

    def _release(self, conn: TConn, sock: ClientSocket, result: Any) -> None:
        if sock.send_held():
            self._finish(conn, result)
        else:
            self._answered[conn] = result
            self._hand_over(conn)

    def _result(self, conn: TConn, is_kept: bool = True) -> Any:
        """What gunicorn's `handle` returns for a connection that is to be kept, or not; a pair before version 27."""
        return is_kept if self._is_new else (is_kept, conn)

    def _refuse_handshake(self, conn: TConn, sock: socket.socket, error: OSError) -> None:
        """This is no TLS, or not one that is wanted here, of which OpenSSL has told the client; or too much of it."""
        if conn in self._waiting:
            self._forget(conn)
        self.nr_conns -= 1
        if getattr(error, "reason", None) == "HTTP_REQUEST":
            self._refuse(socket.socket(fileno=sock.detach()), WANTS_TLS)
        else:
            conn.close()

    def _wait_for_more(self, conn: TConn, sock: socket.socket, seen: int) -> None:
        # Be woken for more bytes than those that were already seen, or for the end (SO_RCVLOWAT in socket(7)).
        if not isinstance(sock, TlsSocket):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
        self._seen[conn] = seen
        if conn not in self._waiting:
            self._waiting[conn] = time.monotonic() + PATIENCE_SECONDS
            self.poller.register(sock, selectors.EVENT_READ, partial(self._look_again, conn))

    def _look_again(self, conn: TConn, sock: socket.socket) -> None:
        # It may have been dropped to make room for another one in this very turn of the loop.
        if conn in self._waiting:
            self._look_at_head(conn, sock)

    def _hand_over(self, conn: TConn) -> None:
        # The time in the queue for a thread counts too.
        self._serving[conn] = time.monotonic() + PATIENCE_SECONDS
        conn.data_ready = True  # gunicorn 27 would wait for more to come, and over TLS all has come
        super().enqueue_req(conn)

    def _finish(self, conn: TConn, result: Any) -> None:
        """Have gunicorn keep or close the connection, as it does when a thread is done with a request."""
        done = _Done(conn, result)
        if self._is_new:
            self.finish_request(conn, done)
        else:
            self.finish_request(done)

    def _refuse(self, sock: socket.socket, answer: bytes) -> None:
        """Answer without reading a byte. The socket is closed a turn later, so that the answer arrives first."""
        with contextlib.suppress(OSError):
            sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
        self._refused.append(sock)
        if len(self._refused) > MAX_REFUSED:
            self._refused.popleft().close()

    def _drop(self, conn: TConn) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: TConn) -> None:
        del self._waiting[conn]
        self._seen.pop(conn, None)
        self.poller.unregister(conn.sock)

    def handle(self, conn: TConn) -> Any:
        """In a thread of the pool: one request, or the rest of its answer."""
        try:
            if conn in self._answered:
                return self._send_on(conn)
            return self._handle(conn)
        finally:
            self._serving.pop(conn, None)

    def _send_on(self, conn: TConn) -> Any:
        result = self._answered.pop(conn)
        conn.sock.setblocking(True)
        conn.sock.send_rest()  # where it raises, gunicorn closes the connection
        return result

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """What gunicorn would answer with HTML, and log: nonsense from a client is no news."""
        answer = refusal_after(exc)
        if answer is None:
            log.error("a request failed", exc_info=exc)
        with contextlib.suppress(OSError):
            client.sendall(answer or INTERNAL_ERROR)


class _Conn(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that is closed at once: nothing is left unread, so the client loses nothing by it."""

    def close(self, graceful: bool = False) -> None:
        """Close it. gunicorn 27 would wait up to two seconds, in the main thread, for the client to close its side."""
        super().close()


@dataclass(frozen=True)
class _Done:
    """What gunicorn asks of the future of a request that a thread was done with."""

    conn: TConn
    value: Any

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self.value


class _PatientSelector(selectors.DefaultSelector):
    """Waits longer than the second that gunicorn's loop asks for while there is no deadline to keep."""

    def __init__(self, worker: AgentWorker) -> None:
        super().__init__()
        self._worker = worker

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 1.0 and self._worker.is_idle():
            timeout = self._worker.app.pause_seconds
        return super().select(timeout)


def is_stuck(sampled: float, deadlines: Iterable[float], now: float) -> bool:
    """Whether sampling has stopped, or a thread is held long after the deadline of its request."""
    return now - sampled > STUCK_SECONDS or any(now - deadline > STUCK_SECONDS for deadline in list(deadlines))


def _look(sock: socket.socket) -> bytes:
    return sock.look(MAX_HEAD_BYTES) if isinstance(sock, TlsSocket) else sock.recv(MAX_HEAD_BYTES, socket.MSG_PEEK)


def _has_buffered(conn: TConn) -> bool:
    """Whether bytes of a next request have been read already, by gunicorn or under TLS."""
    is_ours = isinstance(conn.sock, TlsSocket) and conn.sock.has_more()
    return is_ours or (conn.parser is not None and conn.parser.unreader.buf.tell() > 0)
