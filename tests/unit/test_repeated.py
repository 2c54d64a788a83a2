"""Answers to questions that were asked before in the same words."""

import json

import pytest

from monitoring_agent import since
from monitoring_agent.recall import Recall
from monitoring_agent.repeated import MAX_QUESTIONS, Repeated

from .test_recall import filled, report
from .test_since import after_one_another, timed

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def question(target: str = "/getmetrics", token: str = "one") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def said(body: bytes, status: str = "200 OK", connection: str = "keep-alive") -> bytes:
    """An answer as gunicorn writes it."""
    head = (
        f"HTTP/1.1 {status}\r\nServer: gunicorn%\r\nDate: Sat, 05 Nov 1994 00:00:00 GMT\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def whole(recall: Recall) -> bytes:
    newest = recall.newest()
    assert newest
    return newest.body


def make() -> Repeated:
    return Repeated(lambda: DATE)


def test_the_same_question_is_answered_with_what_is_newest_then() -> None:
    recall, repeated = filled(5), make()
    assert repeated.answer(question(), recall) is None
    repeated.learn(question(), said(whole(recall)), recall)
    recall.add(report(6, 300))
    expected = said(whole(recall)).replace(b"Sat, 05 Nov 1994 00:00:00 GMT", DATE.encode())
    assert repeated.answer(question(), recall) == expected
    assert repeated.answer(question(token="two"), recall) is None
    assert repeated.answer(question("/getmetrics/"), recall) is None


def test_who_follows_the_changes_asks_the_same_with_another_number() -> None:
    recall, repeated = filled(5), make()
    repeated.learn(question("/getmetrics?changes=4&life=7"), said(since.changes(recall, 4, 1)), recall)
    recall.add(report(6))
    answer = repeated.answer(question("/getmetrics?changes=5&life=7"), recall)
    assert answer is not None
    assert answer.endswith(b"\r\n\r\n" + since.changes(recall, 5, 1))
    assert repeated.answer(question("/getmetrics?changes=5&life=8"), recall) is None
    for not_ready in ("4", "7", "1", "", "x"):
        assert repeated.answer(question(f"/getmetrics?changes={not_ready}&life=7"), recall) is None


def test_who_follows_what_moves_is_told_of_new_numbers_once() -> None:
    recall, repeated = Recall(), make()
    after_one_another(recall, timed(1), timed(2))
    known = json.loads(since.moves(recall, -1, 1, (0, 0)))["layout"]

    def asked(held: int, count: int) -> bytes:
        return question(f"/getmetrics?changes={held}&life=7&layout={known[0]}-{count}")

    repeated.learn(asked(1, known[1]), said(since.moves(recall, 1, 1, tuple(known))), recall)
    after_one_another(recall, timed(3, disks={"sda": 1}))
    answer = repeated.answer(asked(2, known[1]), recall)
    assert answer is not None
    assert b'"numbers":{"disks":{"sda":2}}' in answer
    assert repeated.answer(asked(2, known[1] + 1), recall) is None  # another question, of which nothing is known yet


@pytest.mark.parametrize(
    "answer",
    [
        said(b'{"error":"the token is missing"}', "401 Unauthorized"),
        said(b'{"status":"ok"}'),
        said(whole(filled(5)), connection="close"),
        said(whole(filled(4))),
        b"",
        whole(filled(5)),
    ],
)
def test_nothing_else_that_was_said_is_repeated(answer: bytes) -> None:
    recall, repeated = filled(5), make()
    repeated.learn(question(), answer, recall)
    assert repeated.answer(question(), recall) is None


def test_a_report_in_place_of_changes_is_not_repeated() -> None:
    recall, repeated = filled(100), make()
    for number in (1, 10**17):
        asked = question(f"/getmetrics?changes={number}&life=another")
        repeated.learn(asked, said(since.changes(recall, number, 1)), recall)
        assert repeated.answer(question("/getmetrics?changes=99&life=another"), recall) is None


def test_what_was_learnt_can_be_forgotten_and_is_limited() -> None:
    recall, repeated = filled(5), make()
    repeated.learn(question(), said(whole(recall)), recall)
    repeated.forget()
    assert repeated.answer(question(), recall) is None
    for number in range(3 * MAX_QUESTIONS):
        repeated.learn(question(token=str(number)), said(whole(recall)), recall)
    known = [n for n in range(3 * MAX_QUESTIONS) if repeated.answer(question(token=str(n)), recall)]
    assert 0 < len(known) <= MAX_QUESTIONS
