"""Moves in words: what the journal tells whoever is woken up."""

import time

from monitoring_agent.shared.patch import Document
from monitoring_supervisor import vitals
from monitoring_supervisor.model import Move, Reason
from monitoring_supervisor.spoken import duration


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
