"""When to ask what: fixed slots for each agent, spread over the interval. Pure: the time is passed in."""

import heapq
import zlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Slot:
    """`due` is on the caller's clock; the entry of the heap with another `due` is void."""

    offset_share: float
    interval: float
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

    def set(self, key: Key, name: str, interval: float, now: float) -> None:
        """Give the key a slot every `interval` seconds; an unchanged interval changes nothing."""
        slot = self._slots.get(key)
        if slot is not None and slot.interval == interval:
            return
        share = slot.offset_share if slot else zlib.crc32(name.encode()) / 2**32
        slot = self._slots[key] = _Slot(share, interval, _next_slot(share, interval, now))
        self._push(slot.due, key)

    def remove(self, key: Key) -> None:
        """The key has no slots any more."""
        self._slots.pop(key, None)

    def pop_due(self, now: float) -> list[tuple[Key, float, int]]:
        """The keys whose slot has come: each with the time it was due, and how many slots before that were missed."""
        ready: list[tuple[Key, float, int]] = []
        heap, slots = self._heap, self._slots
        while heap and heap[0][0] <= now:
            due, _, key = heapq.heappop(heap)
            slot = slots.get(key)
            if slot is None or slot.due != due:
                continue
            missed = int((now - due) / slot.interval)
            slot.due = due + (missed + 1) * slot.interval
            self._push(slot.due, key)
            ready.append((key, due + missed * slot.interval, missed))
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


def _next_slot(share: float, interval: float, now: float) -> float:
    """The first time after `now` that lies at this share of the interval."""
    offset = share * interval
    turns = (now - offset) // interval + 1
    return offset + turns * interval
