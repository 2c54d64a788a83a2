"""What the agent reads: the files of its machine, requests and their queries, and how TLS begins.

Each function takes any bytes, and raises on a mistake of ours.
"""

import atexit
import contextlib
import dataclasses
import functools
import itertools
import shutil
import socket
import ssl
import subprocess
import tempfile
import warnings
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from werkzeug.test import EnvironBuilder, run_wsgi_app

from monitoring_agent import exposition
from monitoring_agent.access import Access
from monitoring_agent.app import Service, create_app
from monitoring_agent.collectors.registry import Collector, collectors
from monitoring_agent.heads import MAX_HEAD_BYTES, refusal_of
from monitoring_agent.host import Host
from monitoring_agent.repeated import Repeated
from monitoring_agent.sampler import Sampler
from monitoring_agent.server import AgentApplication
from monitoring_agent.settings import load
from monitoring_agent.shared import tls, wire

TREES = Path(__file__).parents[1] / "trees"
TOKEN = "0123456789abcdef"


_Copy = tuple[Path, str, Path, tuple[str, ...]]


class _Noting(Host):
    """Notes which files are read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.names: list[str] = []

    def read(self, name: str, errors: str = "replace") -> str:
        self.names.append(name)
        return super().read(name, errors)

    def read_again(self, name: str) -> str:
        self.names.append(name)
        return super().read_again(name)


def _asked_apart() -> list[Collector]:
    """All that read files, and run where they are called. What asks programs of this machine is left out."""
    left_out = {"packages", "units", "restarts", "clock"}
    return [dataclasses.replace(one, may_block=False) for one in collectors() if one.name not in left_out]


@functools.cache
def _copies() -> tuple[_Copy, ...]:
    """Each file of each frozen machine, in a copy of it, with the names of the collectors that read it."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    found = []
    for kind in ("vm", "physical", "lxc"):
        root = home / kind
        shutil.copytree(TREES / kind, root, symlinks=True)
        readers: dict[str, set[str]] = defaultdict(set)
        for collector in _asked_apart():
            noting = _Noting(str(root))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of psutil, about what a frozen machine lacks
                Sampler([collector], noting).tick()
            for name in noting.names:
                readers[name].add(collector.name)
        for name, who in sorted(readers.items()):
            path = root / name.removeprefix("/")
            if path.is_file() and not path.is_symlink():
                found.append((root, name, path, tuple(sorted(who))))
    return tuple(found)


def files(data: bytes) -> None:
    """The first line says which file of a frozen machine has the rest in it: still there are reports to read."""
    title, _, content = data.partition(b"\n")
    copies = {_title(copy): copy for copy in _copies()}
    root, _, path, names = copies.get(title) or _copies()[zlib.crc32(title) % len(copies)]
    whole, host = path.read_bytes(), Host(str(root))
    clock = itertools.count(0.0, 20.0)
    chosen = [collector for collector in _asked_apart() if collector.name in names]
    sampler = Sampler(chosen, host, clock=lambda: next(clock), wall_clock=lambda: 1_794_900_000.0)
    try:
        for text in (whole, content, whole, content):
            path.write_bytes(text)
            sampler.tick()
            newest = sampler.recall.newest()
            assert newest is not None
            assert wire.decode(newest.body)["sequence"] == newest.sequence
            exposition.render(sampler.samples(), sampler.health())
    finally:
        host.close()
        path.write_bytes(whole)


def _title(copy: _Copy) -> bytes:
    root, name, _, _ = copy
    return f"{root.name} {name}".encode()


def file_seeds() -> list[bytes]:
    """Each file as it is."""
    return [_title(copy) + b"\n" + copy[2].read_bytes() for copy in _copies()]


@functools.cache
def _application() -> tuple[Flask, Any]:
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "token").write_text(TOKEN, encoding="ascii")
    (home / "token").chmod(0o600)
    (home / "settings").write_text(f"TOKEN_FILE={home}/token\n", encoding="ascii")
    settings = load(home / "settings")
    service = Service(Access((), (TOKEN,)), clock=lambda: 0.0)
    service.sampler = _sampler()
    return create_app(service, settings.health_path, settings.metrics_path), AgentApplication(None, settings, 1.0).cfg


@functools.cache
def _sampler() -> Sampler:
    clock, wall_clock = itertools.count(0.0, 1.0), itertools.count(1_794_900_000.0)
    chosen = [collector for collector in _asked_apart() if collector.name in {"load", "cpu", "memory"}]
    sampler = Sampler(chosen, Host(str(TREES / "vm")), lambda: next(clock), lambda: next(wall_clock))
    for _ in range(70):
        sampler.tick()
    return sampler


def queries(data: bytes) -> None:
    """A query of the metrics, such as since=5: reports, or what is wrong with it."""
    application, _ = _application()
    environ = EnvironBuilder("/getmetrics", headers=[("Authorization", wire.bearer(TOKEN))]).get_environ()
    environ["QUERY_STRING"] = data.decode("latin-1")
    assert _answer(application, environ) in {200, 400}


def _answer(application: Flask, environ: dict[str, Any]) -> int:
    """The status of the answer, which is in order otherwise."""
    body, status, headers = run_wsgi_app(application, environ, buffered=True)
    text = b"".join(body)
    if headers["Content-Type"] == "application/json":
        document = wire.decode(text)
        assert status.startswith("200") or isinstance(document.get("error"), str) or "status" in document
    else:
        assert headers["Content-Type"] == exposition.CONTENT_TYPE
    assert not [name for name, _ in headers.items() if name.lower().startswith(("location", "access-control"))]
    return int(status.split(" ")[0])


class _Sink:
    def sendall(self, data: bytes) -> None:
        """Whoever expects to go on is told to."""

    send = sendall


def _environ(data: bytes) -> dict[str, Any] | None:
    """What gunicorn makes of these bytes; None if they are refused, by our look at them or as no request."""
    if refusal_of(data) is not None or not data:
        return None
    _, configuration = _application()
    client = ("127.0.0.1", 40000)
    try:
        request = next(RequestParser(configuration, iter([data]), client))
    except (ParseException, NoMoreData, StopIteration):
        return None
    _, environ = create(request, _Sink(), client, ("127.0.0.1", 5000), configuration)
    assert environ["wsgi.input"].read() == b"", "a request with a body came through"
    return environ  # type: ignore[no-any-return]  # gunicorn has no types


def requests(data: bytes) -> None:
    """What a client sends: refused by our look at it, or by gunicorn as no request, or answered."""
    environ = _environ(data)
    if environ is not None:
        assert _answer(_application()[0], environ) < 500


REPEATED = tuple(
    f"GET /getmetrics{query} HTTP/1.1\r\nHost: a\r\nAuthorization: {wire.bearer(TOKEN)}\r\n\r\n".encode("ascii")
    for query in ("", "?changes=69", "?changes=69&life=1794900000.0", "?changes=69&life=1794900000.0&layout=0-0")
)
_NO_DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def _said(question: bytes) -> bytes | None:
    """What is answered to this question if nothing is known of it before, as gunicorn sends it."""
    environ = _environ(question)
    if environ is None:
        return None
    body, status, headers = run_wsgi_app(_application()[0], environ, buffered=True)
    lines = [f"HTTP/1.1 {status}", f"Date: {_NO_DATE}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + b"".join(body)


@functools.cache
def _repeated() -> Repeated:
    repeated, recall = Repeated(lambda: _NO_DATE), _sampler().recall
    for question in REPEATED:
        repeated.learn(question, _said(question) or b"", recall)
        assert repeated.answer(question, recall), f"{question!r} is not learnt"
    return repeated


def repetitions(data: bytes) -> None:
    """A question that is answered from what was answered before gets the answer that the application would give."""
    answer = _repeated().answer(data, _sampler().recall)
    assert answer is None or answer == _said(data)


@functools.cache
def _context() -> ssl.SSLContext:
    """Of an agent with a certificate of its own."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        new += ["-subj", "/CN=a", "-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem"]
        subprocess.run(new, check=True, capture_output=True)
        context = tls.serving(tls.Files(home / "cert.pem", home / "key.pem", None))
    finally:
        shutil.rmtree(home)
    assert context
    return context


@functools.cache
def client_hello() -> bytes:
    """How a client begins."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a").do_handshake()
    return outgoing.read()


def handshakes(data: bytes) -> None:
    """What comes in place of a handshake is looked at piece by piece, and never for long: it ends, or wants more."""
    ours, theirs = socket.socketpair()
    with theirs, tls.TlsSocket(ours, _context()) as agent:
        theirs.setblocking(False)
        agent.setblocking(False)
        theirs.send(data)
        for _ in range(len(data) // tls.LOOK_BYTES + 2):
            try:
                assert agent.look(MAX_HEAD_BYTES) == b"", "nobody has shaken hands"
            except BlockingIOError:
                continue
            except OSError:
                return
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            assert agent.look(MAX_HEAD_BYTES) == b"", "nobody has shaken hands"
