"""How history is written down: a few seconds of an agent's answers, and columns of points. Pure.

Answers are kept as they came, a line each: nothing is lost and nothing has to be converted when reports change. What is
within quotes, which repeats, and what is between them, which moves, are compressed apart (RFC 1950): that takes a fifth
of the bytes off. Where there is next to nothing within quotes, all is compressed as it is.

Points (see minutes.py) are kept in columns, where there are many of them with a line for
each path, so that one metric can be read without the others:

    {"at":[1794900000,1794900060],"points":{
    "cpu.busy_percent":[[1.0,2.5,4.0],3.5],
    "cpu.count":2}}

A column is a list with a point for each time, null where there was none, or the one value that it always was.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from monitoring_supervisor.minutes import Point

# The highest level takes twice the time and saves a tenth. Points are few, but those of a single minute last an hour.
LEVEL, SINGLE_LEVEL, POINTS_LEVEL = 3, 4, 6
# One quote in so many bytes is next to nothing. Each call of the compressor lets other threads go on, and has to wait
# for them again: while the loop is busy that takes longer than the work.
FEW_QUOTES = 32


class Damaged(ValueError):
    """What is stored cannot be read; the text says why."""


@dataclass(frozen=True)
class Points:
    """What each stretch of time came to: `at` are its beginnings in Unix seconds, in order."""

    at: list[float]
    columns: dict[str, Any]

    def series(self, path: str) -> list[tuple[float, Point]]:
        """The points of one path, those that there are."""
        column = self.columns.get(path)
        values = column if isinstance(column, list) else [column] * len(self.at)
        return [(at, point) for at, point in zip(self.at, values, strict=True) if point is not None]


def pack(lines: Iterable[bytes], before: bytes = b"") -> bytes:
    """These lines as they are stored; `before` is the line before them, which has most of their keys already."""
    text = b"\n".join(lines)
    if text.count(b'"') * FEW_QUOTES < len(text):
        return zlib.compress(text, LEVEL)
    return _in_two(text, LEVEL, before)


def unpack(body: bytes, before: bytes = b"") -> list[bytes]:
    """The lines again. Raises Damaged, also if `before` is not the line that it was."""
    try:
        return _from_two(body, before).split(b"\n")
    except zlib.error as error:
        raise Damaged(str(error)) from None


def _in_two(text: bytes, level: int, before: bytes = b"") -> bytes:
    """What is within quotes and what is between them, compressed one behind the other."""
    parts = text.split(b'"')
    known = _within(before)
    compressor = zlib.compressobj(level, zdict=known) if known else zlib.compressobj(level)
    within = compressor.compress(b'"'.join(parts[1::2])) + compressor.flush()
    return within + zlib.compress(b'"'.join(parts[::2]), level)


def _from_two(body: bytes, before: bytes = b"") -> bytes:
    known = _within(before)
    decompressor = zlib.decompressobj(zdict=known) if known else zlib.decompressobj()
    text = decompressor.decompress(body)
    if not decompressor.eof:
        raise zlib.error("it is cut off")
    if not decompressor.unused_data:
        return text
    within = text.split(b'"')
    between = zlib.decompress(decompressor.unused_data).split(b'"')
    parts = [b""] * (len(between) + len(within))
    parts[: 2 * len(between) : 2] = between
    parts[1 : 2 * len(within) : 2] = within
    if len(between) == 1 and within == [b""]:
        parts.pop()  # there was not one quote
    return b'"'.join(parts)


def _within(line: bytes) -> bytes:
    return b'"'.join(line.split(b'"')[1::2])


def single(at: float, points: dict[str, Point]) -> Points:
    """The points of one stretch of time."""
    return Points([at], {path: [point] if isinstance(point, list) else point for path, point in points.items()})


def joined(parts: list[Points]) -> Points:
    """The points of all parts, in order of time."""
    parts = sorted(parts, key=lambda part: part.at)
    at = [moment for part in parts for moment in part.at]
    columns: dict[str, Any] = {}
    for path in dict.fromkeys(path for part in parts for path in part.columns):
        column: list[Any] = []
        for part in parts:
            values = part.columns.get(path)
            column += values if isinstance(values, list) else [values] * len(part.at)
        first = column[0]
        columns[path] = first if not isinstance(first, list) and column.count(first) == len(column) else column
    return Points(at, columns)


def summed_up(parts: Points) -> dict[str, Point]:
    """What all the stretches come to together. Of a counter, and of what never moved, the last value."""
    return {path: sum_up(column, path.endswith("_total")) for path, column in parts.columns.items()}


def sum_up(column: Any, counts: bool) -> Point:
    """What the points of a column come to: least, mean and greatest; the last one if it counts or never moved."""
    known: list[Any] = [point for point in column if point is not None] if isinstance(column, list) else [column]
    last: Point = known[-1]
    if counts:
        return last
    least = min(point[0] if isinstance(point, list) else point for point in known)
    greatest = max(point[2] if isinstance(point, list) else point for point in known)
    mean = sum(point[1] if isinstance(point, list) else point for point in known) / len(known)
    return last if least == greatest else [least, float(f"{mean:.6g}"), greatest]


def pack_points(points: Points) -> bytes:
    """The columns as they are stored."""
    if len(points.at) == 1:  # the one call for all is much cheaper, and reading it as a whole costs little
        return _in_two(_compact({"at": points.at, "points": points.columns}).encode("ascii"), SINGLE_LEVEL)
    lines = ",\n".join(f"{json.dumps(path)}:{_compact(column)}" for path, column in points.columns.items())
    text = f'{{"at":{_compact(points.at)},"points":{{\n{lines}}}}}'
    return zlib.compress(text.encode("ascii"), POINTS_LEVEL)


def unpack_points(body: bytes, paths: Iterable[str] | None = None) -> Points:
    """The columns again: all, or only those of these paths, which is much faster. Raises Damaged."""
    try:
        decompressor = zlib.decompressobj()
        text = decompressor.decompress(body)
        single = bool(decompressor.unused_data)
        if single:
            text = _from_two(body)
        if paths is None or single:
            document = json.loads(text)
            return Points(document["at"], document["points"])
        at = json.loads(text[text.index(b"[") : text.index(b"]") + 1])
        columns = {path: column for path in paths if (column := _find_column(text, path)) is not None}
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from None
    return Points(at, columns)


def _find_column(text: bytes, path: str) -> Any:
    key = f"\n{json.dumps(path)}:".encode("ascii")
    start = text.find(key)
    if start < 0:
        return None
    end = text.find(b"\n", start + 1)
    line = text[start + len(key) : end] if end >= 0 else text[start + len(key) : -2]
    return json.loads(line.rstrip(b","))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
