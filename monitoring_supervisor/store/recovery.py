"""What an agent told of its past, as blocks and minutes of history. Pure."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from monitoring_agent.shared import wire
from monitoring_agent.shared.patch import Document
from monitoring_supervisor import minutes
from monitoring_supervisor.gaps import Gap
from monitoring_supervisor.latest import Latest, Unusable, is_number, one_by_one
from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.blocks import Points
from monitoring_supervisor.store.database import Block

# An agent says no more at once. Each change may begin a minute, and a minute goes through the whole report.
MAX_CHANGES = 60
MAX_POINTS = 4 * minutes.MAX_POINTS


@dataclass
class Recovered:
    """Some of a gap. `reached` is the last sequence there is now; the gap's end if the agent remembers no more."""

    reached: int
    block: Block | None
    minutes: list[Points]


def recover(name: str, gap: Gap, body: bytes) -> Recovered:
    """What this answer fills of the gap. Raises Unusable if it is none."""
    try:
        answer = wire.decode(body)
    except wire.NotJson as error:
        raise Unusable(str(error)) from None
    # Merge patches would have all of the report gone through for each: only agents of before say them.
    if not isinstance(answer.get("report"), dict) or "since" in answer or answer.get("changes"):
        raise Unusable("not a report with what moved behind it")
    known: Document = {key: answer[key] for key in ("schema", "report", "layout", "numbers", "moves") if key in answer}
    answers = one_by_one(known)
    latest = Latest()
    latest.take_document(next(answers), 0)
    first = latest.sequence
    if latest.life != gap.life or first is None or not gap.after < first < gap.before:
        return Recovered(gap.before, None, [])
    phase = minutes.phase(name)
    began = _at(latest.collected_at, gap)
    found: list[Points] = []
    minute = minutes.beginning(began, phase)
    kept: list[Document] = []
    room = MAX_POINTS
    for one in islice(answers, MAX_CHANGES):
        (change,) = one["moves"]
        if not isinstance(change.get("sequence"), int):
            raise Unusable("a change is no change")
        if change["sequence"] >= gap.before:
            break
        at = minutes.beginning(_at(_moment(change, latest), gap), phase)
        if at != minute:
            points = latest.close_minute()
            found.append(blocks.single(minute, points))
            minute = at
            room -= len(points)
            if room < 0:
                raise Unusable("more numbers in so many minutes than a machine has")
        latest.take_document(one, 0)
        kept.append({key: change[key] for key in ("sequence", "collected_at", "at", "to")})
    found.append(blocks.single(minute, latest.close_minute()))
    try:
        line = wire.encode({**known, "moves": kept})
    except ValueError as error:
        raise Unusable(str(error)) from None
    ended = _at(latest.collected_at, gap)
    assert latest.sequence is not None
    block = Block(
        name, True, began, ended, 1 + len(kept), gap.skew, latest.life, latest.sequence, [line], live=False
    )
    return Recovered(latest.sequence, block, found)


def _at(moment: float, gap: Gap) -> float:
    """When that was by our clock. What is of the time to come would never become too old, nor be put together."""
    return min(moment, gap.until) + gap.skew


def _moment(change: Document, latest: Latest) -> Any:
    moment = change.get("collected_at")
    return moment if is_number(moment) else latest.collected_at
