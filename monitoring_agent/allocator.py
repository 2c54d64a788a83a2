"""What glibc and the kernel are told so that the agent takes less memory (mallopt(3), malloc_trim(3), madvise(2))."""

import contextlib
import ctypes
from collections.abc import Iterable

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 128 * 1024
_MADV_DONTNEED = 4

_libc = ctypes.CDLL(None)


def be_thrifty() -> None:
    """One arena for all threads, which would otherwise get one each; and what is large goes back to the kernel.

    The size from which on that is so grows by itself unless it is set.
    """
    _libc.mallopt(_M_ARENA_MAX, 1)
    _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def trim() -> None:
    """Give back what is free."""
    _libc.malloc_trim(0)


def let_go_of_files() -> None:
    """Give back the pages of programs and libraries: most were needed to start, and what is used comes by itself."""
    with contextlib.suppress(OSError), open("/proc/self/smaps", encoding="utf-8", errors="replace") as smaps:
        for start, end in as_in_their_files(smaps.readlines()):
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def as_in_their_files(smaps: Iterable[str]) -> list[tuple[int, int]]:
    """From where to where memory holds what stands in a file, and nothing else; from /proc/PID/smaps (proc(5)).

    It may be protected now and have been written before: the loader puts addresses into libraries. Such a page is
    anonymous, or swapped out, and would come again without them.
    """
    found: list[tuple[int, int]] = []
    span = None
    for line in smaps:
        first, *rest = line.split()
        if first == "VmFlags:":  # the last line about a mapping
            found += [span] if span else []
        elif "-" in first:
            start, end = (int(address, 16) for address in first.split("-"))
            span = (start, end) if rest[0] in {"r--p", "r-xp"} and rest[-1].startswith("/") else None
        elif first in {"Anonymous:", "Swap:"} and rest[0] != "0":
            span = None
    return found
