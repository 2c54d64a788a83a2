"""From what the settings and the whitelist file say to the agents we watch."""

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from monitoring_agent.shared.address import Address, expand, join
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor.model import Target

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\S*$")


def target(address: Address, default_port: int, labels: tuple[tuple[str, str], ...] = ()) -> Target:
    """The target at this address."""
    port = address.port or default_port
    return Target(join(address.host, port), address.host, port, address.tls, labels)


def all_targets(whitelist: Iterable[Address], pattern: str, default_port: int) -> dict[str, Target]:
    """Everything to watch, by name: the addresses of the settings and the lines of the files.

    Named twice is watched once; the labels of the files count. Raises BadSettings with every bad line.
    """
    found = [target(address, default_port) for address in whitelist]
    mistakes: list[str] = []
    for path in _files(pattern):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"WHITELIST_FILE: {path} cannot be read: {error}")
            continue
        for number, line in enumerate(lines, 1):
            try:
                found += _read_line(line, default_port)
            except ValueError as error:
                mistakes.append(f"{path} line {number}: {error}")
    if mistakes:
        raise BadSettings(mistakes)
    return {one.name: one for one in found}


def fingerprint(pattern: str) -> tuple[tuple[str, int, int, int, int], ...]:
    """Changes when one of the files does: path, inode, size and times of change of each, of its owner and mode too."""
    prints = []
    for path in _files(pattern):
        try:
            status = path.stat()
        except OSError:
            continue
        prints.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(prints)


def _files(pattern: str) -> list[Path]:
    if not pattern:
        return []
    if glob.has_magic(pattern):
        return [Path(name) for name in sorted(glob.glob(pattern))]
    return [Path(pattern)]


def _read_line(line: str, default_port: int) -> list[Target]:
    words = line.partition("#")[0].split()
    if not words:
        return []
    for word in words[1:]:
        if not _LABEL.match(word):
            raise ValueError(f"{word!r} is not a label; write key=value")
    labels = tuple(sorted({key: value for key, _, value in (word.partition("=") for word in words[1:])}.items()))
    return [target(address, default_port, labels) for address in expand(words[0])]
