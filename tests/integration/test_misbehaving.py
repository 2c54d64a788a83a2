"""Agents that answer badly: each has a failure with a name, and costs the others nothing."""

import gzip
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from monitoring_supervisor.agent_client import TOO_LARGE
from monitoring_supervisor.model import Kind
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import free_port, wait_for
from tests.integration.rogues import (
    HEALTHY,
    Behaviour,
    drips,
    drips_fields,
    drips_headers,
    endless_chunks,
    endless_headers,
    endless_trailers,
    floods,
    hangs_up,
    http_answer,
    is_silent,
    only_promises,
    promises_now_and_then,
    says,
    says_and_hangs_up,
    says_of_metrics,
    well_behaved,
)

# Each bad answer to every question beside the failure that it is, and a part of what is said about it.
BAD_ANSWERS: dict[str, tuple[Behaviour, Kind, str]] = {
    "HTML": (says(http_answer(b"<html></html>")), Kind.NOT_A_REPORT, "not JSON"),
    "500": (says(http_answer(b"oops", "500 Oops")), Kind.HTTP_STATUS, "HTTP status 500"),
    "503 with a reason": (
        says(http_answer(b'{"status":"failing","reason":"no sample for 9 s\\u001b[31m"}', "503 No")),
        Kind.HTTP_STATUS,
        r"HTTP status 503: no sample for 9 s\x1b[31m",
    ),
    "a redirect": (
        says(http_answer(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n")),
        Kind.HTTP_STATUS,
        "HTTP status 302",
    ),
    "a redirect to a file": (
        says(http_answer(b"", "301 Moved", "Location: file:///etc/monitoring/token\r\n")),
        Kind.HTTP_STATUS,
        "HTTP status 301",
    ),
    "401": (says(http_answer(b'{"error":"no"}', "401 No")), Kind.UNAUTHORISED, "HTTP status 401: no"),
    "403": (says(http_answer(b"", "403 No")), Kind.UNAUTHORISED, "HTTP status 403"),
    "100 MB": (floods, Kind.TOO_LARGE, "larger than"),
    "headers without end": (endless_headers, Kind.TOO_LARGE, "larger than"),
    "chunks without end": (endless_chunks, Kind.TOO_LARGE, "larger than"),
    "interim answers without end": (only_promises, Kind.TOO_LARGE, "larger than"),
    "interim answers now and then": (promises_now_and_then, Kind.TIMEOUT_ANSWER, "within the time limit"),
    "a header at a time": (drips_fields, Kind.TIMEOUT_ANSWER, "within the time limit"),
    "headers a byte at a time": (drips_headers, Kind.TIMEOUT_ANSWER, "within the time limit"),
    "a body without end": (drips, Kind.TIMEOUT_ANSWER, "bytes of an answer within the time limit"),
    "broken JSON": (says(http_answer(b'{"status": "ok"')), Kind.NOT_A_REPORT, "not JSON"),
    "a list": (says(http_answer(b"[]")), Kind.NOT_A_REPORT, "a JSON list, not an object"),
    "NaN": (says(http_answer(b'{"status":"ok","schema":1,"sequence":NaN}')), Kind.NOT_A_REPORT, "NaN is not a JSON"),
    "deep nesting": (
        says(http_answer(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)),
        Kind.NOT_A_REPORT,
        "nested too deeply",
    ),
    "gzip": (
        says(http_answer(gzip.compress(b'{"status":"ok"}'), headers="Content-Encoding: gzip\r\n")),
        Kind.NOT_A_REPORT,
        "not JSON",
    ),
    "gzip on the way": (
        says_and_hangs_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"status":"ok"}')),
        Kind.NOT_A_REPORT,
        "the agent closed the connection after",
    ),
    "gzip in chunks": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\n\x1f\x8b\x08\0\r\n0\r\n\r\n"),
        Kind.NOT_A_REPORT,
        "not JSON",
    ),
    "an upgrade": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        Kind.NOT_A_REPORT,
        "the answer is not HTTP",
    ),
    "a million lists": (
        says(http_answer(b'{"a":[' + b"[]," * 300_000 + b"1]}")),
        Kind.NOT_A_REPORT,
        "more than 20000 objects and lists",
    ),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Kind.NOT_A_REPORT, "the answer is not HTTP"),
    "two lengths": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        Kind.NOT_A_REPORT,
        "the answer is not HTTP",
    ),
    "a length and chunks": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
        Kind.NOT_A_REPORT,
        "the answer is not HTTP",
    ),
    "more than its length says": (says(HEALTHY + b"{}"), Kind.NOT_A_REPORT, "the answer is not HTTP"),
    "a number that is none": (
        says(http_answer(b'{"status":"ok","n":' + b"9" * 5000 + b"}")), Kind.NOT_A_REPORT, "not JSON"
    ),
    "half an answer": (
        says_and_hangs_up(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        Kind.NOT_A_REPORT,
        "the agent closed the connection after",
    ),
    "nothing": (hangs_up, Kind.NOT_A_REPORT, "the agent closed the connection without an answer"),
    "silence": (is_silent, Kind.TIMEOUT_ANSWER, "connected, but no answer within the time limit"),
}


def test_every_bad_answer_is_a_failure_with_a_name_and_the_good_agent_does_not_notice(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    servers = {what: make_rogue(behave) for what, (behave, _, _) in BAD_ANSWERS.items()}
    good = make_rogue()
    supervisor = make_supervisor(good.name, *(server.name for server in servers.values()))
    supervisor.start()
    good_since = supervisor.wait_state(good.name, "up")["since"]
    for what, (_, kind, detail) in BAD_ANSWERS.items():
        about = supervisor.wait_state(servers[what].name, "down", 20)
        assert about["failure"]["kind"] == kind, (what, about)
        assert detail in about["failure"]["detail"], (what, about)
        assert about["report"] is None
    assert supervisor.agent(good.name)["since"] == good_since
    assert supervisor.agent(good.name)["report"]
    assert supervisor.process.poll() is None
    status = Path(f"/proc/{supervisor.process.pid}/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    assert peak < 150, f"{peak} MiB: the answer of 100 MB was not cut short"
    assert not supervisor.said("Traceback")


def test_trailers_without_end_are_given_up_on(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    server = make_rogue(endless_trailers)
    supervisor = make_supervisor(server.name, REQUEST_TIMEOUT="5")
    supervisor.start()
    failure = supervisor.wait_state(server.name, "down", 30)["failure"]
    # Older parsers count them among the headers, and have a limit of their own for those.
    assert (failure["kind"], failure["detail"]) in {
        (Kind.TOO_LARGE, TOO_LARGE),
        (Kind.NOT_A_REPORT, "the answer is not HTTP: too many header bytes seen; overflow detected"),
    }


BAD_REPORTS = {
    b"{}": "not a report of schema 1",
    b'{"schema":2,"sequence":1,"collected_at":1}': "not a report of schema 1",
    b'{"schema":1,"collected_at":1}': "the report has no number 'sequence'",
    b'{"schema":1,"sequence":1e999,"collected_at":1}': "the report has no number 'sequence'",
    b'{"schema":1,"sequence":1,"collected_at":1,"load":{"load_1m":-1e999}}': "a number is too large",
    b'{"schema":1,"sequence":1,"collected_at":"now"}': "the report has no number 'collected_at'",
}


@pytest.mark.parametrize("body", BAD_REPORTS)
def test_json_that_is_no_report_is_named_as_that(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor, body: bytes
) -> None:
    server = make_rogue(says_of_metrics(http_answer(body)))
    supervisor = make_supervisor(server.name)
    supervisor.start()
    about = supervisor.wait_state(server.name, "suspect")
    assert about["failure"]["detail"] == BAD_REPORTS[body]


def test_a_bad_report_does_not_replace_the_last_good_one(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    server = make_rogue()
    supervisor = make_supervisor(server.name)
    supervisor.start()
    supervisor.wait_state(server.name, "up")
    report = wait_for(lambda: supervisor.agent(server.name)["report"])
    server.behave = says_of_metrics(http_answer(b'{"schema":1}'))
    assert supervisor.wait_state(server.name, "suspect")["report"] == report


def test_one_dead_one_silent_and_one_dripping_agent_among_twenty_cost_the_others_no_poll(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    arrivals: dict[str, list[float]] = {}

    def noting(name: str) -> Behaviour:
        def behave(connection: Any, path: str) -> bool:
            if path.startswith("/getmetrics"):
                arrivals[name].append(time.monotonic())
            return well_behaved(connection, path)

        return behave

    good = [make_rogue() for _ in range(17)]
    for server in good:
        arrivals[server.name] = []
        server.behave = noting(server.name)
    bad = [make_rogue(is_silent).name, make_rogue(drips).name, f"127.0.0.1:{free_port()}"]
    supervisor = make_supervisor(
        *(server.name for server in good), *bad, INTERVAL_METRICS_CHECK="0.5", BLACKLIST_AFTER="5"
    )
    supervisor.start()
    since = {server.name: supervisor.wait_state(server.name, "up")["since"] for server in good}
    for times in arrivals.values():
        times.clear()
    time.sleep(8)
    document = supervisor.document()
    for name, times in arrivals.items():
        assert document["agents"][name]["since"] == since[name], "a poll counted as failed"
        # One poll each half second. How punctual they are is measured by the benchmark.
        assert 15 <= len(times) <= 17
    assert {document["agents"][name]["listing"] for name in bad} == {"black"}


def test_a_question_goes_over_a_second_connection_where_the_first_ends_without_an_answer(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def answers_over_every_second_connection(connection: socket.socket, path: str) -> bool:
        if server.connections % 2 == 0:
            well_behaved(connection, path)
        return False

    server = make_rogue()
    server.behave = answers_over_every_second_connection
    supervisor = make_supervisor(server.name, BLACKLIST_AFTER="1")
    supervisor.start()
    since = supervisor.wait_state(server.name, "up")["since"]
    wait_for(lambda: server.connections > 40)
    assert supervisor.agent(server.name)["since"] == since, "a poll counted as failed"


def test_a_question_goes_over_no_third_connection(make_rogue: MakeRogue, make_supervisor: MakeSupervisor) -> None:
    server = make_rogue(hangs_up)
    supervisor = make_supervisor(server.name)
    supervisor.start()
    wait_for(lambda: server.connections > 20)
    supervisor.stop()
    polls = supervisor.document()["supervisor"]["polls_total"]
    assert 2 * polls - 1 <= server.connections <= 2 * polls  # the last one may have been cut short
