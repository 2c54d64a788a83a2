"""The control socket: monitoringctl asks here what the supervisor knows. One JSON object a line, each way.

Whoever asks waits; the supervisor does not. An answer is made in slices with pauses between them, no further ahead
than the asker reads, and given up when the asker stops.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from monitoring_agent.shared import wire
from monitoring_supervisor import views
from monitoring_supervisor.fleet import Fleet

log = logging.getLogger("monitoring_supervisor")

# The owner and its group may connect.
MODE = 0o660
# So long the polls may have to wait for an answer's sake, and so much of it is ready before the asker has read it.
SLICE_SECONDS = 0.004
PIECE_BYTES = 256 * 1024
# For so many times as long as the work for an answer took, the loop is for the polls alone.
PAUSE = 3
MAX_REQUEST_BYTES = 16 * 1024
MAX_CONNECTIONS = 32
IDLE_SECONDS = 60.0
BUSY_SECONDS = 2.0
# Who reads nothing for so long is let go of.
DEAF_SECONDS = 30.0


class Control:
    """Answers at the socket as long as it is open."""

    def __init__(
        self, fleet: Fleet, about: Callable[[], dict[str, Any]], reload: Callable[[], Awaitable[list[str]]]
    ) -> None:
        """`about` says how the supervisor itself is; `reload` reads the settings again and returns the mistakes."""
        self._fleet = fleet
        self._about = about
        self._reload = reload
        self._turn = asyncio.Lock()
        self._open = 0
        self._path: Path | None = None
        self._inode = 0
        self._lock = -1
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Listen at this path. If that is impossible say so: the supervisor does its work without, too."""
        try:
            self._lock = _locked(path)
            sock = _bound(path)
            self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_REQUEST_BYTES)
        except BlockingIOError:
            log.error(
                "another supervisor answers at %s; monitoringctl asks that one, and both save to what METRICS_FILE"
                " names: stop one of them, or give this one its own CONTROL_SOCKET and METRICS_FILE",
                path,
            )
        except OSError as error:
            log.warning("no control socket at %s: %s; monitoringctl sees only what is saved", path, error.strerror)
        else:
            self._path, self._inode = path, path.stat().st_ino

    def close(self) -> None:
        """Listen no more, and take the socket away unless somebody else put another one there."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            await self._talk(reader, writer)
            writer.close()
            async with asyncio.timeout(DEAF_SECONDS):
                await writer.wait_closed()
        except OSError:  # gone, or, as a TimeoutError, silent or deaf for too long
            writer.transport.abort()  # what it did not read is not kept for it
        finally:
            self._open -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other. Raises OSError, of which TimeoutError is one."""
        try:
            if self._open > MAX_CONNECTIONS:
                await self._send_away(reader, writer)
                return
            while line := await _line(reader, IDLE_SECONDS):
                await self._answer(line, writer)
        except views.BadRequest as error:
            writer.write(views.refusal(error.kind, str(error)))

    async def _send_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell one too many so, once it has asked: before, its question would meet a closed socket. Or say nothing."""
        if self._open <= 2 * MAX_CONNECTIONS:
            await _line(reader, BUSY_SECONDS)
            writer.write(views.refusal("busy", f"{MAX_CONNECTIONS} others are asking already; try again"))

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = wire.decode(line)
            if request.get("ask") == "reload":
                await self._answer_reload(writer)
                return
            pieces = views.answer(request, self._fleet, self._about(), time.time())
        except wire.NotJson as error:
            pieces = iter([views.refusal("bad_request", str(error))])
        except views.BadRequest as error:
            pieces = iter([views.refusal(error.kind, str(error))])
        more = True
        while more:
            more = await self._send_slice(pieces, writer)
            await _read_by_asker(writer)

    async def _send_slice(self, pieces: views.Answer, writer: asyncio.StreamWriter) -> bool:
        """Send what the next moment's work comes to. Returns whether there is more.

        However many ask, this takes a quarter of the loop's time at most. A pause costs a turn of the loop, which is
        long when there is much to do: so there is only one for each moment of work.
        """
        async with self._turn:
            began = time.perf_counter()
            found: list[bytes] = []
            more = False
            for piece in pieces:
                found.append(piece)
                if time.perf_counter() - began >= SLICE_SECONDS or len(piece) >= PIECE_BYTES:
                    more = True
                    break
            writer.write(b"".join(found))
            await asyncio.sleep(PAUSE * (time.perf_counter() - began))
        return more

    async def _answer_reload(self, writer: asyncio.StreamWriter) -> None:
        mistakes = await self._reload()
        writer.write(
            wire.encode({"schema": views.SCHEMA, "mistakes": mistakes, "agents": len(self._fleet.agents)}) + b"\n"
        )
        await _read_by_asker(writer)


async def _line(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """The next request, or nothing at the end. Raises TimeoutError, and BadRequest if it is too long to be one."""
    try:
        # Not wait_for: in Python 3.11 it makes a task, and each turn of a loop that is busy takes long.
        async with asyncio.timeout(seconds):
            return await reader.readline()
    except ValueError:
        raise views.BadRequest(f"the request is longer than {MAX_REQUEST_BYTES} bytes") from None


async def _read_by_asker(writer: asyncio.StreamWriter) -> None:
    """Wait until little of what was written is unread. Raises OSError, of which TimeoutError is one.

    The time is the asker's alone: what a busy supervisor takes to make a long answer is not counted.
    """
    async with asyncio.timeout(DEAF_SECONDS):
        await writer.drain()


def _locked(path: Path) -> int:
    """A lock that lasts as long as this process does. Raises BlockingIOError if another one has it, and OSError."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _bound(path: Path) -> socket.socket:
    """A socket at this path, in place of one that nobody answers at any more. Raises OSError."""
    if path.is_socket():
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        path.chmod(MODE)  # before anybody can connect
    except OSError:
        sock.close()
        raise
    return sock
