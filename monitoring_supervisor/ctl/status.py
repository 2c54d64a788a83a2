"""`monitoringctl status`: which machines are down, why, and since when."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.tables import Column, colour, table
from monitoring_supervisor.ctl.text import (
    agents,
    coloured,
    echo_json,
    echo_lines,
    no_pager_option,
    safe,
    state_colour,
    terminal_width,
)
from monitoring_supervisor.ctl.units import moment, span
from monitoring_supervisor.spoken import natural

STATES = ("up", "new", "suspect", "down")
# The worst first.
ORDER = {state: number for number, state in enumerate(reversed(STATES))}
COLUMNS = (
    Column("AGENT"),
    Column("MACHINE", shrinks=True, optional=True, spare=2),
    Column("STATE"),
    Column("SINCE", spare=3),
    Column("FOR", right=True, spare=1),
    Column("WHY", wraps=True),
)


@click.command("status", short_help="How many agents are up, and all that are not.")
@no_pager_option
@click.option("--json", "as_json", is_flag=True, help="For programs: the answer as JSON.")
@click.pass_obj
def command(places: Places, no_pager: bool, as_json: bool) -> None:
    """How many agents are up, and all that are not: why, and since when.

    Exit status: 0 all up, 1 some down or suspect, 2 cannot tell: the supervisor does not run, has not asked all of
    them yet, or watches nobody.
    """
    told = asking.ask(places, ask="status")
    if as_json:
        echo_json({**told.document, "live": told.live})
    else:
        echo_lines([*_lines(told)], no_pager=no_pager)
    sys.exit(_exit_status(told))


def _exit_status(told: asking.Told) -> int:
    counts = told.document["counts"]
    if not told.live or not any(counts.values()):
        return asking.CANNOT_TELL
    if counts["down"] or counts["suspect"]:
        return 1
    return asking.CANNOT_TELL if counts["new"] else 0


def _lines(told: asking.Told) -> Iterator[str]:
    counts, supervisor = told.document["counts"], told.document["supervisor"]
    now = time.time() if told.live else told.document["at"]
    total = sum(counts.values())
    parts = [
        coloured(f"{counts[state]} {state}", state_colour(state), bold=state == "down")
        for state in STATES
        if counts[state] or state == "up"
    ]
    yield f"{agents(total)}: {', '.join(parts)}"
    for trouble in supervisor.get("troubles", []):
        yield coloured(f"The supervisor itself has trouble: {safe(trouble)}", "red")
    if not total:
        yield "Name some to watch in WHITELIST_AGENT or WHITELIST_FILE."
    if not told.agents:
        return
    rows = [_row(name, told.agents[name], now) for name in sorted(told.agents, key=lambda name: _rank(told, name))]
    yield ""
    yield from table(COLUMNS, rows, terminal_width(), colour)


def _rank(told: asking.Told, name: str) -> tuple[Any, ...]:
    """Down before suspect before new, and what happened last first."""
    about = told.agents[name]
    return (ORDER[about["state"]], -round(about["since"] or 0), natural(name))


def _row(name: str, about: dict[str, Any], now: float) -> list[str]:
    since = about["since"]
    never_seen = about["state"] == "down" and since is None
    return [
        safe(name),
        safe(about["hostname"] or "-"),
        about["state"],
        "never seen" if never_seen else moment(since, now),
        lasting(about, now),
        why(about),
    ]


def lasting(about: dict[str, Any], now: float) -> str:
    """For how long an agent's state lasts; of one that was never seen, for how long it has been tried."""
    began = about["since"] or (about["failure"] or {}).get("since")
    return span(now - began) if began else "-"


def why(about: dict[str, Any]) -> str:
    """What an agent's failure is, in words."""
    failure = about["failure"]
    if failure is None:
        return "not asked yet" if about["state"] == "new" else ""
    words = safe(failure["detail"])
    return f"its metrics: {words}" if failure.get("metrics_only") else words
