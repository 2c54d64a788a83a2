"""What glibc's allocator is told so that the agent takes less memory (mallopt(3), malloc_trim(3))."""

import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 128 * 1024

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
