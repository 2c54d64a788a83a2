"""TLS of both daemons: contexts made from the files that the settings name, with every mistake in words."""

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared.env import BadSettings


@dataclass(frozen=True)
class Files:
    """This machine's certificate and its key, and the authority that signed those of the others."""

    cert: Path | None
    key: Path | None
    ca: Path | None


def fingerprint(files: Files) -> tuple[object, ...]:
    """Changes when another file is named, or one of them is written anew."""
    return tuple((path, _stamp(path)) for path in (files.cert, files.key, files.ca))


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
    context.sslsocket_class = TlsSocket
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


class TlsSocket(ssl.SSLSocket):
    """A server's socket at which one can look without waiting: what was looked at is received afterwards."""

    _seen = b""
    _is_shaken = False

    def look(self, most: int) -> bytes:
        """What is there of a request, up to its head or `most` bytes; shakes hands before, as far as it goes.

        Returns the same as before at the end of the stream. Raises BlockingIOError if nothing new came, and
        ssl.SSLError if this is no TLS or not the right one.
        """
        before = len(self._seen)
        try:
            if not self._is_shaken:
                self.do_handshake()
                self._is_shaken = True
            while len(self._seen) < most and b"\r\n\r\n" not in self._seen:
                part = super().recv(most - len(self._seen))
                if not part:
                    return self._seen
                self._seen += part
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if len(self._seen) == before:
                raise BlockingIOError from None
        return self._seen

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """First what was looked at, then what comes."""
        if self._seen:
            part, self._seen = self._seen[:buflen], self._seen[buflen:]
            return part
        return super().recv(buflen, flags)
