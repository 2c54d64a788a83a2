"""What is fuzzed, by name: a function that takes any bytes, and what such bytes may look like."""

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared.layout import Layout
from tests.fuzz import agent_side, settings_side, supervisor_side

ROOT = Path(__file__).parents[2]
# Bytes that showed a mistake once, in a directory for each target: `make test` tries them all again.
CASES = Path(__file__).parent / "cases"

LIFE = supervisor_side.LIFE
REPORT = {
    "schema": 1,
    "sequence": 101,
    "collected_at": LIFE,
    "agent": {"version": "0.1.0", "started_at": LIFE},
    "host": {"hostname": "web-1", "machine_id": "f" * 32},
    "cpu": {"busy_percent": 4.2, "user_seconds_total": 150.2, "cores": {"0": {"busy_percent": 3}}},
    "filesystems": {"/": {"state": "ok", "used_percent": 71.4, "read_only": False}},
    "network": {"eth0": {"received_bytes_per_second": 10.5, "sent_bytes_per_second": 1}, "list": ["a", {"b": 1}]},
    "collectors": {"cpu": {"ok": True, "age_seconds": 0.0}, "load": {"ok": False, "error": "it broke"}},
}
CHANGES = {
    "schema": 1,
    "since": 101,
    "until": 102,
    "changes": [{"sequence": 102, "collected_at": LIFE + 1, "cpu": {"busy_percent": 5, "cores": None}}],
}
PAST = {"schema": 1, "report": REPORT, "changes": CHANGES["changes"]}
LAYOUT = Layout()
LAYOUT.values(REPORT)
NUMBERED = {"schema": 1, "report": REPORT, "layout": [1, LAYOUT.count], "numbers": LAYOUT.tree}
MOVES = {
    "schema": 1,
    "since": 101,
    "until": 102,
    "moves": [{"sequence": 102, "collected_at": LIFE + 1, "at": [5, 1, 1], "to": [5, None, 4]}],
}
MORE = {"layout": [1, LAYOUT.count + 2], "numbers": {"cpu": {"more": {"a": LAYOUT.count, "b": LAYOUT.count + 1}}}}
HEAD = "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}\r\n"


@dataclass(frozen=True)
class FuzzTarget:
    """`run` raises if something of ours is wrong; `seeds` are bytes to begin with, `words` what to put into them."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()

    @property
    def name(self) -> str:
        """As the command line and the directories of cases have it."""
        return self.run.__name__


def _json(*documents: object) -> bytes:
    return b"\n".join(json.dumps(document, separators=(",", ":")).encode("ascii") for document in documents)


def _answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    headers = headers or f"Content-Length: {len(body)}\r\n"
    return b"\x01" + HEAD.format(status=status, headers=headers).encode("ascii") + body


JSON_WORDS = (
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1e308", b"9" * 400, b"0.1", b"{}", b"[]", b'"', b'{"a":',
    b'"\\ud800"', b'"\\u0000"', b'"\\u001b[2J"', b'"\\u0663"', b'"_total":', b'"schema":1', b'"since":', b'"sequence":',
    b'"changes":[', b'"moves":[', b'"at":[', b'"to":[', b'"layout":[1,', b'"numbers":{',
    b'"collected_at":', b'"agent":', b'"started_at":', b'"report":', b'"host":', b'"": {', b'"a.b":',
    b'"_at":', b'"_seconds":', b'"_bytes":', b'"_percent":',
)  # fmt: skip
HTTP_WORDS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\r\n\r\n", b"\r\n ", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"Content-Length: 5",
    b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade",
    b"Upgrade: h2c", b"Host: a", b"Content-Encoding: gzip", b"ffffffffffffffff", b"0\r\n\r\n", b"http://b/", b"%00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Authorization: Bearer 0123456789abcdef", b"SCRIPT_NAME: /x\r\n", b"x_y: ",
)  # fmt: skip
# The head of a certificate, as far as its end (RFC 5280, 4.1).
VALIDITY = b"\x30\x1e\x17\x0d261125015353Z\x17\x0d261225015353Z"
CERTIFICATE = b"\x30\x2e\x30\x2c\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x00\x30\x00" + VALIDITY
SETTINGS = (ROOT / "etc/monitoring.env").read_bytes()

TARGETS = (
    FuzzTarget(
        settings_side.settings, (SETTINGS, SETTINGS.replace(b"\n#", b"\n"), b"A='b'\n", b'export A="b" # c')
    ),
    FuzzTarget(settings_side.tokens, (b"0123456789abcdef\n", b"0123456789abcdef\nfedcba9876543210\n")),
    FuzzTarget(
        settings_side.whitelist,
        (b"10.0.0.5 role=db\n[2001:db8::7]:1 # x\n", b"https://web-1.example.org:5001\n10.0.0.0/28"),
    ),
    FuzzTarget(
        settings_side.certificates,
        (CERTIFICATE, ssl.DER_cert_to_PEM_cert(CERTIFICATE).encode("ascii")),
        (b"\x18\x0f20500101000000Z", b"\x30\x82\xff\xff", b"\x30\x80", b"-----BEGIN CERTIFICATE-----\n"),
    ),
    FuzzTarget(settings_side.addresses, (b"10.0.0.1:5000", b"[fe80::1%eth0]:5000", b"http://a.b/", b"10.0.0.0/24")),
    FuzzTarget(
        agent_side.files,
        tuple(agent_side.file_seeds()),
        (b"\0", b"-1", b"9" * 400, b"nan", b"1e999", b"\n", b" ", b":"),
    ),
    FuzzTarget(
        agent_side.queries,
        (
            *(b"since=5", b"changes=69&life=1794900000.0&step=2", b"past=3&step=10", b"", b"since=%00"),
            *(b"layout=0-0", b"changes=69&layout=1-50&step=2", b"past=3&step=10&layout=1-5", b"layout=1"),
        ),
    ),
    FuzzTarget(
        agent_side.requests,
        (
            b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /getmetrics?since=5 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n",
            b"POST http://a/metrics HTTP/1.0\r\nExpect: 100-continue\r\nX: y\r\n\r\n",
        ),
        HTTP_WORDS,
    ),
    FuzzTarget(
        agent_side.repetitions,
        (
            *agent_side.REPEATED,
            *(agent_side.REPEATED[1].replace(b"=69", to) for to in (b"=+69", b"=069", b"=%369", b"=68", b"=69&step=2")),
        ),
        (*HTTP_WORDS, b"changes=", b"&life=", b"&layout=0-0", b"&step=2", b"since=5"),
    ),
    FuzzTarget(
        agent_side.handshakes,
        (agent_side.client_hello(), b"GET /healthcheck HTTP/1.1\r\n\r\n", b"\x16\x03\x03\x00\x01\x01" * 100),
        (b"\x16\x03\x01", b"\x15\x03\x03\x00\x02\x02\x28", b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03", b"\xff\xff"),
    ),
    FuzzTarget(
        supervisor_side.answers,
        (
            _answer(b'{"status":"ok"}'),
            _answer(_json(REPORT)),
            _answer(b"", "100 Continue", "A: b\r\n") + _answer(b'{"status":"ok"}')[1:],
            _answer(b"2\r\n{}\r\n0\r\nA: b\r\n\r\n", "503 No", "Transfer-Encoding: chunked\r\n"),
        ),
        HTTP_WORDS,
    ),
    FuzzTarget(
        supervisor_side.reports,
        (
            *(_json(REPORT, CHANGES), _json(PAST), _json(REPORT, REPORT, CHANGES, CHANGES)),
            *(_json(NUMBERED, MOVES), _json(NUMBERED, {**MOVES, **MORE}, REPORT, NUMBERED, MOVES)),
        ),
        JSON_WORDS,
    ),
    FuzzTarget(supervisor_side.past, (_json(PAST), _json({**NUMBERED, "moves": MOVES["moves"]})), JSON_WORDS),
    FuzzTarget(supervisor_side.patches, (_json(REPORT, {**REPORT, "cpu": {"a": [1], "b": {}}}),), JSON_WORDS),
    FuzzTarget(supervisor_side.kept, (_json(REPORT, CHANGES), _json(NUMBERED, MOVES), b'""\n"', b'{"a":"\\""}')),
    FuzzTarget(
        supervisor_side.control,
        (
            b'{"ask":"status"}',
            b'{"ask":"agents","state":"up","labels":{"role":"db"}}',
            b'{"ask":"agent","name":"web-1"}',
            b'{"ask":"top","by":"cpu","limit":5}',
        ),
        (*JSON_WORDS, b'"state":', b'"labels":', b'"limit":'),
    ),
    FuzzTarget(
        supervisor_side.saved,
        (supervisor_side.saved_seed(),),
        (*JSON_WORDS, b'"checks":', b'"failure":', b'"since":'),
    ),
)


def cases(target: FuzzTarget) -> list[Path]:
    """What is kept of a target."""
    return sorted((CASES / target.name).glob("*"))
