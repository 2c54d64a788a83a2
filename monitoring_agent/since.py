"""Answers out of the agent's memory: the reports after one, whole or as what changed.

`whole` is for people and scripts. `changes` is for whoever asks all the time and holds the last report already: that
is a fifth of the bytes to send and to take apart. `past` fills the gap that an outage left.
"""

import copy
from collections.abc import Iterator
from itertools import chain, islice

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
        patches = _patches(_steps(recall, since, step, newest.sequence))
    return b'{"schema":%d,"since":%d,"until":%d,"changes":[%b]}' % (
        wire.SCHEMA,
        since,
        newest.sequence,
        b",".join(patches),
    )


def past(recall: Recall, first: int, step: int) -> bytes:
    """The report of this sequence, or the oldest that is remembered, and what changed behind it, up to a minute."""
    newest, oldest = recall.newest(), recall.oldest()
    assert newest is not None
    assert oldest is not None
    if first > newest.sequence:
        return _report(newest.body, [])
    steps = _steps(recall, max(first, oldest), step, newest.sequence)
    begin = next(steps)
    room = wire.MAX_BODY_BYTES - MAX_ENVELOPE_BYTES - len(body := wire.encode(begin))
    patches = _patches(chain([begin], islice(steps, MAX_PAST_REPORTS - 1)))
    return _report(body, list(_fitting(patches, room)))


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


def _fitting(patches: list[bytes], room: int) -> Iterator[bytes]:
    for patch in patches:
        room -= len(patch) + 1
        if room < 0:
            return
        yield patch


def _report(body: bytes, patches: list[bytes]) -> bytes:
    return b'{"schema":%d,"report":%b,"changes":[%b]}' % (wire.SCHEMA, body, b",".join(patches))
