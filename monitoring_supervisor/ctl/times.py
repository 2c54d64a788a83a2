"""Times as people write them: `1h`, `2h30m`, `7d`, `08:15`, `2026-11-24`, `2026-11-24 08:15`, `yesterday`, `now`."""

import re
import time
from datetime import datetime, timedelta

import click

_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_LENGTH = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?\s*(?:s|sec|m|min|h|d|w|y)\s*)+")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
# Round lengths, for a step that nobody chose.
_ROUND_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
DAY_SECONDS = 86400


def parse_length(text: str) -> float | None:
    """The seconds of a length of time, or None if it is not one."""
    if not _LENGTH.fullmatch(text.strip()):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def parse_moment(text: str, now: float) -> float | None:
    """Unix seconds of a moment in local time; a length is so long ago; None if it is neither."""
    text = text.strip()
    ago = parse_length(text)
    if ago is not None:
        return now - ago
    if re.fullmatch(r"@\d{1,11}(\.\d{1,9})?", text):
        return float(text[1:])
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight.timestamp(), "yesterday": (midnight - timedelta(days=1)).timestamp()}
    if text in named:
        return named[text]
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            text = f"{midnight:%Y-%m-%d}T{text:0>5}" if len(text) < 6 else f"{midnight:%Y-%m-%d}T{text:0>8}"
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def moment(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """What was given for a moment, as Unix seconds; for click."""
    if value is None:
        return None
    found = parse_moment(value, time.time())
    if found is None:
        examples = "1h, 2h30m, 7d, 08:15, '2026-11-24 08:15' or now"
        raise click.BadParameter(f"{value!r} is no time; write for example {examples}")
    return found


def length(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """What was given for a length of time, in seconds; for click."""
    if value is None:
        return None
    found = parse_length(value)
    if not found:
        raise click.BadParameter(f"{value!r} is no length of time; write for example 10s, 5m or 1h")
    return found


def round_step(seconds: float) -> float:
    """A round length, at least as long as this one."""
    for step in _ROUND_SECONDS:
        if step >= seconds:
            return float(step)
    return float(-(-seconds // DAY_SECONDS) * DAY_SECONDS)
