"""The agent's memory of its newest reports, small enough to keep ten minutes of them.

Reports differ little from one second to the next. A whole one is kept each minute and behind it what changed from one
to the next, in one compressed stream (RFC 1950) that is flushed behind each: a twentieth of their size is left. Old
reports are forgotten a stream at a time.
"""

import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document, apply

STREAM_REPORTS = 60
MAX_REPORTS = 600
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Report:
    """An agent's whole answer, serialised once; `sampled` is on the monotonic clock.

    `change` is the merge patch, serialised too, that makes it of the report before; None if there is none before.
    """

    sequence: int
    sampled: float
    body: bytes
    change: bytes | None = None


@dataclass
class _Stream:
    """Up to a minute of reports, compressed one behind the other: a piece each, whole the first, changes the others."""

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
            text = report.change
            if text is None or not self._streams or len(self._streams[-1].pieces) >= STREAM_REPORTS:
                self._streams.append(_Stream(report.sequence))
                # Level 1: most of a report repeats the one before, and higher levels only take longer to see it.
                self._compressor = zlib.compressobj(1)
                text = report.body
            piece = self._compressor.compress(text) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
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

    def documents(self, first: int) -> Iterator[tuple[int, Document]]:
        """The remembered reports from this sequence on, oldest first. Each is changed in place into the next."""
        with self._lock:
            streams = [(stream.first, list(stream.pieces)) for stream in self._streams]
        for start, pieces in streams:
            if start + len(pieces) <= first:
                continue
            decompressor = zlib.decompressobj()
            document: Document = {}
            for number, piece in enumerate(pieces, start):
                text = decompressor.decompress(piece)
                if number == start:
                    document = wire.decode(text)
                else:
                    apply(document, wire.decode(text))
                if number >= first:
                    yield number, document
