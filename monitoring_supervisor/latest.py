"""An agent's newest report, kept whole by taking in what changed: it need not be sent again and again."""

import sys
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document, difference
from monitoring_supervisor import minutes
from monitoring_supervisor.minutes import Cells, Point, TooLarge

# So much may be taken in before a report is wanted whole again: what an agent adds and adds must not grow for ever.
MAX_TAKEN_BYTES = wire.MAX_BODY_BYTES


class Unusable(ValueError):
    """An answer is no report, and not what changed since the one that is held; the text says why."""


class Latest:
    """The newest report of one agent, and what the reports of this minute come to so far.

    `life` and `sequence` say which report it is; without a sequence the next answer must be a whole one.
    """

    __slots__ = ("_cells", "_reports", "_taken_bytes", "document", "life", "sequence")

    def __init__(self, document: Document | None = None) -> None:
        self.document: Document | None = None
        self.life: float | None = None
        self.sequence: int | None = None
        self._taken_bytes = 0
        self._cells: Cells = {}
        self._reports = 0
        if document is not None:
            try:
                self._take_whole(document, 0)
            except (Unusable, TooLarge):
                self.document = None
            self._reports = 0

    def query(self, step: int) -> str:
        """What to ask for, to stand behind the path of the metrics."""
        if self.sequence is None or self._taken_bytes > MAX_TAKEN_BYTES:
            return ""
        apart = f"&step={step}" if step > 1 else ""
        return f"?changes={self.sequence}&life={self.life}{apart}"

    def take(self, answer: Document, size: int) -> bool:
        """Take in an answer of so many bytes. Returns whether it holds a whole report.

        Raises Unusable; then a whole report is wanted next, and the one before stays.
        """
        try:
            if answer.get("schema") != wire.SCHEMA:
                raise Unusable(f"not a report of schema {wire.SCHEMA}")
            if "since" in answer:
                self._take_changes(answer, size)
                return False
            self._take_whole(answer.get("report", answer), size)
        except TooLarge as error:
            self.sequence = None
            raise Unusable(str(error)) from None
        except Unusable:
            self.sequence = None
            raise
        return True

    def close_minute(self) -> dict[str, Point]:
        """What the reports since the last call come to, by the path of each number; empty if there were none."""
        reports, cells = self._reports, self._cells
        self._reports, self._cells = 0, {}
        return minutes.points(self.document, cells, reports) if self.document and reports else {}

    def _take_whole(self, report: Any, size: int) -> None:
        if not isinstance(report, dict):
            raise Unusable("the report is not an object")
        _require_number(report, "sequence")
        _require_number(report, "collected_at")
        agent = report.get("agent")
        life = agent.get("started_at") if isinstance(agent, dict) else None
        if self.document is None:
            minutes.require_small([report])
            self.document = _with_shared_keys(report)
        else:
            minutes.merge(self.document, difference(self.document, report), self._cells, self._reports)
        self.life = life if _is_number(life) else None
        # Without a life it could not be told from the same sequence of another one.
        self.sequence = None if self.life is None else report["sequence"]
        self._taken_bytes = size
        self._reports += 1

    def _take_changes(self, answer: Document, size: int) -> None:
        changes = answer.get("changes")
        if self.document is None or answer["since"] != self.sequence or not isinstance(changes, list):
            raise Unusable("the changes are not those since the report that is held")
        self._taken_bytes += size
        for change in changes:
            if not isinstance(change, dict):
                raise Unusable("a change is not an object")
            _require_number(change, "sequence")
            if "collected_at" in change:
                _require_number(change, "collected_at")
            if change["sequence"] <= self.sequence or "agent" in change:
                raise Unusable("the changes do not follow each other within one life of the agent")
            minutes.merge(self.document, change, self._cells, self._reports)
            self.sequence = change["sequence"]
            self._reports += 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _require_number(report: Document, key: str) -> None:
    if not _is_number(report.get(key)):
        raise Unusable(f"the report has no number {key!r}")
    if key == "sequence" and not isinstance(report[key], int):
        raise Unusable("the report's sequence is not a whole number")


def _with_shared_keys(node: Document) -> Document:
    """The same report. Thousands of agents use the same few hundred keys: they need be there only once."""
    return {
        sys.intern(key): _with_shared_keys(value) if isinstance(value, dict) else value
        for key, value in node.items()
        if value is not None
    }
