"""Whether the clock is right: the kernel's own account of how it is kept (adjtimex(2)), or that of who keeps it."""

import contextlib
import csv
import ctypes
import os
import subprocess
import time
from typing import Any

from monitoring_agent.collectors.commands import output
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared import wire

_STA_NANO = 0x2000
_TIME_ERROR = 5

# Asking systemd whether the kernel counts the clock as right starts a service; the kernel takes hours to lose hope.
ASK_SYSTEMD_SECONDS = 300.0
ASK_KEEPER_SECONDS = 60.0
DEADLINE_SECONDS = 10.0
# What the kernel says of the largest possible error from the moment on in which it counts the clock as wrong.
UNKNOWN_ERROR_SECONDS = 16.0

_OR_SYSTEMD = "adjtimex, or systemd-timedated"
_OR_KEEPER = "adjtimex, or systemd-timesyncd or chrony"

METRICS = (
    Metric("synchronised", "1 if the clock is kept right by a time server", _OR_SYSTEMD, "node_timex_sync_status"),
    Metric("offset_seconds", "how far it is still off", _OR_KEEPER, "node_timex_offset_seconds"),
    Metric("estimated_error_seconds", "estimated error", "adjtimex", "node_timex_estimated_error_seconds"),
    Metric("maximum_error_seconds", "largest possible error", _OR_SYSTEMD, "node_timex_maxerror_seconds"),
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
    """The collector. It keeps for a while what a command said, for each costs a process."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._known: Sample = {}

    def collect(self, host: Host) -> Sample:
        """`{synchronised, offset_seconds, estimated_error_seconds, …}`.

        The agent's sandbox forbids adjtimex(2), with which the clock could also be set: systemd has no filter that
        lets it only ask. There systemd-timedated, which asks the kernel for us, tells whether the clock is right,
        and who keeps it (systemd-timesyncd or chrony) how far it was off when last compared.
        """
        with contextlib.suppress(PermissionError):
            return ask_kernel()
        now = time.monotonic()
        if now >= self._next.get("systemd", 0):
            self._next["systemd"] = now + ASK_SYSTEMD_SECONDS
            self._known |= {"synchronised": None, "maximum_error_seconds": None, **ask_systemd()}
        if now >= self._next.get("keeper", 0):
            self._next["keeper"] = now + ASK_KEEPER_SECONDS
            self._known["offset_seconds"] = ask_keeper(host)
        known = {key: value for key, value in self._known.items() if value is not None}
        return {**known, "time_at": round(time.time(), 3)}


def ask_systemd() -> Sample:
    """Whether the clock is kept right, and if not, the kernel's figure for that; empty if systemd does not say."""
    said = _said("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
    if said == "no":  # systemd goes by nothing but this number: ntp_synced() in its time-util.c
        return {"synchronised": 0, "maximum_error_seconds": UNKNOWN_ERROR_SECONDS}
    return {"synchronised": 1} if said == "yes" else {}


def ask_keeper(host: Host) -> float | None:
    """How far the clock is behind (or, negative, ahead), says who keeps it; None if nobody does, or it does not say."""
    if host.exists("/run/systemd/timesync"):
        where = ("org.freedesktop.timesync1", "/org/freedesktop/timesync1", "org.freedesktop.timesync1.Manager")
        said = _said("busctl", "--json=short", "--auto-start=no", "get-property", *where, "NTPMessage")
        return parse_timesyncd(said)
    if host.exists("/usr/bin/chronyc"):
        return parse_chrony(_said("chronyc", "-n", "-c", "tracking"))
    return None


def parse_timesyncd(text: str) -> float | None:
    """The offset of the last answer of the time server, from its four times (RFC 5905, section 8); None without one."""
    try:
        message: list[Any] = wire.decode(text.encode())["data"]
        sent, received, answered, arrived = message[8:12]
        return float((received - sent) + (answered - arrived)) / 2 / 1e6 if arrived else None
    except (ValueError, LookupError, TypeError):
        return None


def parse_chrony(text: str) -> float | None:
    """The fifth column of `chronyc -c tracking`, what it still has to correct; None while it has no source."""
    columns = next(csv.reader(text.splitlines()), [])
    try:
        return float(columns[4]) if columns[-1] != "Not synchronised" else None
    except (ValueError, IndexError):
        return None


def _said(*command: str) -> str:
    """What a command prints; nothing if it is not there, fails or hangs."""
    try:
        return output(*command, deadline_seconds=DEADLINE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""


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
