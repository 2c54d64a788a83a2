"""Questions that are asked again and again in the same words: the application decides once, and is spared the rest.

Between two questions a second apart the processor has forgotten everything, and taking a request apart, finding its
endpoint, checking its token and putting an answer's head together takes a millisecond, a third of what the agent
costs. The same bytes are the same question of the same asker: the answer differs only in what is newest.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from monitoring_agent import since
from monitoring_agent.recall import Recall

# A question whose answer is ready: the number of a report whose changes are asked for, and the numbers that are known.
_QUESTION = re.compile(
    rb"GET /[^\s?]*(?:\?changes=(\d{1,18})(?:&life=[^\s?&]*)?(?:&layout=(\d{1,18})-(\d{1,18}))?)? HTTP/1\.1\r\n"
)
MAX_QUESTIONS = 64

_Key = bytes | tuple[bytes, bytes]  # a question, or what stands before and behind the number in it


class _Held(NamedTuple):
    """The report that an asker holds, and what it knows of which layout."""

    sequence: int
    known: tuple[int, int] | None


_VARYING = re.compile(rb"(?<=\r\nDate: )[^\r]*|(?<=\r\nContent-Length: )\d+")
_KEPT = b"\r\nConnection: keep-alive\r\n"


class Repeated:
    """What the application said to questions, as far as it was the newest report or what changed up to it."""

    def __init__(self, date: Callable[[], str]) -> None:
        self._date = date
        self._heads: dict[_Key, bytes] = {}  # head of the answer, as a format

    def forget(self) -> None:
        """The application may decide otherwise from now on."""
        self._heads.clear()

    def answer(self, question: bytes, recall: Recall) -> bytes | None:
        """What the application would answer to this question; None if that is not known, or not ready.

        What is known was whole and right: whoever gets an answer here has nothing else to look at.
        """
        # How long this takes tells nothing of the tokens that are known: a dict looks at hashes first (PEP 456).
        head, held = self._heads.get(question), None
        if head is None and self._heads:
            key, held = _split(question)
            head = self._heads.get(key)
        if head is None or not _is_at_hand(held, recall):
            return None
        body = _body(recall, held)
        return head % (self._date().encode("ascii"), len(body)) + body

    def learn(self, question: bytes, answer: bytes, recall: Recall) -> None:
        """Remember the head of this answer of the application, if what it said is what we would say."""
        head, _, body = answer.partition(b"\r\n\r\n")
        key, held = _split(question)
        if not head.startswith(b"HTTP/1.1 200 ") or _KEPT not in head or body != _body(recall, held):
            return
        if not _is_at_hand(held, recall):
            return  # a report in place of changes, perhaps because this question is of another life
        values = iter((b"%b", b"%d"))
        form, count = _VARYING.subn(lambda _: next(values), head.replace(b"%", b"%%"))
        if count != 2 or form.index(b"%b") > form.index(b"%d"):
            return
        if len(self._heads) >= MAX_QUESTIONS:
            self.forget()
        self._heads[key] = form + b"\r\n\r\n"


def is_ready(question: bytes, recall: Recall) -> bool:
    """Whether the answer to this question does not have to be put together of what the memory holds."""
    found = _QUESTION.match(question)
    return bool(found) and _is_at_hand(_split(question)[1], recall)


def _is_at_hand(held: _Held | None, recall: Recall) -> bool:
    """Whether there is nothing to put together: the newest report, or what changed from the one before to it."""
    newest = recall.newest()
    return held is None or newest is None or 0 <= newest.sequence - held.sequence <= 1


def _split(question: bytes) -> tuple[_Key, _Held | None]:
    """What is the same whenever it is asked, and what the asker holds."""
    found = _QUESTION.match(question)
    if not found or found[1] is None:
        return question, None
    known = None if found[2] is None else (int(found[2]), int(found[3]))
    return (question[: found.start(1)], question[found.end(1) :]), _Held(int(found[1]), known)


def _body(recall: Recall, held: _Held | None) -> bytes:
    newest = recall.newest()
    if newest is None:
        return b""
    if held is None:
        return newest.body
    if held.known is None:
        return since.changes(recall, held.sequence, 1)
    return since.moves(recall, held.sequence, 1, held.known)
