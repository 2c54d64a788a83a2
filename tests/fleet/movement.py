"""Numbers that move: how each number of a simulated report goes on from one answer to the next.

Each is a pure function of the number of the answer, so that frames can be rendered once and shared by many agents,
and any old one can be rendered again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

_MASK = 4095
# What share of gauges stays as it was from one answer to the next, as on a busy machine.
HELD = 0.5
# The same in every run.
_random = random.Random(1)
_CHANCE = tuple(_random.random() for _ in range(_MASK + 1))


def chance(step: int) -> float:
    """A number from 0 to 1 that jumps about from step to step."""
    return _CHANCE[step & _MASK]


@dataclass(frozen=True, slots=True)
class Counter:
    """Rises with the answers, now more and now less; `decimals` 0 counts whole things. Renewed every so many."""

    start: float
    per_answer: float
    phase: int
    decimals: int
    renewed_every: int = 1

    def at(self, answer: int) -> float:
        """The count at this answer. Chance moves each step by less than one step, so that it never falls."""
        step = answer // self.renewed_every
        count = self.start + self.per_answer * self.renewed_every * (step + chance(step + self.phase))
        return round(count, self.decimals) if self.decimals else int(count)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a counter rose by each second since it was renewed, over a time that was measured: never quite a second."""

    counter: Counter
    scale: float
    decimals: int

    def at(self, answer: int) -> float:
        """The rate at this answer."""
        every = self.counter.renewed_every
        risen = self.counter.at(answer) - self.counter.at(answer - every)
        measured_seconds = every * (0.998 + 0.004 * chance(answer // every + self.counter.phase + 7))
        rate = risen * self.scale / measured_seconds
        return round(rate, min(self.decimals, 3 if rate < 10 else 2 if rate < 100 else 1 if rate < 1000 else 0))


@dataclass(frozen=True, slots=True)
class Gauge:
    """Goes up and down around where it was by `swing`, a share; renewed every so many answers."""

    start: float
    swing: float
    phase: int
    decimals: int
    renewed_every: int = 1
    grain: int = 1

    def at(self, answer: int) -> float:
        """The value at this answer."""
        step = answer // self.renewed_every
        while chance(step + self.phase + 13) < HELD:
            step -= 1
        value = self.start * (1 + self.swing * (chance(step + self.phase) - 0.5))
        return round(value, self.decimals) if self.decimals else int(value) // self.grain * self.grain


Moving = Counter | Rate | Gauge
Piece = bytes | Moving


def joined(pieces: list[Piece]) -> list[Piece]:
    """The same pieces with neighbours that never move made one."""
    result: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += piece
        else:
            result.append(piece)
    return result


def frames(pieces: list[Piece]) -> Callable[[int], bytes]:
    """A function from the number of an answer to the bytes of all pieces."""
    parts = joined(pieces)
    return remembered(
        lambda answer: b"".join(part if isinstance(part, bytes) else b"%a" % part.at(answer) for part in parts)
    )


def remembered(render: Callable[[int], bytes], newest: int = 32) -> Callable[[int], bytes]:
    """The same function, with the newest answers kept.

    Agents of one kind that are asked at one rate are at the same number: most answers are rendered already.
    """
    ready: dict[int, bytes] = {}

    def frame(answer: int) -> bytes:
        known = ready.get(answer)
        if known is None:
            known = ready[answer] = render(answer)
            if len(ready) > newest:
                del ready[next(iter(ready))]
        return known

    return frame
