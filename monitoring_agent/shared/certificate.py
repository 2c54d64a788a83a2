"""When a certificate of this machine's own ends, and when that is near enough to be told. Pure."""

import calendar
import contextlib
import re
import ssl
import time

DAY_SECONDS = 86400.0
# So many days before the end, and again so many.
SOON_DAYS = (30, 7, 1)

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
_SEQUENCE, _VERSION = 0x30, 0xA0
# How a time is written, by its tag (RFC 5280, 4.1.2.5).
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


def stage(ends_at: float, now: float) -> int:
    """How many of SOON_DAYS have come, for a certificate that ends then; both in Unix seconds."""
    return sum(ends_at - now <= days * DAY_SECONDS for days in SOON_DAYS)


def ends_at(pem: str) -> float | None:
    """When the first certificate of a PEM file ends, in Unix seconds; None if that cannot be read.

    The ssl module tells it of others' certificates, but not of the one that it shows itself.
    """
    found = _PEM.search(pem)
    with contextlib.suppress(ValueError, IndexError):
        if found:
            return _not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    return None


def _not_after(der: bytes) -> float:
    """The end of the validity in a certificate (RFC 5280, 4.1). Raises ValueError or IndexError if it is none."""
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)
    tag, _, behind = _element(rest)
    if tag == _VERSION:
        rest = behind
    for _ in ("serial number", "signature", "issuer"):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    _, _, rest = _element(validity)
    kind, text, _ = _element(rest)
    if tag != _SEQUENCE or kind not in _TIMES:
        raise ValueError("no certificate")
    return float(calendar.timegm(time.strptime(text.decode("ascii"), _TIMES[kind])))


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """The first element: its tag, its content, and what is behind it (X.690, 8.1)."""
    tag, length, start = der[0], der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return tag, der[start : start + length], der[start + length :]
