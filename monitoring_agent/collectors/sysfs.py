"""The small files of /sys, each with one value: what is not there, or does not answer, is None."""

import os
import re

from monitoring_agent.host import Host
from monitoring_agent.shared.journal import printable


def names(host: Host, directory: str, pattern: str) -> list[str]:
    """The names in a directory that match from their start; none if there is no such directory."""
    try:
        return sorted(name for name in os.listdir(host.path(directory)) if re.match(pattern, name))
    except OSError:
        return []


def text(host: Host, path: str) -> str | None:
    """What the file says on one line; None if there is no such file, or its device does not answer."""
    try:
        return printable(host.read(path).strip()) or None
    except OSError:
        return None


def number(host: Host, path: str) -> int | None:
    """The whole number in the file."""
    said = text(host, path)
    return int(said) if said and re.fullmatch(r"-?\d+", said, re.ASCII) else None
