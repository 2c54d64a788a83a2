"""Whether the clock is right: the kernel's own account of how it is kept (adjtimex(2))."""

import contextlib
import ctypes
import os
import subprocess
import time

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

_STA_NANO = 0x2000
_TIME_ERROR = 5

ASK_AGAIN_SECONDS = 300.0

METRICS = (
    Metric("synchronised", "1 if the clock is kept right by a time server", "adjtimex", "node_timex_sync_status"),
    Metric("offset_seconds", "how far it is still off", "adjtimex", "node_timex_offset_seconds"),
    Metric("estimated_error_seconds", "estimated error", "adjtimex", "node_timex_estimated_error_seconds"),
    Metric("maximum_error_seconds", "largest possible error", "adjtimex", "node_timex_maxerror_seconds"),
    Metric("frequency_ratio", "its rate over the crystal's", "adjtimex", "node_timex_frequency_adjustment_ratio"),
    Metric("loop_time_constant", "how slowly it follows the server", "adjtimex", "node_timex_loop_time_constant"),
    Metric("tick_seconds", "time between two ticks", "adjtimex", "node_timex_tick_seconds"),
    Metric("tai_offset_seconds", "International Atomic Time less UTC", "adjtimex", "node_timex_tai_offset_seconds"),
    Metric("status", "the kernel's status bits", "adjtimex", "node_timex_status"),
    Metric("time_at", "the time of the machine", "clock_gettime", "node_time_seconds"),
)  # fmt: skip


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


_libc = ctypes.CDLL(None, use_errno=True)


class Clock:
    """The collector. It keeps what systemd said for a while: asking starts a service."""

    def __init__(self) -> None:
        self._asked = float("-inf")
        self._synchronised: int | None = None

    def collect(self, _host: Host) -> Sample:
        """`{synchronised, offset_seconds, estimated_error_seconds, …}`.

        The agent's sandbox forbids adjtimex(2), with which the clock could also be set. There only `synchronised` is
        known, from systemd, which asks the kernel for us.
        """
        with contextlib.suppress(PermissionError):
            return ask_kernel()
        if time.monotonic() - self._asked > ASK_AGAIN_SECONDS:
            self._asked, self._synchronised = time.monotonic(), ask_systemd()
        known = {} if self._synchronised is None else {"synchronised": self._synchronised}
        return {**known, "time_at": round(time.time(), 3)}


def ask_systemd() -> int | None:
    """Whether the clock is kept right; None if systemd does not say."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": 1, "no": 0}.get(done.stdout.strip())


def ask_kernel() -> Sample:
    """What adjtimex says. Raises OSError, PermissionError where it is forbidden to ask."""
    timex = _Timex(modes=0)  # only asks
    state = _libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"adjtimex: {os.strerror(number)}")
    unit = 1e9 if timex.status & _STA_NANO else 1e6
    return {
        "synchronised": int(state != _TIME_ERROR),
        "offset_seconds": timex.offset / unit,
        "estimated_error_seconds": timex.esterror / 1e6,
        "maximum_error_seconds": timex.maxerror / 1e6,
        "frequency_ratio": 1 + timex.freq / 65536 / 1e6,
        "loop_time_constant": timex.constant,
        "tick_seconds": timex.tick / 1e6,
        "tai_offset_seconds": timex.tai,
        "status": timex.status,
        "time_at": round(time.time(), 3),
    }
