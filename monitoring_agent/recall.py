"""The agent's memory of its newest reports, small enough to keep ten minutes of them.

Reports differ little from one second to the next. A whole one is kept each minute and behind it what changed from one
to the next, in one compressed stream (RFC 1950) that is flushed behind each: a tenth of their size is left. Old
reports are forgotten a stream at a time.

What changed are the members of the report that are not those of the one before, each whole, in the bytes that the
sampler has encoded anyway: to look for the values that changed within them, and to encode those, takes ten times as
long as to compress what is the same once more, and was a tenth of what the agent cost. That works as long as the
compressor still sees the same member of the report before (MAX_MEMBERS_BYTES); of larger reports the values are kept.

The newest few wait to be compressed together: the processor's caches are cold only for the first one.
"""

import functools
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import APART, Layout, Unlike
from monitoring_agent.shared.patch import Document, apply, difference

STREAM_REPORTS = 60
MAX_WAITING = 6
# Two of them fit into deflate's window of 32 KiB.
MAX_MEMBERS_BYTES = 15 * 1024
MAX_WAITING_BYTES = 256 * 1024  # as JSON; as objects they take some times that
# Numbers of a layout that are no longer used are this many at most, beside as many as are.
MAX_UNUSED = 2000
MAX_REPORTS = 600
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Report:
    """An agent's whole answer, serialised once; `sampled` is on the monotonic clock.

    `documents` are the report before and this one, not to be changed; None if there is none before. `members` is an
    object of the members that are not those of the report before, null for one that is gone.
    """

    sequence: int
    sampled: float
    body: bytes
    documents: tuple[Document, Document] | None = None
    members: bytes = b""

    @functools.cached_property
    def change(self) -> bytes | None:
        """The merge patch, serialised, that makes it of the report before; made when it is wanted first."""
        return wire.encode(difference(*self.documents)) if self.documents else None


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
        self._waiting: list[Report] = []
        self._max_reports = reports
        self._max_bytes = size
        self._layout = Layout()
        self.identity = 1  # of the layout
        self._moves: dict[int, bytes | None] = {}  # of the newest report, by its sequence
        self.lock = threading.RLock()  # held by whoever wants several answers to go together

    def add(self, report: Report) -> None:
        """Remember the report, and forget the oldest stream as far as the limits want it; the newest always stays."""
        with self.lock:
            self._waiting.append(report)
            self._newest = report
            size = sum(len(one.body) for one in self._waiting)
            if len(self._waiting) >= MAX_WAITING or size > MAX_WAITING_BYTES:
                self._store_waiting()

    def _store_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for report in waiting:
            self._store(report)

    def _store(self, report: Report) -> None:
        text = _change(report)
        if text is None or not self._streams or len(self._streams[-1].pieces) >= STREAM_REPORTS:
            self._streams.append(_Stream(report.sequence))
            # Level 1: most of a report repeats the one before, and higher levels only take longer to see it.
            self._compressor = zlib.compressobj(1)
            text = report.body
        piece = self._compressor.compress(text) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        self._streams[-1].pieces.append(piece)
        self._streams[-1].size += len(piece)
        while len(self._streams) > 1 and self._is_too_much(report.sequence):
            self._streams.popleft()

    def _is_too_much(self, newest: int) -> bool:
        """Whether enough would be left without the oldest stream, or there is no room for it."""
        reports = newest - self._streams[1].first + 1
        return reports >= self._max_reports or sum(stream.size for stream in self._streams) > self._max_bytes

    def newest(self) -> Report | None:
        """The newest report, or None before the first."""
        return self._newest

    def oldest(self) -> int | None:
        """The sequence of the oldest report that is remembered."""
        with self.lock:
            if self._streams:
                return self._streams[0].first
            return self._waiting[0].sequence if self._waiting else None

    def numbers(self, known: tuple[int, int]) -> dict[str, Any]:
        """What whoever knows of a layout so many numbers must be told of this one; nothing, if that is all.

        The identity of the layout and how many numbers it has, and the part of the tree with those that are new.
        """
        with self.lock:
            layout, count = self._layout, known[1] if known[0] == self.identity else 0
            if count == layout.count:
                return {}
            return {"layout": [self.identity, layout.count], "numbers": layout.beyond(count)}

    def number(self, document: Document) -> bool:
        """See that each value of this report has a number, if need be in a new layout. Returns whether it has.

        A layout most of which is gone for good, as of interfaces that came and went, makes place for a new one.
        """
        with self.lock:
            for _ in range(2):
                try:
                    values = self._layout.values(document)
                except Unlike:
                    self._begin_layout()
                    continue
                if len(values) <= 2 * (len(values) - values.count(None)) + MAX_UNUSED:
                    return True
                self._begin_layout()
            return False

    def _begin_layout(self) -> None:
        self._layout = Layout()
        self.identity += 1
        self._moves.clear()

    def moves(self, report: Report) -> bytes | None:
        """What makes this report of the one before, serialised, by numbers; None where they cannot say it."""
        with self.lock:
            if report.sequence not in self._moves:
                moves = self._compared(*report.documents) if report.documents else None
                self._moves = {report.sequence: moves}
            return self._moves[report.sequence]

    def moves_between(self, before: Document, after: Document) -> bytes | None:
        """The same for any two reports."""
        with self.lock:
            return self._compared(before, after)

    def _compared(self, before: Document, after: Document) -> bytes | None:
        try:
            at, to = self._layout.moves(before, after)
        except Unlike:
            self._begin_layout()
            return None
        apart = {key: after[key] for key in APART}
        return wire.encode({**apart, "at": at, "to": to})

    def documents(self, first: int) -> Iterator[tuple[int, Document]]:
        """The remembered reports from this sequence on, oldest first. Each is changed in place into the next."""
        with self.lock:
            self._store_waiting()
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
                    _take(document, wire.decode(text))
                if number >= first:
                    yield number, document


def _change(report: Report) -> bytes | None:
    """What has to be kept of the report if the one before is known; None if there is none."""
    if report.members and len(report.members) <= MAX_MEMBERS_BYTES:
        return b'{"members":%b}' % report.members
    return None if report.change is None else b'{"patch":%b}' % report.change


def _take(document: Document, change: Document) -> None:
    """Make of the document, in place, the next one. The change may become part of it."""
    apply(document, change.get("patch", {}))
    for name, value in change.get("members", {}).items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
