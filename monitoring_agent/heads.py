"""Heads of requests: when one is there whole, why it is not served, and what is said then. Pure."""

import re

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException

from monitoring_agent.shared import wire

# What is larger is refused here: gunicorn would leave the rest of it unread, and that would reset the connection before
# the refusal has arrived.
MAX_HEAD_BYTES = 16 * 1024
MAX_LINE_BYTES, MAX_FIELD_BYTES, MAX_FIELDS = 2048, 4096, 32
_TLS_HELLO = b"\x16\x03"  # how a handshake begins (RFC 8446, 5.1): waiting for more of it would hide the mistake

_EXPECTS = re.compile(rb"\r\nexpect[ \t]*:", re.I)
_HAS_BODY = re.compile(rb"\r\n(?:transfer-encoding[ \t]*:|content-length[ \t]*:[ \t]*0*[^0\s])", re.I)
_STRANGE = re.compile(rb"\0|\r\n[ \t]")
# To an application such a field is another one's double (PEP 3333), and to gunicorn 20.1 SCRIPT_NAME is its own.
_UNDERSCORE = re.compile(rb"\r\n[^:\r_]*_")


def _refusal(status: str, reason: str) -> bytes:
    body = wire.encode({"error": reason})
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}"
    return head.encode("ascii") + b"\r\n\r\n" + body


FORBIDDEN = _refusal("403 Forbidden", "this address is not in the agent's AGENT_ALLOW")
BAD_REQUEST = _refusal("400 Bad Request", "this is not an HTTP request")
NO_UNDERSCORE = _refusal("400 Bad Request", "a header field has _ in its name")
NO_BODY = _refusal("400 Bad Request", "one request at a time, and without a body")
LINE_TOO_LARGE = _refusal("414 URI Too Long", "the request line is too long")
INTERNAL_ERROR = _refusal("500 Internal Server Error", "the agent failed to answer; its journal says why")
WANTS_TLS = _refusal("400 Bad Request", "this agent speaks https; write https:// before its address on the whitelist")
HEAD_TOO_LARGE = _refusal("431 Request Header Fields Too Large", "the head, or a field of it, is too large")


def is_whole(head: bytes) -> bool:
    """Whether nothing more has to come before it can be served or refused."""
    return b"\r\n\r\n" in head or head.startswith(_TLS_HELLO)


def expects_more(head: bytes) -> bool:
    """Whether the client wants an answer before the answer (RFC 9110, 10.1.1)."""
    return bool(_EXPECTS.search(head))


def refusal_of(head: bytes) -> bytes | None:
    """Why this head is not served, or None. An empty one is an end of file, which gunicorn deals with."""
    if head.startswith(_TLS_HELLO):
        return BAD_REQUEST
    start, end, rest = head.partition(b"\r\n\r\n")
    if not end:
        return HEAD_TOO_LARGE if len(head) == MAX_HEAD_BYTES else None
    if rest or _HAS_BODY.search(start):
        return NO_BODY
    line, *fields = start.split(b"\r\n")
    if len(line) > MAX_LINE_BYTES:
        return LINE_TOO_LARGE
    if len(fields) > MAX_FIELDS or max(map(len, fields), default=0) > MAX_FIELD_BYTES:
        return HEAD_TOO_LARGE
    # What gunicorn's versions, and proxies, read differently: lines that go on below, or end in another way (RFC 9112).
    if start.count(b"\n") != len(fields) or start.count(b"\r") != len(fields) or _STRANGE.search(start):
        return BAD_REQUEST
    return NO_UNDERSCORE if _UNDERSCORE.search(start) else None


def refusal_after(error: Exception) -> bytes | None:
    """What to say when gunicorn found this wrong with a request; None if that is not the client's fault."""
    if isinstance(error, LimitRequestLine):
        return LINE_TOO_LARGE
    if isinstance(error, LimitRequestHeaders):
        return HEAD_TOO_LARGE
    return BAD_REQUEST if isinstance(error, ParseException) else None
