"""Moves in words: what the journal tells whoever is woken up."""

import re
import time

from monitoring_agent.shared.patch import Document
from monitoring_supervisor import vitals
from monitoring_supervisor.model import Move, Reason


def announcement(move: Move) -> str | None:
    """The journal's line about a move, or None for one that nobody needs to read."""
    name, before, failure = move.target.name, move.before, move.after.failure
    why = failure.detail if failure else ""
    match move.reason:
        case Reason.FIRST_ANSWER:
            return f"{name} is up: {move.reason.value}"
        case Reason.NEVER_ANSWERED:
            return f"{name} is down: {move.reason.value} ({why}); blacklisted, health checks only"
        case Reason.WENT_DOWN:
            since = _at(move.after.failing_since)
            line = f"{name} is down: {why} ({move.after.failures} checks in a row since {since}); blacklisted"
            return f"{line}, health checks only{_last_seen(move.report)}"
        case Reason.CAME_BACK:
            gone = f" after {duration(move.at - before.since)}" if before.since else ""
            return f"{name} is up: {move.reason.value}{gone}; whitelisted, metrics are collected"
        case Reason.METRICS_UNUSABLE:
            return f"{name} is suspect: {move.reason.value} ({why})"
        case Reason.METRICS_USABLE:
            return f"{name} is up: {move.reason.value}"
    return None


def duration(seconds: float) -> str:
    """The two largest units, for example `2 h 5 min`."""
    rest = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def natural(name: str) -> list[tuple[int, str]]:
    """What to sort names by, as people count: 10.0.0.9 before 10.0.0.10."""
    # Every second part is a number; what else is a digit somewhere in the world is text.
    parts = re.split(r"([0-9]{1,18})", name)
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]


def _at(moment: float | None) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment)) if moment else "the start"


def _last_seen(report: Document | None) -> str:
    """The last known load, memory and fullest filesystem, as far as the report has them."""
    known = vitals.of(report)
    parts: list[str] = []
    if "load" in known:
        parts.append(f"load {known['load']:.2f}")
    if "memory_percent" in known:
        parts.append(f"memory {known['memory_percent']:.0f} %")
    if "disk_percent" in known:
        parts.append(f"disk {known['disk']} {known['disk_percent']:.0f} %")
    return f"; last seen with {', '.join(parts)}" if parts else ""
