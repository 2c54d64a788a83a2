"""Questions that are asked again and again in the same words: the application decides once, and is spared the rest.

Between two questions a second apart the processor has forgotten everything, and taking a request apart, finding its
endpoint, checking its token and putting an answer's head together takes a millisecond, a third of what the agent
costs. The same bytes are the same question of the same asker: the answer differs only in what is newest.
"""

import re
from collections.abc import Callable

from monitoring_agent import since
from monitoring_agent.recall import Recall

# A question whose answer is ready: the number of a report whose changes are asked for, and the numbers that are known.
_QUESTION = re.compile(
    rb"GET /[^\s?]*(?:\?changes=(\d{1,18})(?:&life=[^\s?&]*)?(?:&layout=(\d{1,18})-(\d{1,18}))?)? HTTP/1\.1\r\n"
)
MAX_QUESTIONS = 64

_VARYING = re.compile(rb"(?<=\r\nDate: )[^\r]*|(?<=\r\nContent-Length: )\d+")
_KEPT = b"\r\nConnection: keep-alive\r\n"


class Repeated:
    """What the application said to questions, as far as it was the newest report or what changed up to it."""

    def __init__(self, date: Callable[[], str]) -> None:
        self._date = date
        self._heads: dict[bytes, bytes] = {}  # question without its number: head of the answer, as a format

    def forget(self) -> None:
        """The application may decide otherwise from now on."""
        self._heads.clear()

    def answer(self, question: bytes, recall: Recall) -> bytes | None:
        """What the application would answer to this question; None if that is not known."""
        if not self._heads:
            return None
        # How long this takes tells nothing of the tokens that are known: a dict looks at hashes first (PEP 456).
        head = self._heads.get(_key(question))
        if head is None:
            return None
        body = _body(recall, question)
        return head % (self._date().encode("ascii"), len(body)) + body

    def learn(self, question: bytes, answer: bytes, recall: Recall) -> None:
        """Remember the head of this answer of the application, if what it said is what we would say."""
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or _KEPT not in head or body != _body(recall, question):
            return
        if not is_ready(question, recall):
            return  # a report in place of changes, perhaps because this question is of another life
        values = iter((b"%b", b"%d"))
        form, count = _VARYING.subn(lambda _: next(values), head.replace(b"%", b"%%"))
        if count != 2 or form.index(b"%b") > form.index(b"%d"):
            return
        if len(self._heads) >= MAX_QUESTIONS:
            self.forget()
        self._heads[_key(question)] = form + b"\r\n\r\n"


def is_ready(question: bytes, recall: Recall) -> bool:
    """Whether the answer to this question does not have to be put together of what the memory holds."""
    found, newest = _QUESTION.match(question), recall.newest()
    if not found or found[1] is None or newest is None:
        return bool(found)
    return 0 <= newest.sequence - int(found[1]) <= 1


def _key(question: bytes) -> bytes:
    """The question without the number of the report in it."""
    found = _QUESTION.match(question)
    if not found or found[1] is None:
        return question
    return question[: found.start(1)] + question[found.end(1) :]


def _body(recall: Recall, question: bytes) -> bytes:
    newest, found = recall.newest(), _QUESTION.match(question)
    if newest is None:
        return b""
    if not found or found[1] is None:
        return newest.body
    if found[2] is None:
        return since.changes(recall, int(found[1]), 1)
    return since.moves(recall, int(found[1]), 1, (int(found[2]), int(found[3])))
