"""How punctual an asker was, seen from the agents' side: from the times of requests to lateness and missed polls."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 50


@dataclass(frozen=True)
class Punctuality:
    """`lateness` in seconds, one for each request; `missed` counts slots in which nothing was asked."""

    lateness: tuple[float, ...]
    missed: int


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The smallest of the values that so many per cent do not exceed (nearest rank); None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def of_agent(times: list[float], interval: float, since: float, until: float) -> Punctuality:
    """Judge the requests to one agent, rising, that were due every `interval` seconds at an offset that is not known.

    The most punctual request shows the offset; lateness is what the others came after it, and holds what the network
    and the fleet itself took. A request three quarters of an interval late or later counts as missed and a slot on.
    """
    if not times:
        return Punctuality((), int((until - since) / interval))
    offsets = [(time - times[0] + interval / 2) % interval for time in times]
    middle = percentile(offsets, 50)
    assert middle is not None
    usual = times[0] - interval / 2 + middle
    early = interval / 4
    apart = [(time - usual + early) % interval - early for time in times]
    best = min(apart)
    slots = {round((time - usual - off) / interval) for time, off in zip(times, apart, strict=True)}
    first, last = usual + best + min(slots) * interval, usual + best + max(slots) * interval
    # At the end of the window, what was due for less than a quarter of an interval may still come.
    at_the_ends = int((first - since) / interval) + max(0, int((until - last) / interval - 0.25))
    missed = max(slots) - min(slots) + 1 - len(slots) + at_the_ends
    return Punctuality(tuple(off - best for off in apart), missed)


def of_fleet(statement: dict[str, Any], path: str, interval: float, names: Iterable[str] | None = None) -> Punctuality:
    """Judge what a fleet states (`Fleet.statement`) about one path, over these agents or over all good ones."""
    agents = statement["agents"]
    if names is None:
        names = [name for name, agent in agents.items() if agent["behaviour"] == "good"]
    lateness: list[float] = []
    missed = 0
    for name in names:
        one = of_agent(agents[name]["asked"].get(path, []), interval, statement["since"], statement["until"])
        lateness += one.lateness
        missed += one.missed
    return Punctuality(tuple(lateness), missed)


def summary(statement: dict[str, Any], path: str, interval: float) -> dict[str, Any]:
    """The statement in a few numbers, for people: the whole fleet, and the agents that were missed or are not good."""
    fleet = of_fleet(statement, path, interval)
    agents = statement["agents"]
    requests = sum(len(times) for agent in agents.values() for times in agent["asked"].values())
    odd: dict[str, Any] = {}
    for name, agent in agents.items():
        missed = of_fleet(statement, path, interval, [name]).missed
        if (missed or agent["behaviour"] != "good") and len(odd) < MAX_SHOWN:
            counts = {asked: len(times) for asked, times in agent["asked"].items()}
            odd[name] = {key: agent[key] for key in ("behaviour", "connections", "open")}
            odd[name] |= {"asked": counts, "missed": missed}
    return {
        "seconds": round(statement["until"] - statement["since"], 3),
        "agents": len(agents),
        "requests": requests,
        "connections": sum(agent["connections"] for agent in agents.values()),
        "fleet_cpu_microseconds_per_request": round(statement["cpu_seconds"] / requests * 1e6, 1) if requests else None,
        "polls": len(fleet.lateness),
        "polls_missed": fleet.missed,
        "lateness_p50_seconds": percentile(fleet.lateness, 50),
        "lateness_p99_seconds": percentile(fleet.lateness, 99),
        "lateness_max_seconds": max(fleet.lateness, default=None),
        "not_as_expected": odd,
    }
