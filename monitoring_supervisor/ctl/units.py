"""Numbers as people say them. The unit is in the name of the value."""

import time
from typing import Any

from monitoring_supervisor.ctl.text import cut, safe
from monitoring_supervisor.spoken import duration

DAY_SECONDS = 86400
# Nothing that is measured is larger; what an agent says is not always measured.
BEYOND = 1e18


def span(seconds: float) -> str:
    """A length of time in at most six letters: `12s`, `5m12s`, `2h05m`, `3d04h`, `412d`."""
    rest = max(0, int(seconds))
    if rest < 60:
        return f"{rest}s"
    if rest < 3600:
        return f"{rest // 60}m{rest % 60:02d}s"
    if rest < DAY_SECONDS:
        return f"{rest // 3600}h{rest % 3600 // 60:02d}m"
    if rest < 100 * DAY_SECONDS:
        return f"{rest // DAY_SECONDS}d{rest % DAY_SECONDS // 3600:02d}h"
    return f"{rest // DAY_SECONDS}d"


def moment(at: float | None, now: float) -> str:
    """When something was, in local time: `08:12:03` within a day, `Nov 23 08:12` within half a year, else the date."""
    if at is None:
        return "never"
    if abs(now - at) < DAY_SECONDS:
        return time.strftime("%H:%M:%S", time.localtime(at))
    if abs(now - at) < 180 * DAY_SECONDS:
        return time.strftime("%b %d %H:%M", time.localtime(at))
    return time.strftime("%Y-%m-%d", time.localtime(at))


def stamp(at: float) -> str:
    """The full local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def scaled(value: float, unit: str = "", step: int = 1024) -> str:
    """About three digits with a prefix: `1.21 GiB` in steps of 1024, `3.4 GHz` in steps of 1000."""
    prefixes = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei") if step == 1024 else ("", "k", "M", "G", "T", "P", "E")
    size, number = float(value), 0
    while abs(size) >= (1000 if step == 1024 else step) and number < len(prefixes) - 1:
        size /= step
        number += 1
    digits = f"{size:.0f}" if number == 0 or abs(size) >= 100 else f"{size:.3g}"
    return f"{digits} {prefixes[number]}{unit}".rstrip()


def short(value: float) -> str:
    """A number of bytes in at most five letters: `980`, `61.5K`, `158K`."""
    return scaled(value).replace("i", "").replace(" ", "")


def plain(value: float) -> str:
    """A number with at most three decimals; whole ones with groups of three digits."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", " ") if abs(value) >= 10_000 else str(int(value))
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 else f"{value:.2g}"


def worded(key: str, value: Any) -> str:
    """A value of a report in words, by the unit that its key says."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(safe, value)) or "none"
    if not isinstance(value, int | float):
        return safe(value)
    if not -BEYOND < value < BEYOND:
        return cut(str(value), 20)
    name = key.removesuffix("_total")
    for suffix, say in _SUFFIXES:
        if name.endswith(suffix):
            return say(value)
    return plain(value)


def _seconds(value: float) -> str:
    if abs(value) >= 120:
        return duration(value) if value > 0 else f"-{duration(-value)}"
    if abs(value) >= 1 or value == 0:
        return f"{plain(value)} s"
    return f"{value * 1000:.3g} ms" if abs(value) >= 0.001 else f"{value * 1e6:.3g} µs"


_SUFFIXES = (
    ("_bytes_per_second", lambda value: scaled(value, "B/s")),
    ("_kibibytes_per_second", lambda value: scaled(value * 1024, "B/s")),
    ("_per_second", lambda value: f"{plain(value)} /s"),
    ("_per_minute", lambda value: f"{plain(value)} /min"),
    ("_bytes", lambda value: scaled(value, "B")),
    ("_kibibytes", lambda value: scaled(value * 1024, "B")),
    ("_bits", lambda value: scaled(value, "bit", 1000)),
    ("_seconds", _seconds),
    ("_percent", lambda value: f"{plain(round(value, 2))} %"),
    ("celsius", lambda value: f"{plain(value)} °C"),
    ("hertz", lambda value: scaled(value, "Hz", 1000)),
    ("_at", lambda value: stamp(value) if 0 < value < 1e11 else plain(value)),
)
