"""What a process holds: as the kernel counts it, as Python's allocator and its garbage collector do, and the loop."""

import asyncio
import ctypes
import gc
import os
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.hurry.loop import HurriedLoop

# The threads that write get so long to write what there is, and the least of so many looks counts.
LOOKS, LOOK_SECONDS = 5, 0.2
_CONTAINERS = (dict, list, set, deque)


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo


@dataclass(frozen=True)
class Held:
    """`blocks` are the small pieces of memory that Python has in use, `allocated_kib` all that others and large ones
    take, `entries` those of all containers together.

    Each sees what others do not. What lies free between what is in use, and grows for hours, is given back before.
    """

    resident_kib: int
    allocated_kib: int
    blocks: int
    objects: int
    entries: int
    descriptors: int
    threads: int
    timers: int
    tasks: int


def _look(loop: HurriedLoop) -> Held:
    gc.collect()
    blocks = sys.getallocatedblocks()
    objects = gc.get_objects()
    allocated = _libc.mallinfo2()
    _libc.malloc_trim(0)
    return Held(
        int(Path("/proc/self/status").read_text(encoding="ascii").partition("VmRSS:")[2].split()[0]),
        (allocated.uordblks + allocated.hblkhd) // 1024,
        blocks,
        len(objects),
        sum(len(one) for one in objects if isinstance(one, _CONTAINERS)),
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
        loop.timers(),
        len(asyncio.all_tasks(loop)),
    )


def look(loop: HurriedLoop) -> dict[str, Any]:
    """What is `held` now, and how many objects there are of each of the `kinds`. The clock stands meanwhile."""
    looks = []
    for _ in range(LOOKS):
        time.sleep(LOOK_SECONDS)
        looks.append(asdict(_look(loop)))
    kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return {"held": {name: min(one[name] for one in looks) for name in looks[0]}, "kinds": dict(kinds)}
