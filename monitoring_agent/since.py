"""Answers out of the agent's memory: the reports after one, whole or as what changed.

`whole` is for people and scripts. `changes` is for whoever asks all the time and holds the last report already: that
is a fifth of the bytes to send and to take apart. `past` fills the gap that an outage left.
"""

import copy
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise, starmap

from monitoring_agent.recall import Recall
from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document, difference

# What an answer holds beside the reports.
MAX_ENVELOPE_BYTES = 64 * 1024
# Whoever is further behind than this many steps is better served with the newest report, and asks for the past apart.
MAX_STEPS_BEHIND = 5
MAX_PAST_REPORTS = 60


def whole(recall: Recall, since: int) -> bytes:
    """The reports after this sequence, as many as there is room for.

    `complete` is whether nothing is missing between that sequence and the first report; a sequence that this life of
    the agent does not know is answered with all there is. `more` is whether there was no room for the rest.
    """
    newest, oldest = recall.newest(), recall.oldest()
    assert newest is not None
    assert oldest is not None
    known = oldest - 1 <= since <= newest.sequence
    bodies: list[bytes] = []
    room = wire.MAX_REPORTS_BYTES - MAX_ENVELOPE_BYTES
    last = since if known else oldest - 1
    for sequence, document in recall.documents(last + 1):
        body = wire.encode(document)
        room -= len(body) + 1
        if room < 0:
            break
        bodies.append(body)
        last = sequence
    head = {
        "schema": wire.SCHEMA,
        "since": since,
        "complete": known,
        "more": last < newest.sequence,
        "oldest": oldest,
        "newest": newest.sequence,
    }
    return wire.encode(head)[:-1] + b',"reports":[' + b",".join(bodies) + b"]}"


def changes(recall: Recall, since: int, step: int) -> bytes:
    """What changed since this report, as merge patches from it to the newest, each over `step` reports or fewer.

    Instead the newest report, if that one is not remembered or too long ago.
    """
    newest, oldest = recall.newest(), recall.oldest()
    assert newest is not None
    assert oldest is not None
    behind = newest.sequence - since
    if since < oldest or not 0 <= behind <= MAX_STEPS_BEHIND * step:
        return _report(newest.body, [])
    if behind == 0:
        patches = []
    elif behind == 1 and newest.change is not None:
        patches = [newest.change]
    else:
        steps = _steps_since(recall, since, step, newest.sequence)
        if not steps:
            return _report(newest.body, [])
        patches = _patches(iter(steps))
    return b'{"schema":%d,"since":%d,"until":%d,"changes":[%b]}' % (
        wire.SCHEMA,
        since,
        newest.sequence,
        b",".join(patches),
    )


def moves(recall: Recall, since: int, step: int, known: tuple[int, int]) -> bytes:
    """The same by the numbers of a layout (see layout.py), for whoever knows of the layout `known[0]` so many numbers.

    Instead the newest report and all of the layout, if that is another one, or if no report of before is held.
    """
    with recall.lock:
        newest, oldest = recall.newest(), recall.oldest()
        assert newest is not None
        assert oldest is not None
        behind = newest.sequence - since
        said: list[bytes | None] = []
        if since < oldest or not 0 <= behind <= MAX_STEPS_BEHIND * step or known[0] != recall.identity:
            said.append(None)
        elif behind == 1 and newest.documents is not None:
            said.append(recall.moves(newest))
        elif behind and (steps := _steps_since(recall, since, step, newest.sequence)):
            said += starmap(recall.moves_between, pairwise(steps))
        elif behind:
            said.append(None)
        if None in said:
            return _numbered(recall, newest.body) if recall.number(wire.decode(newest.body)) else newest.body
        more = recall.numbers(known)
    return b'{"schema":%d,"since":%d,"until":%d,"moves":[%b]%b}' % (
        wire.SCHEMA,
        since,
        newest.sequence,
        b",".join(filter(None, said)),
        b"," + wire.encode(more)[1:-1] if more else b"",
    )


def past(recall: Recall, first: int, step: int, *, by_numbers: bool = False) -> bytes:
    """The report of this sequence, or the oldest that is remembered, and what changed behind it, up to a minute.

    What changed is said as merge patches, or by the numbers of a layout that is said with it.
    """
    newest, oldest = recall.newest(), recall.oldest()
    assert newest is not None
    assert oldest is not None
    if first > newest.sequence:
        return _report(newest.body, [])
    steps = _steps(recall, max(first, oldest), step, newest.sequence)
    begin = next(steps)
    room = wire.MAX_BODY_BYTES - MAX_ENVELOPE_BYTES - len(body := wire.encode(begin))
    documents = list(chain([begin], islice(steps, MAX_PAST_REPORTS - 1)))
    if not by_numbers or not recall.number(begin):
        return _report(body, list(_fitting(_patches(iter(documents)), room)))
    identity = recall.identity
    said = list(starmap(recall.moves_between, pairwise(documents)))
    told = recall.numbers((0, 0))
    numbers = wire.encode(told)[1:-1]
    # By more than one layout, or by one that there is no room for: what is behind the first report is asked for again.
    if None in said or told["layout"][0] != identity or not _has_room(body, numbers):
        return _report(body, [])
    moves = _fitting(filter(None, said), room - len(numbers))
    return b'{"schema":%d,"report":%b,%b,"moves":[%b]}' % (wire.SCHEMA, body, numbers, b",".join(moves))


def _numbered(recall: Recall, body: bytes) -> bytes:
    """A report with its layout; without, if there is no room for that."""
    numbers = wire.encode(recall.numbers((0, 0)))[1:-1]
    return b'{"schema":%d,"report":%b,%b}' % (wire.SCHEMA, body, numbers) if _has_room(body, numbers) else body


def _has_room(*some: bytes) -> bool:
    """Whether whoever asks would read all of it together (see wire.py)."""
    parts = sum(one.count(b"{") + one.count(b"[") for one in some)
    return parts < wire.MAX_PARTS and sum(map(len, some)) < wire.MAX_BODY_BYTES - MAX_ENVELOPE_BYTES


def _steps_since(recall: Recall, since: int, step: int, last: int) -> list[Document]:
    """The same as _steps; nothing, if the report of this sequence was just forgotten."""
    steps = list(_steps(recall, since, step, last))
    return steps if steps and steps[0].get("sequence") == since else []


def _steps(recall: Recall, first: int, step: int, last: int) -> Iterator[Document]:
    """The reports of these sequences, `step` apart, and the last one; each a document of its own."""
    for sequence, document in recall.documents(first):
        if (sequence - first) % step == 0 or sequence == last:
            yield copy.deepcopy(document)


def _patches(documents: Iterator[Document]) -> list[bytes]:
    patches = []
    before = next(documents, None)
    for document in documents:
        assert before is not None
        patches.append(wire.encode(difference(before, document)))
        before = document
    return patches


def _fitting(patches: Iterable[bytes], room: int) -> Iterator[bytes]:
    for patch in patches:
        room -= len(patch) + 1
        if room < 0:
            return
        yield patch


def _report(body: bytes, patches: list[bytes]) -> bytes:
    return b'{"schema":%d,"report":%b,"changes":[%b]}' % (wire.SCHEMA, body, b",".join(patches))
