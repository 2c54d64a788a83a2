"""One agent, one connection, one question at a time: HTTP/1.1 over an asyncio protocol and httptools.

The client keeps no time: whoever asks also gives up, so that a deadline is total whatever the agent dribbles.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import cast

import httptools

from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_supervisor import answers
from monitoring_supervisor.model import Failure, Kind, Question, Scrape, Target
from monitoring_supervisor.resolver import Resolver

# Descriptors, buffers or memory of our own machine are used up.
OUR_OWN_WANT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

MAX_HEAD_BYTES = 64 * 1024
# Everything of one answer: the body, and what a hostile agent puts around it.
MAX_ANSWER_BYTES = wire.MAX_BODY_BYTES + MAX_HEAD_BYTES
NOT_ALLOWED = "this machine's address is not in the agent's AGENT_ALLOW"
TOO_LARGE = f"the answer is larger than {MAX_ANSWER_BYTES} bytes, or its head than {MAX_HEAD_BYTES}"


class _Connection(asyncio.Protocol):
    """The parser's callbacks and what they collected of one answer."""

    def __init__(self, client: "AgentClient") -> None:
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.answered = False  # at least one answer came over this connection
        self.begin()

    def begin(self) -> None:
        """Forget the answer before, for a new question."""
        self._body: list[bytes] = []
        self._in_head = True
        self._complete = False
        self._keep = False
        self._status = 0
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._client.connected(self)

    def data_received(self, data: bytes) -> None:
        if self._complete or not self._client.asking:
            self._client.drop(self)  # it speaks without being asked: whatever this is, it is not our answer
            return
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._in_head and self.received > MAX_HEAD_BYTES:  # older parsers have a limit of their own
                self._client.failed(self, Kind.TOO_LARGE, TOO_LARGE)
            else:
                self._client.failed(self, Kind.NOT_A_REPORT, f"the answer is not HTTP: {printable(str(error), 200)}")
            return
        if self._complete:
            self.answered = True
            self._client.complete(self, self._status, b"".join(self._body), self._keep)
        elif self.received > MAX_ANSWER_BYTES or (self._in_head and self.received > MAX_HEAD_BYTES):
            self._client.failed(self, Kind.TOO_LARGE, TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self, exc)

    def on_message_begin(self) -> None:
        """Called by httptools. Behind a whole answer there is nothing that was asked for."""
        if self._complete:
            self._keep = False

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self._in_head = False

    def on_body(self, part: bytes) -> None:
        """Called by httptools for each piece of the body."""
        if not self._complete:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """Called by httptools; an interim answer (RFC 9110, 1xx) is followed by the real one."""
        if self._complete:
            return
        self._status = self._parser.get_status_code()
        if self._status >= 200:
            self._complete = True
            # Here and not later: behind the message the parser has already forgotten what its headers said.
            self._keep = self._parser.should_keep_alive()
        else:
            self._in_head = True
            self._body.clear()


class AgentClient:
    """Asks one agent. Every `ask` is followed by exactly one call of `hear`, sooner or later, unless closed."""

    def __init__(
        self, target: Target, hear: Callable[[Scrape], None], resolver: Resolver, tls: ssl.SSLContext | None
    ) -> None:
        self._target = target
        self._resolver = resolver
        self._resolving = False
        self._hear = hear
        self._tls = tls if target.tls else None
        self._is_outdated = False  # the connection was made with certificates that are no longer ours
        self._asked_again = False  # the open question was already sent over a new connection, which ended
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._question = Question.HEALTH
        self._request = b""
        self.certificate_ends_at: float | None = None  # of the last one that the agent showed, in Unix seconds
        self.asking = False
        self.tickets = 0  # counts the questions, so that a deadline knows its own

    def ask(self, question: Question, request: bytes) -> int:
        """Send the request, over the connection there is or a new one; returns the ticket of the question."""
        self.asking = True
        self._asked_again = False
        self.tickets += 1
        self._question, self._request = question, request
        if self._connection is not None and self._connection.transport is not None:
            self._connection.begin()
            self._connection.transport.write(request)
        else:
            self._connect()
        return self.tickets

    def give_up(self) -> None:
        """The time for the question is over."""
        if self._resolving:
            self._fail(Kind.NAME_NOT_FOUND, "no answer about the name within the time limit")
        elif self._connecting is not None:
            self._fail(Kind.TIMEOUT_CONNECT, "no connection within the time limit")
        else:
            received = self._connection.received if self._connection else 0
            detail = f"only {received} bytes of an answer" if received else "connected, but no answer"
            self._fail(Kind.TIMEOUT_ANSWER, f"{detail} within the time limit")

    def secure(self, tls: ssl.SSLContext | None) -> None:
        """Use these certificates from now on. An answer that is under way may still come."""
        self._tls = tls
        if self.asking:
            self._is_outdated = True
        else:
            self._disconnect()

    def close(self) -> None:
        """End the connection; a question that is open is never answered."""
        self.asking = False
        self._disconnect()

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        target = self._target
        self._resolving = True
        try:
            addresses = await self._resolver.lookup(target.host)
            self._resolving = False
            await self._connect_to_any(addresses, target)
        except OSError as error:
            self._connecting, self._resolving = None, False
            if error.errno in OUR_OWN_WANT:
                self._ours(error)
            else:
                self._fail(*_why_not_connected(error))

    async def _connect_to_any(self, addresses: list[str], target: Target) -> None:
        """Connect to the first address that takes us. Raises the error of the last one."""
        loop = asyncio.get_running_loop()
        server_name = target.host if self._tls else None
        for left, address in enumerate(addresses, 1 - len(addresses)):
            try:
                await loop.create_connection(
                    lambda: _Connection(self), address, target.port, ssl=self._tls, server_hostname=server_name
                )
                return
            except OSError:
                if left == 0:
                    raise

    def connected(self, connection: _Connection) -> None:
        """The connection stands: send the question that it was made for, if it is still wanted."""
        assert connection.transport is not None
        if self._connecting is None or not self.asking:
            connection.transport.abort()
            return
        self._connecting = None
        self._connection = connection
        certificate = connection.transport.get_extra_info("peercert") if self._tls else None
        self.certificate_ends_at = ssl.cert_time_to_seconds(certificate["notAfter"]) if certificate else None
        connection.transport.write(self._request)

    def complete(self, connection: _Connection, status: int, body: bytes, keep: bool) -> None:
        """An answer came in whole."""
        if not keep or self._is_outdated:
            self._disconnect()
        self._finish(answers.judge(self._question, status, body), body)

    def failed(self, connection: _Connection, kind: Kind, detail: str) -> None:
        """The answer is of no use, and so is the connection."""
        self._fail(kind, detail)

    def drop(self, connection: _Connection) -> None:
        """End a connection on which nothing is asked."""
        if connection is self._connection:
            self._disconnect()

    def lost(self, connection: _Connection, error: Exception | None = None) -> None:
        """The connection ended, from either side."""
        if connection is not self._connection:
            return
        self._connection = None
        if not self.asking:
            return
        if isinstance(error, ssl.SSLError):
            self._fail(*_why_not_connected(error))
            return
        if connection.received == 0 and (connection.answered or not self._asked_again):
            # Closed by the agent just as the question was on its way: ask again (RFC 9110, 9.2.2). That happens to a
            # connection that was kept; and once, at most, to a new one: when the agent is just taking new settings.
            self._asked_again = not connection.answered
            self._connect()
            return
        said = f"after {connection.received} bytes" if connection.received else "without an answer"
        self._fail(Kind.NOT_A_REPORT, f"the agent closed the connection {said}")

    def _fail(self, kind: Kind, detail: str) -> None:
        self._disconnect()
        self._finish(Failure(kind, detail))

    def _ours(self, error: OSError) -> None:
        """The attempt failed for want of something of this process: that is no evidence against the agent."""
        self._disconnect()
        self.asking = False
        self._hear(Scrape(self._target, self._question, ours=error.strerror or str(error)))

    def _finish(self, failure: Failure | None, body: bytes = b"") -> None:
        self.asking = False
        self._hear(Scrape(self._target, self._question, failure, body))

    def _disconnect(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting, self._resolving = None, False
        self._is_outdated = False
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


def _why_not_connected(error: OSError) -> tuple[Kind, str]:
    """ssl.SSLError and socket.gaierror are OSErrors too."""
    detail = printable(error.strerror or str(error))
    if isinstance(error, ssl.SSLError) and is_not_allowed(error):
        return Kind.UNAUTHORISED, NOT_ALLOWED
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return Kind.TLS, f"TLS: {why_no_tls(error) or detail}"
    if isinstance(error, socket.gaierror):
        return Kind.NAME_NOT_FOUND, f"the name cannot be resolved: {detail}"
    if isinstance(error, ConnectionRefusedError):
        return Kind.REFUSED, "connection refused, nothing listens at the port"
    if isinstance(error, TimeoutError):
        return Kind.TIMEOUT_CONNECT, detail
    return Kind.UNREACHABLE, detail


def is_not_allowed(error: ssl.SSLError) -> bool:
    """Whether an agent with TLS says that this machine is not in its AGENT_ALLOW, which takes no handshake."""
    return "ACCESS_DENIED" in (error.reason or "")


def why_no_tls(error: ssl.SSLError | ssl.CertificateError) -> str | None:
    """In our words what OpenSSL says in its own, as far as it is one of the usual mistakes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the agent's certificate is not accepted: {printable(error.verify_message)}"
    reason = error.reason or ""
    if reason == "WRONG_VERSION_NUMBER":
        return "the agent does not speak TLS; is it plain http?"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "the agent wants a certificate of this machine; set TLS_CERT and TLS_KEY"
    if "ALERT" in reason and ("UNKNOWN_CA" in reason or "CERTIFICATE" in reason):
        return "the agent does not accept this machine's certificate; is it signed by the agent's TLS_CA, and valid?"
    return None
