"""Lengths of time as people say them, and names in the order in which people count. Needs nothing else of ours."""

import re


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
