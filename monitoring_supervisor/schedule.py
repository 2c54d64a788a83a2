"""When to ask what: fixed slots for each agent, spread over the interval. Pure: the time is passed in."""

import heapq
import zlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


# Whatever the interval, what is new is asked for the first time within this time.
FIRST_WITHIN_SECONDS = 2.0


@dataclass(slots=True)
class _Slot:
    """Slots lie at `anchor` plus any number of intervals; the entry of the heap with another `due` is void."""

    interval: float
    anchor: float
    from_now: bool
    due: float


class Schedule(Generic[Key]):
    """Recurring slots by key. A key's slots lie at the same offset within its interval for ever.

    A fixed offset, derived from the key's name, spreads many agents evenly and keeps an agent's reports one
    interval apart, whatever else is added or removed, and across restarts.
    """

    def __init__(self) -> None:
        self._slots: dict[Key, _Slot] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._pushes = 0

    def set(self, key: Key, name: str, interval: float, now: float, *, from_now: bool = False) -> None:
        """Give the key a slot every `interval` seconds; what is set already changes nothing.

        With `from_now` the first slot is one interval from now and the others follow it, instead of the fixed offset.
        """
        slot = self._slots.get(key)
        if slot is not None and (slot.interval, slot.from_now) == (interval, from_now):
            return
        share = zlib.crc32(name.encode()) / 2**32
        anchor = now if from_now else share * interval
        due = _after(now, anchor, interval)
        if slot is None and not from_now:
            due = min(due, now + share * FIRST_WITHIN_SECONDS)
        self._slots[key] = _Slot(interval, anchor, from_now, due)
        self._push(due, key)

    def remove(self, key: Key) -> None:
        """The key has no slots any more."""
        self._slots.pop(key, None)

    def pop_due(self, now: float) -> list[tuple[Key, float, int]]:
        """The keys whose slot has come: each with the time it was due, and how many slots before that were missed."""
        ready: list[tuple[Key, float, int]] = []
        heap, slots = self._heap, self._slots
        while heap and heap[0][0] <= now:
            due, _, key = heap[0]
            slot = slots.get(key)
            if slot is None or slot.due != due:
                heapq.heappop(heap)
                continue
            slot.due = _after(now, slot.anchor, slot.interval)
            missed = max(0, round((slot.due - due) / slot.interval) - 1)
            self._pushes += 1
            heapq.heapreplace(heap, (slot.due, self._pushes, key))
            ready.append((key, slot.due - slot.interval if missed else due, missed))
        return ready

    def next_due(self) -> float | None:
        """When the next slot comes, or None if there is none."""
        heap, slots = self._heap, self._slots
        while heap:
            due, _, key = heap[0]
            slot = slots.get(key)
            if slot is not None and slot.due == due:
                return due
            heapq.heappop(heap)
        return None

    def _push(self, due: float, key: Key) -> None:
        self._pushes += 1  # breaks ties, so that keys are never compared
        heapq.heappush(self._heap, (due, self._pushes, key))


def _after(now: float, anchor: float, interval: float) -> float:
    """The first slot after `now`."""
    due = anchor + ((now - anchor) // interval + 1) * interval
    return due if due > now else due + interval  # the division may have rounded down to now itself
