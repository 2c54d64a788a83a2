"""What the control socket answers about the fleet: requests taken apart, and answers in slices. No I/O.

A request is a JSON object with `ask`, one of:

- `status`: how many agents there are of each state, and those that are not up
- `agents`: all of them; only those of a `state` and with all `labels`, if given
- `agent`: the one of this `name`, with its newest report; the name of its machine, or its address alone, will do
- `names`: `names` of all agents, each with the name of its machine, and nothing else
- `top`: the first `limit` agents in the order `by`, one of ORDERS

An answer is one JSON object on one line: `schema`, `at`, `supervisor`, `counts` by state, and `agents` by name, each as
in metrics_data.json with `hostname` and `vitals`; a report only if one agent was asked for. Or it has an `error` in
words, with its `kind`.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from monitoring_agent.shared import wire
from monitoring_supervisor import vitals
from monitoring_supervisor.fleet import Agent, Fleet
from monitoring_supervisor.model import State
from monitoring_supervisor.spoken import natural
from monitoring_supervisor.store import snapshot

SCHEMA = 1
# So many agents take a thousandth of a second; whoever sends the answer may give way after each slice.
SLICE_AGENTS = 50
MAX_LIMIT = 1000

# What the agents can be sorted by; the largest come first, agents without the number last.
ORDERS = {
    "cpu": "cpu_percent",
    "memory": "memory_percent",
    "load": "load",
    "disk": "disk_percent",
    "in": "received_bytes_per_second",
    "out": "sent_bytes_per_second",
}
# Whoever does not answer comes first here.
BY_STATE, BY_NAME = "state", "name"
_STATE_ORDER = {State.DOWN: 0, State.SUSPECT: 1, State.NEW: 2, State.UP: 3}

Answer = Iterator[bytes]


class BadRequest(ValueError):
    """The request cannot be answered; the text says why. `kind` is `bad_request` or `unknown_agent`."""

    def __init__(self, text: str, kind: str = "bad_request") -> None:
        super().__init__(text)
        self.kind = kind


def refusal(kind: str, text: str) -> bytes:
    """The answer to what is not answered."""
    return wire.encode({"schema": SCHEMA, "error": text, "kind": kind}) + b"\n"


def answer(request: dict[str, Any], fleet: Fleet, supervisor: dict[str, Any], now: float) -> Answer:
    """The answer in pieces, each of little work, some of them empty. Raises BadRequest at once."""
    head = {
        "schema": SCHEMA,
        "at": round(now, 3),
        "supervisor": supervisor,
        "counts": fleet.counts(),
    }
    match request.get("ask"):
        case "status":
            return _all(head, fleet, lambda agent: agent.standing.state is not State.UP)
        case "agents":
            return _all(head, fleet, _filter(request.get("state"), request.get("labels")))
        case "agent":
            agent = _find(fleet, _text(request, "name"))
            return iter([_document(head, [_member(agent, report=True)])])
        case "names":
            return _names(head, fleet)
        case "top":
            return _top(head, fleet, _one_of(request, "by", (BY_STATE, BY_NAME, *ORDERS)), _limit(request))
    raise BadRequest("'ask' is none of status, agents, agent, names, top, reload")


def account(agent: Agent) -> dict[str, Any]:
    """All that is known of an agent but its report, with what people look at first."""
    report = agent.latest.document
    return {**snapshot.account(agent), "hostname": vitals.hostname(report), "vitals": vitals.of(report)}


def _member(agent: Agent, *, report: bool = False) -> bytes:
    known = account(agent)
    if report:
        known["report"] = agent.latest.document
    return wire.encode({agent.target.name: known})[1:-1]


def _document(head: dict[str, Any], members: Iterable[bytes]) -> bytes:
    return b'%b,"agents":{%b}}\n' % (wire.encode(head)[:-1], b",".join(members))


def _all(head: dict[str, Any], fleet: Fleet, wanted: Callable[[Agent], bool]) -> Answer:
    yield wire.encode(head)[:-1] + b',"agents":{'
    separator = b""
    for some in _slices(fleet):
        members = b",".join(_member(agent) for agent in some if wanted(agent))
        if members:
            yield separator + members
            separator = b","
        else:
            yield b""
    yield b"}}\n"


def _names(head: dict[str, Any], fleet: Fleet) -> Answer:
    names: dict[str, str | None] = {}
    for some in _slices(fleet):
        names.update((agent.target.name, vitals.hostname(agent.latest.document)) for agent in some)
        yield b""
    yield wire.encode({**head, "names": names}) + b"\n"


def _slices(fleet: Fleet) -> Iterator[list[Agent]]:
    """All agents, a few at a time. The fleet may change meanwhile; who was taken off is still told."""
    agents = list(fleet.agents.values())
    for start in range(0, len(agents), SLICE_AGENTS):
        yield agents[start : start + SLICE_AGENTS]


def _top(head: dict[str, Any], fleet: Fleet, by: str, limit: int) -> Answer:
    ranks: list[tuple[float, list[tuple[int, str]], str, Agent]] = []
    for some in _slices(fleet):
        ranks += [(_rank(agent, by), natural(agent.target.name), agent.target.name, agent) for agent in some]
        ranks = heapq.nsmallest(limit, ranks, key=lambda rank: rank[:3])
        yield b""
    yield _document(head, [_member(rank[3]) for rank in ranks])


def _rank(agent: Agent, by: str) -> float:
    if by == BY_NAME:
        return 0.0
    if by == BY_STATE:
        return _STATE_ORDER[agent.standing.state]
    # The last word of an agent that is down is not how it is now.
    value = None if agent.standing.state is State.DOWN else vitals.of(agent.latest.document).get(ORDERS[by])
    return float("inf") if value is None else -value


def _find(fleet: Fleet, name: str) -> Agent:
    if name in fleet.agents:
        return fleet.agents[name]
    found = [
        agent
        for agent in fleet.agents.values()
        if name in {agent.target.host, vitals.hostname(agent.latest.document)}
    ]
    if not found:
        raise BadRequest(f"no agent of the name {name!r} is watched", "unknown_agent")
    if len(found) > 1:
        raise BadRequest(f"{name!r} may be {', '.join(sorted(agent.target.name for agent in found)[:5])}", "ambiguous")
    return found[0]


def _filter(state: Any, labels: Any) -> Callable[[Agent], bool]:
    if state is not None and state not in [*State]:
        raise BadRequest(f"'state' is none of {', '.join(State)}")
    if not isinstance(labels, dict | None):
        raise BadRequest("'labels' is not an object")
    wanted = set((labels or {}).items()) if all(isinstance(value, str) for value in (labels or {}).values()) else None
    if wanted is None:
        raise BadRequest("'labels' has a value that is not a text")
    return lambda agent: state in {None, agent.standing.state} and wanted <= set(agent.target.labels)


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise BadRequest(f"{key!r} is not a text")
    return value


def _one_of(request: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
    value = _text(request, key)
    if value not in allowed:
        raise BadRequest(f"{key!r} is none of {', '.join(allowed)}")
    return value


def _limit(request: dict[str, Any]) -> int:
    value = request.get("limit")
    if not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise BadRequest(f"'limit' is not a whole number from 1 to {MAX_LIMIT}")
    return value
