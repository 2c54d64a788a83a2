"""The agent's memory of its newest reports, small enough to keep ten minutes of them.

Reports differ little from one second to the next, so they go into one compressed stream (RFC 1950), flushed behind
each: a fifteenth of its size is left. A new stream begins every minute, so that old reports can be forgotten, a stream
at a time.
"""

import threading
import zlib
from collections import deque
from dataclasses import dataclass, field

STREAM_REPORTS = 60
MAX_REPORTS = 600
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Report:
    """An agent's whole answer, serialised once; `sampled` is on the monotonic clock."""

    sequence: int
    sampled: float
    body: bytes


@dataclass
class _Stream:
    """Up to a minute of reports, compressed one behind the other: a piece each."""

    first: int
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0


class Recall:
    """The newest reports, within a number and an amount of bytes. One thread adds, any thread reads."""

    def __init__(self, reports: int = MAX_REPORTS, size: int = MAX_BYTES) -> None:
        self._streams: deque[_Stream] = deque()
        self._compressor = zlib.compressobj(1)
        self._newest: Report | None = None
        self._max_reports = reports
        self._max_bytes = size
        self._lock = threading.Lock()

    def add(self, report: Report) -> None:
        """Remember the report, and forget the oldest stream as far as the limits want it; the newest always stays."""
        with self._lock:
            if not self._streams or len(self._streams[-1].pieces) >= STREAM_REPORTS:
                self._streams.append(_Stream(report.sequence))
                # Level 1: most of a report repeats the one before, and higher levels only take longer to see it.
                self._compressor = zlib.compressobj(1)
            piece = self._compressor.compress(report.body) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
            self._streams[-1].pieces.append(piece)
            self._streams[-1].size += len(piece)
            self._newest = report
            while len(self._streams) > 1 and self._is_too_much():
                self._streams.popleft()

    def _is_too_much(self) -> bool:
        """Whether enough would be left without the oldest stream, or there is no room for it."""
        reports = self._newest.sequence - self._streams[1].first + 1 if self._newest else 0
        return reports >= self._max_reports or sum(stream.size for stream in self._streams) > self._max_bytes

    def newest(self) -> Report | None:
        """The newest report, or None before the first."""
        return self._newest

    def oldest(self) -> int | None:
        """The sequence of the oldest report that is remembered."""
        with self._lock:
            return self._streams[0].first if self._streams else None

    def since(self, sequence: int, max_bytes: int) -> list[bytes]:
        """The bodies of the remembered reports after this sequence, oldest first, as many as fit the bytes."""
        with self._lock:
            streams = [(stream.first, list(stream.pieces)) for stream in self._streams]
        bodies: list[bytes] = []
        size = 0
        for first, pieces in streams:
            if first + len(pieces) - 1 <= sequence:
                continue
            decompressor = zlib.decompressobj()
            for number, piece in enumerate(pieces, first):
                body = decompressor.decompress(piece)
                if number <= sequence:
                    continue
                size += len(body)
                if size > max_bytes:
                    return bodies
                bodies.append(body)
        return bodies
