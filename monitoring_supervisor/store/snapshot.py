"""metrics_data.json: the whole fleet as it is now, complete and valid at every instant."""

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from monitoring_supervisor.fleet import Agent, Fleet
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Failure, Kind, Listing, Standing, State, Target

SCHEMA = 1
MODE = 0o640
# Putting thousands of reports into words takes seconds of processor time, in which the loop would wait for the
# interpreter again and again. After so much of it the writer rests, so many times as long as it worked.
WORK_SECONDS, REST = 0.002, 2.0


class Damaged(Exception):
    """The file is there but is not a snapshot; the text says why."""


@dataclass(frozen=True)
class Saved:
    """A snapshot as it was read: when it was written, how the supervisor was, and the agents by name."""

    written_at: float
    supervisor: dict[str, Any]
    agents: dict[str, Agent]


def render(fleet: Fleet, supervisor: dict[str, Any], now: float) -> Iterator[bytes]:
    """The document in pieces, one line an agent.

    What is light is taken down now. The reports are put into words when the pieces are asked for, in any thread: each
    is then as it is at that moment, and thousands of them hold nobody up.
    """
    head = {
        "schema": SCHEMA,
        "written_at": round(now, 3),
        "supervisor": supervisor,
        "whitelist": fleet.names(Listing.WHITE),
        "blacklist": fleet.names(Listing.BLACK),
    }
    return _pieces(wire.encode(head), list(fleet.agents.items()))


def _pieces(head: bytes, agents: list[tuple[str, Agent]]) -> Iterator[bytes]:
    yield head[:-1] + b',"agents":{'
    separator = b"\n"
    for name, agent in agents:
        about = wire.encode({name: account(agent)})
        yield b'%b%b,"report":%b}' % (separator, about[1:-2], agent.latest.encoded() or b"null")
        separator = b",\n"
    yield b"\n}}\n"


def account(agent: Agent) -> dict[str, Any]:
    """All that is known of an agent but its report, as the file has it."""
    standing = agent.standing
    failure = standing.failure
    return {
        "listing": standing.listing,
        "state": standing.state,
        "since": standing.since,
        "last_health": agent.last_health,
        "last_metrics": agent.last_metrics,
        "failure": failure
        and {
            "kind": failure.kind,
            "detail": failure.detail,
            "since": standing.failing_since,
            "checks": standing.failures,
            "metrics_only": standing.metrics_only,
        },
        "labels": dict(agent.target.labels),
    }


def read(path: Path) -> dict[str, Agent]:
    """The agents by name as they were when the file was written; empty if there is none.

    Raises Damaged if it is not a snapshot, and OSError if it cannot be read.
    """
    try:
        return load(path).agents
    except FileNotFoundError:
        return {}


def load(path: Path) -> Saved:
    """What the file says. Raises Damaged if it is not a snapshot, and OSError if it cannot be read."""
    text = path.read_bytes()
    try:
        document = json.loads(text, parse_constant=_refuse)
        if document["schema"] != SCHEMA:
            raise Damaged(f"schema {document['schema']!r} is not {SCHEMA}")
        agents = {name: _restored(name, about) for name, about in document["agents"].items()}
        return Saved(_moment(document.get("written_at")) or 0.0, dict(document.get("supervisor", {})), agents)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _restored(name: str, about: dict[str, Any]) -> Agent:
    failure = about["failure"]
    standing = Standing(State(about["state"]), _moment(about["since"]))
    if failure is not None:
        standing = replace(
            standing,
            failures=int(failure.get("checks", 1)),
            failure=Failure(Kind(failure["kind"]), str(failure["detail"])),
            failing_since=_moment(failure["since"]),
            metrics_only=bool(failure.get("metrics_only", False)),
        )
    if not isinstance(about["report"], dict | None):
        raise TypeError("a report is not an object")
    host, _, port = name.rpartition(":")
    labels = tuple((str(key), str(value)) for key, value in about.get("labels", {}).items())
    return Agent(
        Target(name, host.strip("[]"), int(port) if port.isdecimal() else 0, labels=labels),
        standing,
        _moment(about["last_health"]),
        _moment(about["last_metrics"]),
        Latest(about["report"]),
    )


def _moment(value: Any) -> float | None:
    """Unix seconds, or None. Raises TypeError or ValueError for anything else."""
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise TypeError("a time is not a number of seconds")
    return float(value)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing is lost and the name is free. Returns the new name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for name in _numbered(path.with_name(f"{path.name}.damaged-{stamp}")):
        if not name.exists():
            path.rename(name)
            return name
    raise AssertionError("unreachable: the numbers do not end")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def prove_writable(path: Path) -> None:
    """Raise OSError if the file could not be written."""
    beside = _beside(path)
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE))
    beside.unlink()


def write(path: Path, pieces: Iterable[bytes]) -> int:
    """Replace the file, so that a reader finds the old document or the new one, also after a power cut.

    Returns its size. Raises OSError; then the old document is still there.
    """
    beside = _beside(path)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with open(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            size = file.tell()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()  # half a document would only take the space that is missing
        raise
    return size


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


class Writer:
    """Writes in a thread of its own, one document at a time, so that a slow disk holds nobody up.

    After so much work, in seconds of processor time, it rests that many times as long.
    """

    def __init__(self, path: Path, work_seconds: float = WORK_SECONDS, rest: float = REST) -> None:
        self._path = path
        self._work_seconds = work_seconds
        self._rest = rest
        self._queue: queue.Queue[Iterable[bytes] | None] = queue.Queue(maxsize=1)
        self._closing = threading.Event()
        self._rested = 0.0  # seconds, while writing this document
        self.busy_since: float | None = None  # on the monotonic clock; while it writes, when it last rested
        self.error: OSError | None = None
        self.written = 0
        self.written_bytes = 0  # the size of the last document
        self.written_seconds = 0.0  # what writing it took, without the rests
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)
        self._thread.start()

    def offer(self, pieces: Iterable[bytes]) -> bool:
        """Have the document written, unless the one before is still on its way (then False)."""
        if self.busy_since is not None:
            return False
        self.busy_since = time.monotonic()
        self._queue.put_nowait(pieces)
        return True

    def close(self, pieces: Iterable[bytes], timeout_seconds: float) -> bool:
        """Write this last document without a rest, and end. Returns whether that was done in time."""
        self._closing.set()
        deadline = time.monotonic() + timeout_seconds
        try:
            self._queue.put(pieces, timeout=timeout_seconds)
            self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            return False
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive() and self.error is None

    def _run(self) -> None:
        while (pieces := self._queue.get()) is not None:
            try:
                started, self._rested = time.monotonic(), 0.0
                self.written_bytes = write(self._path, self._unhurried(pieces))
                self.written_seconds = time.monotonic() - started - self._rested
                self.error = None
                self.written += 1
            except OSError as error:
                self.error = error
            self.busy_since = None

    def _unhurried(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        began = time.thread_time()
        for piece in pieces:
            yield piece
            worked = time.thread_time() - began
            if worked >= self._work_seconds and not self._closing.is_set():
                self._closing.wait(self._rest * worked)
                self._rested += self._rest * worked
                self.busy_since, began = time.monotonic(), time.thread_time()
