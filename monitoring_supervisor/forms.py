"""The layouts of agents' reports, shared: machines of a kind have the same one, and thousands need it only once."""

import hashlib
from weakref import WeakValueDictionary

from monitoring_agent.shared import wire
from monitoring_agent.shared.layout import Layout
from monitoring_supervisor import minutes


class Form:
    """A layout that is not changed any more, and for each of its numbers whether its course is counted."""

    __slots__ = ("__weakref__", "layout", "marks")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.marks = minutes.counted(layout)


_known: WeakValueDictionary[bytes, Form] = WeakValueDictionary()


def shared(layout: Layout) -> Form:
    """The form with this layout, the same one for all who ask for it."""
    key = hashlib.blake2b(wire.encode(layout.tree), digest_size=32).digest()
    form = _known.get(key)
    if form is None:
        form = _known[key] = Form(layout)
    return form
