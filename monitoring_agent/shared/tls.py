"""TLS of both daemons: contexts made from the files that the settings name, with every mistake in words."""

import os
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring_agent.shared import certificate
from monitoring_agent.shared.env import BadSettings

# So much of what a client sends is looked at in one go, and before its request is there whole. A handshake with a chain
# of certificates, and a head, are some thousand bytes.
LOOK_BYTES, MAX_LOOKED_AT_BYTES = 4096, 64 * 1024
# A TLS alert (RFC 8446, 6): fatal, access_denied. It needs no handshake.
ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"


@dataclass(frozen=True)
class Files:
    """This machine's certificate and its key, and the authority that signed those of the others."""

    cert: Path | None
    key: Path | None
    ca: Path | None


def fingerprint(files: Files) -> tuple[object, ...]:
    """Changes when another file is named, or one of them is written anew, or without a CA what the system trusts."""
    system = ssl.get_default_verify_paths()
    trusted = (files.ca,) if files.ca else (system.cafile, system.capath)
    return tuple((path, _stamp(path)) for path in (files.cert, files.key, *map(_path, trusted)))


def _path(name: Path | str | None) -> Path | None:
    return Path(name) if name else None


def _stamp(path: Path | None) -> tuple[int, ...] | None:
    try:
        status = os.stat(path) if path else None
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None


def serving(files: Files) -> ssl.SSLContext | None:
    """For an agent: https with its certificate, or None without one. With a CA, clients need a certificate of it.

    Raises BadSettings.
    """
    if files.cert is None:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    _load(context, files)
    if files.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def asking(files: Files) -> ssl.SSLContext:
    """For the supervisor: trusts the CA alone, or without one what the system trusts, and shows its certificate.

    Raises BadSettings.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if files.ca else ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files)
    return context


def ends_at(files: Files) -> float | None:
    """When this machine's certificate ends, in Unix seconds; None without one, or if that cannot be read."""
    try:
        return certificate.ends_at(files.cert.read_text(encoding="ascii", errors="replace")) if files.cert else None
    except OSError:
        return None


def _load(context: ssl.SSLContext, files: Files) -> None:
    if (files.cert is None) != (files.key is None):
        raise BadSettings(["TLS_CERT and TLS_KEY belong together; set both or none"])
    for name, path in (("TLS_CERT", files.cert), ("TLS_KEY", files.key), ("TLS_CA", files.ca)):
        if path is not None:
            _check_readable(name, path, secret=path == files.key)
    if files.ca:
        try:
            context.load_verify_locations(files.ca)
        except OSError:
            raise BadSettings([f"TLS_CA: {files.ca} holds no certificate in PEM form"]) from None
    if files.cert and files.key:
        try:
            context.load_cert_chain(files.cert, files.key, password=_no_passphrase)
        except OSError as error:
            if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
                raise BadSettings([f"TLS_KEY: {files.key} is not the key of {files.cert}"]) from None
            text = f"TLS_CERT, TLS_KEY: {files.cert} and {files.key} are not a certificate and its key in PEM form"
            raise BadSettings([text]) from None


def _check_readable(name: str, path: Path, *, secret: bool) -> None:
    try:
        with path.open("rb"):
            mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise BadSettings([f"{name}: {path} cannot be read: {error.strerror}"]) from None
    if secret and mode & stat.S_IRWXO:
        text = f"{name}: {path} is open to every user of this machine (mode {mode:04o})"
        raise BadSettings([f"{text}; close it with: chown root:_monitoring {path}; chmod 0640 {path}"])


def _no_passphrase() -> str:
    raise BadSettings(["TLS_KEY: the key has a passphrase, and nobody is there to type it; store it without one"])


class TlsSocket(socket.socket):
    """The agent's end of TLS. One can look at what a client says without waiting, a limited piece at each look.

    Of ssl.SSLSocket, a client that sends nothing but tiny records, or one new key after the other, would be heard for
    as long as it likes: it reads until there is something for the application.
    """

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_shaken = False
        self._seen = b""
        self._room = MAX_LOOKED_AT_BYTES

    def look(self, most: int) -> bytes:
        """What is there of a request, up to its head or `most` bytes; shakes hands before, as far as it goes.

        Returns the same as before at the end of the stream. Raises BlockingIOError if nothing new came, and OSError,
        of which ssl.SSLError is one, if this is no TLS, not the right one, or far more of it than a request takes.
        """
        before = len(self._seen)
        self._room -= self._take(LOOK_BYTES)
        if self._room < 0:
            raise ConnectionAbortedError("more and more of TLS, and no request")
        try:
            if not self._is_shaken:
                self._tls.do_handshake()
                self._is_shaken = True
            while len(self._seen) < most and b"\r\n\r\n" not in self._seen:
                part = self._tls.read(most - len(self._seen))
                if not part:
                    break
                self._seen += part
        except ssl.SSLWantReadError:
            if len(self._seen) == before:
                raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass  # the end of the stream, which is told by nothing new in what is returned
        finally:
            self._send_outgoing()
        return self._seen

    def has_more(self) -> bool:
        """Whether something of the client's was received, and not yet given away."""
        return bool(self._seen or self._tls.pending() or self._incoming.pending)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """First what was looked at, then what comes; nothing at the end of the stream. Raises OSError."""
        if self._seen:
            part, self._seen = self._seen[:bufsize], self._seen[bufsize:]
            return part
        while True:
            try:
                return self._tls.read(bufsize)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""
            except ssl.SSLWantReadError:
                self._send_outgoing()
                self._take(LOOK_BYTES)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it, without waiting. Raises OSError, also if the client does not take it at once."""
        self._encrypt(data)
        self._send_outgoing()
        return len(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it, waiting for the client to take it. Raises OSError."""
        self._room = MAX_LOOKED_AT_BYTES  # whoever is answered may say as much again
        self._encrypt(data)
        super().sendall(self._outgoing.read())

    def _encrypt(self, data: Any) -> None:
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]

    def _take(self, most: int) -> int:
        """Receive so many bytes at most for OpenSSL to read. Returns how many; the end of the stream is told it too."""
        part = super().recv(most)
        if part:
            self._incoming.write(part)
        else:
            self._incoming.write_eof()
        return len(part)

    def _send_outgoing(self) -> None:
        """Send the handshake's own part of the talk, or the alert why it ends."""
        outgoing = self._outgoing.read()
        if outgoing and super().send(outgoing) < len(outgoing):
            raise ConnectionAbortedError("the client does not take what it asked for")
