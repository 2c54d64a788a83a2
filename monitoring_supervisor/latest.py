"""An agent's newest report, kept whole by taking in what changed: it need not be sent again and again.

What changed is taken down at once, and taken apart some answers at a time or when somebody wants to look. Thousands of
reports do not fit the processor's caches: to go through one once for eight answers costs a third of going through it
for each.
"""

import random
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.layout import Unlike
from monitoring_agent.shared.patch import Document, apply
from monitoring_supervisor.held import Held
from monitoring_supervisor.large import LargeAnswers
from monitoring_supervisor.minutes import Point, TooLarge

# So much may be taken in before a report is wanted whole again: what an agent adds and adds must not grow for ever.
MAX_TAKEN_BYTES = wire.MAX_BODY_BYTES
# So many answers, or so many bytes of them, are left for later.
MAX_LEFT, MAX_LEFT_BYTES = 8, 64 * 1024
# What makes an answer a large one, see large.py: so many bytes, or a new number for a report of so many values, all of
# which have to be gone through then.
LARGE_BYTES, LARGE_PLACES = 64 * 1024, 5000

# How the agent begins to say what moved from one report to the next: enough to go on without taking it apart. Where new
# numbers stand behind it, it ends otherwise.
_ONE_MOVE = re.compile(
    rb'\{"schema":%d,"since":(\d{1,15}),"until":(\d{1,15}),'
    rb'"moves":\[\{"sequence":(\d{1,15}),"collected_at":(\d{1,14}(?:\.\d{1,9})?),' % wire.SCHEMA
)
_ITS_END = b"]}]}"


class Unusable(ValueError):
    """An answer is no report, and not what changed since the one that is held; the text says why."""


class Latest:
    """The newest report of one agent, and what the reports of this minute come to so far. For any thread.

    `life`, `sequence` and `collected_at` say which report it is; without a sequence the next answer must be a whole
    one. `taken` is how many reports the last answer held, and `whole` whether it held all of one. `faults` counts
    the answers that turned out later to be of no use.
    """

    __slots__ = (
        "_fault",
        "_held",
        "_left",
        "_left_bytes",
        "_lock",
        "_rest_until",
        "_room",
        "_taken_bytes",
        "_taken_sequence",
        "collected_at",
        "faults",
        "life",
        "sequence",
        "taken",
        "whole",
    )

    def __init__(self, document: Document | None = None) -> None:
        self.life: float | None = None
        self.sequence: int | None = None
        self.collected_at = 0.0
        self.taken = self.faults = 0
        self.whole = False
        self._lock = threading.Lock()
        self._held = Held()
        self._taken_sequence: int | None = None  # as far as answers were taken apart
        self._taken_bytes = 0
        self._left: list[bytes] = []
        self._left_bytes = 0
        # Chance has thousands that were first asked together go through their answers at different times.
        self._room = random.randint(1, MAX_LEFT)
        self._fault: str | None = None  # what was wrong with an answer that was left for later
        self._rest_until = 0.0  # on the monotonic clock
        if document is not None:
            try:
                self.take_document(document, 0)
            except Unusable:
                self._held = Held()
            self._held.forget_minute()

    @property
    def document(self) -> Document | None:
        """The report."""
        with self._lock:
            self._catch_up()
            return self._held.document()

    def encoded(self) -> bytes | None:
        """The report as JSON."""
        document = self.document
        return None if document is None else wire.encode(document)

    def opening(self) -> bytes:
        """The report and its layout, as the agent would say them to whoever knows neither. Nothing without a report."""
        with self._lock:
            self._catch_up()
            return wire.encode(self._held.opening()) if self._held else b""

    def query(self, step: int) -> str:
        """What to ask for, to stand behind the path of the metrics."""
        known = self._held.known
        if self.sequence is None or known is None or self._taken_bytes > MAX_TAKEN_BYTES:
            return "?layout=0-0"
        apart = f"&step={step}" if step > 1 else ""
        return f"?changes={self.sequence}&life={self.life}&layout={known}{apart}"

    @property
    def is_caught_up(self) -> bool:
        """Whether nothing was left for later."""
        return not self._left

    def take(self, body: bytes, large: LargeAnswers | None = None) -> None:
        """Take in an answer. `large` are the large ones of all agents; without it, this one counts alone.

        Raises Unusable, also for an answer before that turns out only now to be of no use; then a whole report is
        wanted next, and the one before stays.
        """
        with self._lock:
            left = self._leave(body)
            if not left or len(self._left) >= self._room or self._left_bytes > MAX_LEFT_BYTES:
                self._catch_up()
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise Unusable(fault)
            if not left:
                self._take_now(body, large or LargeAnswers())

    def take_document(self, answer: Document, size: int) -> None:
        """Take in an answer of so many bytes that was taken apart already. Raises Unusable."""
        with self._lock:
            self._catch_up()
            self._settle(answer, size)

    def catch_up(self) -> None:
        """Take apart what was left for later. If something of it is of no use, the next `take` says so."""
        with self._lock:
            self._catch_up()

    def close_minute(self) -> dict[str, Point]:
        """What the reports since the last call come to, by the path of each number; empty if there were none."""
        with self._lock:
            self._catch_up()
            return self._held.close_minute()

    def _leave(self, body: bytes) -> bool:
        """Leave what moved for later, if it looks like that and follows what is held. Returns whether it does."""
        found = _ONE_MOVE.match(body)
        if found is None or self.sequence is None or len(body) >= LARGE_BYTES or not body.endswith(_ITS_END):
            return False
        since, until, sequence = int(found[1]), int(found[2]), int(found[3])
        if not since == self.sequence < until == sequence:
            return False
        self._left.append(body)
        self._left_bytes += len(body)
        self.sequence, self.collected_at = until, float(found[4])
        self.taken, self.whole = 1, False
        return True

    def _take_now(self, body: bytes, large: LargeAnswers) -> None:
        now, began = time.monotonic(), time.thread_time()
        is_large = len(body) >= LARGE_BYTES
        if is_large:
            self._require_rest(now)
        try:
            answer = wire.decode(body)
            if "numbers" in answer and len(self._held) >= LARGE_PLACES:
                is_large = True
                self._require_rest(now)
            if "changes" in answer and "since" in answer:
                raise Unusable("the changes are not what was asked for")
            self._settle(answer, len(body))
        except (wire.NotJson, Unusable) as error:
            self.sequence = None
            raise Unusable(printable(str(error), 200)) from None
        finally:
            if is_large and now >= self._rest_until:
                self._rest_until = large.rest(now, time.thread_time() - began)

    def _require_rest(self, now: float) -> None:
        if now < self._rest_until:
            self.sequence = None
            raise Unusable("the answers are so large, and so different, that only some of them are read")

    def _settle(self, answer: Document, size: int) -> None:
        try:
            self.taken = self._take(answer, size)
        except Unusable:
            self.sequence = None
            raise
        self.sequence, self.collected_at = self._taken_sequence, self._held.collected_at
        self.whole = "since" not in answer

    def _catch_up(self) -> None:
        """Say nothing of it to whoever reads `sequence` meanwhile in another thread, unless it fails."""
        left, self._left, self._left_bytes, self._room = self._left, [], 0, MAX_LEFT
        try:
            for body in left:
                answer = wire.decode(body)
                if "numbers" in answer:
                    raise Unusable("it has new numbers, though it did not look like that")
                self._take(answer, len(body))
            # Of a key that is there twice, whoever takes an answer apart sees the last one.
            if left and self.sequence is not None and self.sequence != self._taken_sequence:
                raise Unusable("it has two sequences")
        except (wire.NotJson, Unusable) as error:
            self.sequence = None
            self.faults += 1
            self._fault = printable(f"an answer some seconds ago: {error}", 200)

    def _take(self, answer: Document, size: int) -> int:
        if answer.get("schema") != wire.SCHEMA:
            raise Unusable(f"not a report of schema {wire.SCHEMA}")
        try:
            if "moves" in answer:
                return self._take_moves(answer, size)
            if "since" in answer:
                return self._take_changes(answer, size)
            self._take_whole(answer, size)
        except (TooLarge, Unlike) as error:
            raise Unusable(str(error)) from None
        return 1

    def _take_whole(self, answer: Document, size: int) -> None:
        report = answer.get("report", answer)
        if not isinstance(report, dict):
            raise Unusable("the report is not an object")
        _require_number(report, "sequence")
        _require_number(report, "collected_at")
        agent = report.get("agent")
        life = agent.get("started_at") if isinstance(agent, dict) else None
        self._held.turn_into(report, answer if answer is not report else {})
        self.life = life if is_number(life) else None
        # Without a life it could not be told from the same sequence of another one.
        self._taken_sequence = None if self.life is None else report["sequence"]
        self._taken_bytes = size

    def _take_moves(self, answer: Document, size: int) -> int:
        moves = answer["moves"]
        self._require_next(answer, moves, size)
        if self._held.known is None:
            raise Unusable("it goes by numbers that were not said")
        # Without a move the answer is not kept (see store/history.py), and whoever reads the next one there would miss
        # them. The next question says that they are not known, and has them told again.
        if "numbers" in answer and moves:
            self._held.learn(answer)
        for move in moves:
            sequence = self._next_sequence(move)
            _require_number(move, "collected_at")
            at, to = move.get("at"), move.get("to")
            if not isinstance(to, list) or not isinstance(at, list) or len(to) != len(at):
                raise Unusable("not one value for each number")
            self._held.move(sequence, move["collected_at"], at, to)
            self._taken_sequence = sequence
        return len(moves)

    def _take_changes(self, answer: Document, size: int) -> int:
        """Take in merge patches, as agents and files of before have them."""
        changes = answer.get("changes")
        self._require_next(answer, changes, size)
        assert isinstance(changes, list)
        for change in changes:
            sequence = self._next_sequence(change)
            document = self._held.document()
            if document is None or "agent" in change:
                raise Unusable("the changes do not follow each other within one life of the agent")
            apply(document, change)
            _require_number(document, "collected_at")
            self._held.turn_into(document, {})
            self._taken_sequence = sequence
        return len(changes)

    def _require_next(self, answer: Document, changes: Any, size: int) -> None:
        """Raise Unusable unless the answer goes on from the report that is held."""
        if not self._held or answer.get("since") != self._taken_sequence or not isinstance(changes, list):
            raise Unusable("the changes are not those since the report that is held")
        # What was asked for before so much was reached may still come, and what was left for later; then no more.
        if self._taken_bytes + size > 3 * MAX_TAKEN_BYTES:
            raise Unusable("changes again and again, although a whole report was asked for")
        self._taken_bytes += size

    def _next_sequence(self, change: Any) -> int:
        if not isinstance(change, dict):
            raise Unusable("a change is not an object")
        _require_number(change, "sequence")
        sequence: int = change["sequence"]
        if self._taken_sequence is None or sequence <= self._taken_sequence:
            raise Unusable("the changes do not follow each other within one life of the agent")
        return sequence


def one_by_one(answer: Document) -> Iterator[Document]:
    """Answers with a report each that come to the same as this one. Raises Unusable where there can be none."""
    key = "moves" if "moves" in answer else "changes"
    steps = answer.get(key, [])
    if not isinstance(steps, list):
        raise Unusable("what changed is no list")
    about = {name: value for name, value in answer.items() if name != key}
    if "since" not in answer:
        yield about
        report = answer.get("report", answer)
        about = {"schema": answer.get("schema"), "since": report.get("sequence") if isinstance(report, dict) else None}
    for step in steps:
        if not isinstance(step, dict):
            raise Unusable("a change is not an object")
        yield {**about, key: [step]}
        about = {"schema": answer.get("schema"), "since": step.get("sequence")}


def is_number(value: Any) -> bool:
    """Whether it is a number with which one can compute, such as a sequence or a time."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _require_number(report: Document, key: str) -> None:
    if not is_number(report.get(key)):
        raise Unusable(f"the report has no number {key!r}")
    if key == "sequence" and not isinstance(report[key], int):
        raise Unusable("the report's sequence is not a whole number")
