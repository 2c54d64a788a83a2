"""`monitoringctl agents`: one line an agent."""

import time
from collections.abc import Sequence
from typing import Any

import click

from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.status import lasting
from monitoring_supervisor.ctl.tables import Column, colour, table
from monitoring_supervisor.ctl.text import echo_json, echo_lines, no_pager_option, safe, terminal_width
from monitoring_supervisor.ctl.units import plain
from monitoring_supervisor.model import State
from monitoring_supervisor.spoken import natural

COLUMNS = (
    Column("AGENT"),
    Column("MACHINE", shrinks=True, optional=True, spare=2),
    Column("STATE"),
    Column("FOR", right=True),
    Column("LOAD", right=True, spare=1),
    Column("CPU", right=True, spare=3),
    Column("MEM", right=True, spare=4),
    Column("DISK", right=True, spare=5),
    Column("LABELS", shrinks=True, optional=True, spare=6),
)


def _labels(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    labels = dict(value.partition("=")[::2] for value in values)
    if not all("=" in value for value in values):
        raise click.BadParameter("write it as key=value, for example role=db")
    return labels


@click.command("agents", short_help="One line an agent.")
@click.option("--state", type=click.Choice([one.value for one in State]), help="Only agents in this state.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", callback=_labels, help="Only agents with it.")
@no_pager_option
@click.option("--json", "as_json", is_flag=True, help="For programs: the answer as JSON.")
@click.pass_obj
def command(places: Places, state: str | None, labels: dict[str, str], no_pager: bool, as_json: bool) -> None:
    """One line an agent: its state, since how long, load, and how full processors, memory and the fullest disk are."""
    told = asking.ask(places, ask="agents", state=state, labels=labels)
    if as_json:
        echo_json({**told.document, "live": told.live})
        return
    now = time.time() if told.live else told.document["at"]
    rows = [_row(name, told.agents[name], now) for name in sorted(told.agents, key=natural)]
    if not rows:
        click.echo("No agent is so." if state or labels else "No agent is watched; see WHITELIST_AGENT.", err=True)
        return
    echo_lines(table(COLUMNS, rows, terminal_width(), colour), no_pager=no_pager)


def _row(name: str, about: dict[str, Any], now: float) -> list[str]:
    vitals = about["vitals"]
    return [
        safe(name),
        safe(about["hostname"] or "-"),
        about["state"],
        lasting(about, now),
        *(plain(round(vitals["load"], 2)) if "load" in vitals else "-",),
        *(percent(vitals.get(key)) for key in ("cpu_percent", "memory_percent", "disk_percent")),
        safe(" ".join(f"{key}={value}" for key, value in about["labels"].items())),
    ]


def percent(value: float | None) -> str:
    """A share without decimals, or a dash for one that is not known."""
    return "-" if value is None else f"{value:.0f}%"
