"""A report as the supervisor holds it: its values by the numbers of a layout, and what they come to this minute.

With thousands of agents it is memory that costs time: values stand in a list, and what is counted of them in arrays.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout, Unlike, Values, numbers
from monitoring_agent.shared.patch import Document
from monitoring_supervisor import minutes
from monitoring_supervisor.minutes import Cells, Point

# Numbers of our own that are no longer used are this many at most, beside as many as are.
MAX_UNUSED = 5000


class Form:
    """A layout that is not changed any more, and for each of its numbers whether its course is counted."""

    __slots__ = ("__weakref__", "layout", "marks")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.marks = minutes.counted(layout)


_known: WeakValueDictionary[bytes, Form] = WeakValueDictionary()


def _shared(layout: Layout) -> Form:
    """The form with this layout: machines of a kind have the same one, and thousands need it only once."""
    key = hashlib.blake2b(wire.encode(layout.tree), digest_size=32).digest()
    form = _known.get(key)
    if form is None:
        form = _known[key] = Form(layout)
    return form


class Held:
    """One report, or none yet. `sequence` and `collected_at` are those that it says.

    Its numbers are the agent's, if that has told them, or else our own. All that raises Unlike or TooLarge leaves a
    report that can be shown, though perhaps a part of the new one.
    """

    __slots__ = ("_cells", "_form", "_identity", "_reports", "_values", "collected_at", "sequence")

    def __init__(self) -> None:
        self.sequence: int | None = None
        self.collected_at = 0.0
        self._form: Form | None = None
        self._identity: int | None = None  # of the agent's layout; None if the numbers are our own
        self._values: Values = []
        self._cells = Cells(0)
        self._reports = 0  # of this minute

    def __bool__(self) -> bool:
        return self._form is not None

    def __len__(self) -> int:
        """How many numbers there are."""
        return self._form.layout.count if self._form else 0

    @property
    def known(self) -> str | None:
        """Which layout of the agent's it goes by and how many numbers that has; None if by our own."""
        return None if self._identity is None else f"{self._identity}-{len(self)}"

    def document(self) -> Document | None:
        """The report."""
        if self._form is None:
            return None
        apart = {"sequence": self.sequence, "collected_at": self.collected_at}
        return apart | self._form.layout.document(self._values)

    def opening(self) -> Document:
        """The report and its layout, as the agent would say them to whoever knows neither. Nothing without a report."""
        if self._form is None:
            return {}
        answer: Document = {"schema": wire.SCHEMA, "report": self.document()}
        if self._identity is not None:
            layout = self._form.layout
            answer |= {"layout": [self._identity, layout.count], "numbers": layout.tree}
        return answer

    def close_minute(self) -> dict[str, Point]:
        """What the reports since the last call come to, by the path of each number; empty if there were none."""
        if self._form is None or not self._reports:
            return {}
        layout, cells, reports = self._form.layout, self._cells, self._reports
        self._reports, self._cells = 0, Cells(layout.count)
        return minutes.points(layout, self._values, cells, reports)

    def forget_minute(self) -> None:
        """Nothing of this minute counts."""
        self._reports, self._cells = 0, Cells(len(self))

    def turn_into(self, report: Document, answer: Document) -> None:
        """Hold this report, by the numbers that the answer has for it or else by our own. Raises Unlike, TooLarge."""
        if "numbers" in answer:
            layout = Layout()
            layout.add(answer["numbers"])
            identity = _identity(answer, layout)
            values = layout.values(report)
            if layout.count != answer["layout"][1]:
                raise Unlike("a value of the report has no number in the layout")
            minutes.require_small(values)
            self._hold(_shared(layout), values)
            self._identity = identity
        else:
            form, values = self._by_own_numbers(report)
            minutes.require_small(values)
            self._hold(form, values)
            self._identity = None
        self.sequence, self.collected_at = report["sequence"], report["collected_at"]
        self._reports += 1

    def move(self, sequence: int, collected_at: float, at: list[Any], to: Values) -> None:
        """Become the next report: these are the distances between the numbers that moved, and the values there.

        Raises Unlike, TooLarge.
        """
        assert self._form
        places = numbers(at, self._form.layout.count)
        try:
            minutes.merge(self._values, self._form.marks, self._cells, places, to, self._reports)
        finally:
            self._reports += 1  # also of one that is no use after all: what was merged of it is counted already
        self.sequence, self.collected_at = sequence, collected_at

    def learn(self, answer: Document) -> None:
        """Take in the numbers of the agent's layout that are new. Raises Unlike."""
        assert self._form
        layout = self._form.layout.copy()
        layout.add(answer["numbers"])
        if _identity(answer, layout) != self._identity:
            raise Unlike("the numbers are of another layout")
        self._form = _shared(layout)
        self._values += [None] * (layout.count - len(self._values))
        self._cells.grow(layout.count)

    def _by_own_numbers(self, report: Document) -> tuple[Form, Values]:
        held = self._form
        if held is not None and self._identity is None:
            layout = held.layout.copy()
            with contextlib.suppress(Unlike):
                values = layout.values(report)
                if layout.count == held.layout.count:
                    return held, values
                # Otherwise most of it is gone for good.
                if layout.count <= 2 * (len(values) - values.count(None)) + MAX_UNUSED:
                    return Form(layout), values
        layout = Layout()
        values = layout.values(report)
        return Form(layout), values

    def _hold(self, form: Form, new: Values) -> None:
        """Have these values, and count what moved since those before."""
        if self._form is None or not self._reports:
            self._cells = Cells(form.layout.count)
        else:
            if form is not self._form:
                self._carry_over(self._form, form)
            moved = [(at, now) for at, (old, now) in enumerate(zip(self._values, new, strict=True)) if now != old]
            places, values = [at for at, _ in moved], [now for _, now in moved]
            minutes.merge(self._values, form.marks, self._cells, places, values, self._reports)
        self._form, self._values = form, new

    def _carry_over(self, before: Form, after: Form) -> None:
        """Have the values of now, and what was counted of them, by other numbers."""
        there = dict(_paths(before.layout.tree))
        values: Values = [None] * after.layout.count
        cells = Cells(after.layout.count)
        for path, number in _paths(after.layout.tree):
            if (was := there.get(path)) is not None:
                values[number] = self._values[was]
                cells.take_over(number, self._cells, was)
        self._form, self._values, self._cells = after, values, cells


def _identity(answer: Document, layout: Layout) -> int:
    """Which layout it is that an answer goes by. Raises Unlike unless it is this one."""
    said = answer.get("layout")
    if not isinstance(said, list) or [one.__class__ for one in said] != [int, int] or said[1] != layout.count:
        raise Unlike("it does not say which layout it goes by")
    return int(said[0])


def _paths(tree: Document, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """The keys to each number of a layout."""
    for key, place in tree.items():
        path = (*before, key)
        if place.__class__ is dict:
            yield from _paths(place, path)
        else:
            yield path, place
