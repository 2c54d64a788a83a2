"""Disks that have stopped answering: operations in progress, and none that ends (Documentation/block/stat.rst).

A filesystem tells its space from memory, whatever became of its disk, and a read that is sure to reach the disk would
wake one that sleeps. Counting what ends costs nothing. A device mapper that is suspended does not even count what it
holds back; it says so itself (Documentation/ABI/testing/sysfs-block-dm).
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from monitoring_agent.host import Host

# Longer than a disk that works takes for anything: the kernel's own limit for a SCSI command is 30 seconds for each of
# several tries, but then other operations end meanwhile.
STALLED_SECONDS = 10.0

# Columns of the file: operations that ended (reads, writes, discards, flushes), and those in progress.
_ENDED = (0, 4, 11, 15)
_IN_PROGRESS = 8
_SUSPENDED = -1


@dataclass(frozen=True)
class _Seen:
    ended: int
    at: float  # when it was seen first that so many had ended and more were in progress, or that it is suspended


class Stalls:
    """Remembers from one look to the next how far each disk had come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, host: Host, numbers: Iterable[str]) -> dict[str, float]:
        """The block devices, of these as major:minor, in which nothing ended since the look before, and the seconds.

        Operations in progress count only while a task waits for some disk: kernels have been known to forget that one
        ended, and to show it as in progress for ever.
        """
        now = self._clock()
        waiting = _some_task_waits(host)
        seen: dict[str, _Seen] = {}
        for number in numbers:
            ended = _ended_while_busy(host, number) if waiting else None
            if (host.read_if_there(f"/sys/dev/block/{number}/dm/suspended") or "").strip() == "1":
                ended = _SUSPENDED
            if ended is not None:
                before = self._seen.get(number)
                seen[number] = before if before and before.ended == ended else _Seen(ended, now)
        self._seen = seen
        waited = {number: round(now - one.at, 1) for number, one in seen.items()}
        return {number: seconds for number, seconds in waited.items() if seconds >= STALLED_SECONDS}


def _some_task_waits(host: Host) -> bool:
    blocked = re.search(r"^procs_blocked (\d+)$", host.read_if_there("/proc/stat") or "", re.M)
    return blocked is not None and int(blocked[1]) > 0


def _ended_while_busy(host: Host, number: str) -> int | None:
    """How many operations have ended, of a device that has more in progress; None if it has none, or is no disk."""
    try:
        columns = [int(column) for column in host.read(f"/sys/dev/block/{number}/stat").split()]
    except (OSError, ValueError):
        return None
    if len(columns) <= _IN_PROGRESS or columns[_IN_PROGRESS] <= 0:
        return None
    return sum(columns[column] for column in _ENDED if column < len(columns))
