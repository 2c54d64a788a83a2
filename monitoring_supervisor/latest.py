"""An agent's newest report, kept whole by taking in what changed: it need not be sent again and again."""

import sys
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document

# So much may be taken in before a report is wanted whole again: what an agent adds and adds must not grow for ever.
MAX_TAKEN_BYTES = wire.MAX_BODY_BYTES


class Unusable(ValueError):
    """An answer is no report, and not what changed since the one that is held; the text says why."""


class Latest:
    """The newest report of one agent.

    `life` and `sequence` say which report it is; without a sequence the next answer must be a whole one.
    """

    __slots__ = ("_taken_bytes", "document", "life", "sequence")

    def __init__(self, document: Document | None = None) -> None:
        self.document = document
        self.life: float | None = None
        self.sequence: int | None = None
        self._taken_bytes = 0
        if document is not None:
            try:
                self._begin(document, 0)
            except Unusable:
                self.document = None

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
                self._go_on(answer, size)
                return False
            self._begin(answer.get("report", answer), size)
        except Unusable:
            self.sequence = None
            raise
        return True

    def _begin(self, report: Any, size: int) -> None:
        if not isinstance(report, dict):
            raise Unusable("the report is not an object")
        _require_numbers(report)
        agent = report.get("agent")
        life = agent.get("started_at") if isinstance(agent, dict) else None
        self.document = _owned(report)
        self.life = life if _is_number(life) else None
        # Without a life it could not be told from the same sequence of another one.
        self.sequence = None if self.life is None else report["sequence"]
        self._taken_bytes = size

    def _go_on(self, answer: Document, size: int) -> None:
        changes = answer.get("changes")
        if self.document is None or answer["since"] != self.sequence or not isinstance(changes, list):
            raise Unusable("the changes are not those since the report that is held")
        self._taken_bytes += size
        for change in changes:
            if not isinstance(change, dict):
                raise Unusable("a change is not an object")
            _require_numbers(change)
            if change["sequence"] <= self.sequence or "agent" in change:
                raise Unusable("the changes do not follow each other within one life of the agent")
            _apply(self.document, change)
            self.sequence = change["sequence"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _require_numbers(report: Document) -> None:
    for key in ("sequence", "collected_at"):
        if not _is_number(report.get(key)):
            raise Unusable(f"the report has no number {key!r}")
    if not isinstance(report["sequence"], int):
        raise Unusable("the report's sequence is not a whole number")


def _owned(node: Document) -> Document:
    """A copy whose keys are shared by all reports: thousands of agents use the same few hundred.

    Raises Unusable for a number that no float can hold: it came in as infinite, and JSON could not say it again.
    """
    copy: Document = {}
    for key, value in node.items():
        if isinstance(value, list):
            _require_finite(value)
        elif value.__class__ is float and value - value != 0.0:
            raise Unusable(f"the number {key!r} is too large")
        if value is not None:
            copy[sys.intern(key)] = _owned(value) if isinstance(value, dict) else value
    return copy


def _require_finite(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, dict):
            _owned(value)
        elif isinstance(value, list):
            _require_finite(value)
        elif isinstance(value, float) and value - value != 0.0:
            raise Unusable("a number in a list is too large")


def _apply(document: Document, change: Document) -> None:
    """Merge as RFC 7396 has it. Raises Unusable for a number that no float can hold, or other than numbers stay."""
    for key, value in change.items():
        kind = value.__class__
        if kind is dict:
            old = document.get(key)
            if old.__class__ is dict:
                _apply(old, value)
            else:
                document[key] = _owned(value)
        elif value is None:
            document.pop(key, None)
        else:
            if kind is float:
                if value - value != 0.0:
                    raise Unusable(f"the number {key!r} is too large")
            elif kind is list:
                _require_finite(value)
            document[key] = value
