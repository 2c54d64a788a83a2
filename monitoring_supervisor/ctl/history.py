"""`monitoringctl history`: how a metric went, what happened to an agent, and how available it was."""

import csv
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click

from monitoring_supervisor.ctl import curve, names, past
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.tables import Column, colour, table
from monitoring_supervisor.ctl.text import cells, coloured, echo_json, echo_lines, safe, terminal_width
from monitoring_supervisor.ctl.times import length, moment, round_step
from monitoring_supervisor.ctl.units import span, stamp, worded
from monitoring_supervisor.minutes import Point
from monitoring_supervisor.spoken import duration
from monitoring_supervisor.store.lines import encoded
from monitoring_supervisor.store.reading import Event, Reader, Series

POINTS_IN_A_LINE, POINTS_IN_A_ROW, POINTS_FOR_PROGRAMS = 60, 5, 1000
FORMATS = ("table", "csv", "json", "jsonl")
HOUR_SECONDS, WEEK_SECONDS = 3600.0, 7 * 86400.0
# A supervisor that runs writes more often.
WRITTEN_WITHIN_SECONDS = 30.0
EVENTS = (
    Column("TIME"),
    Column("AGENT", optional=True),
    Column("STATE"),
    Column("FOR", right=True, spare=1),
    Column("WHY", wraps=True),
)


@click.command("history", short_help="How metrics went; what happened to an agent.")
@click.argument("agent", required=False, shell_complete=names.complete_agent)
@click.argument("metrics", nargs=-1, metavar="[METRIC]...", shell_complete=names.complete_metric)
@click.option("--events", is_flag=True, help="What happened: when it went down and came back, and its availability.")
@click.option("--since", metavar="TIME", callback=moment, help="From then on, such as 7d or 08:15 (1h; events: 7d).")
@click.option("--until", metavar="TIME", callback=moment, default="now", help="Up to then (now).")
@click.option("--step", metavar="LENGTH", callback=length, help="One row for so long, such as 10s or 5m.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="As what to write it (table).")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def command(
    places: Places,
    agent: str | None,
    metrics: tuple[str, ...],
    events: bool,
    since: float | None,
    until: float,
    step: float | None,
    form: str,
    as_json: bool,
) -> None:
    """How each METRIC of AGENT went, or with --events what happened to it.

    A METRIC is a path in the report, such as load.load_1m (`monitoringctl show AGENT` has them all), the path of
    several, such as load, or a pattern such as 'network.*.sent_bytes_per_second'. Without AGENT, --events tells what
    happened to all.
    """
    form = "json" if as_json else form
    since = until - (WEEK_SECONDS if events else HOUR_SECONDS) if since is None else since
    if since >= until:
        raise click.BadParameter("it is not before --until", param_hint="--since")
    if not events and (agent is None or not metrics):
        raise click.UsageError("name an AGENT and a METRIC, such as load.load_1m; or say --events")
    if events and metrics:
        raise click.UsageError("with --events there is no METRIC")
    with past.opened(places) as reader:
        name = past.agent(places, reader, agent) if agent is not None else None
        if events or name is None:
            _tell_events(reader, name, since, until, form)
        else:
            paths = past.metrics(places, reader, name, metrics, since, until)
            _tell_course(reader, name, paths, since, until, step, form)


def _tell_course(
    reader: Reader, name: str, paths: list[str], since: float, until: float, step: float | None, form: str
) -> None:
    fine = step or round_step((until - since) / (POINTS_IN_A_LINE if form == "table" else POINTS_FOR_PROGRAMS))
    series = reader.series(name, paths, since, until, fine)
    if form == "table":
        _show_course(name, series, since, until, fine, step or fine * POINTS_IN_A_ROW)
    elif form == "json":
        echo_json({"agent": name, "since": since, "until": until, "step_seconds": fine, "metrics": _plain(series)})
    else:
        moments = sorted({at for one in series.values() for at, _ in one})
        by_time = {path: dict(one) for path, one in series.items()}
        rows = ([at, *(_mean(by_time[path].get(at)) for path in paths)] for at in moments)
        _write(["at", *paths], rows, form)
    if reader.damaged:
        click.echo(f"{reader.damaged} damaged entries of history were left out", err=True)


def _mean(point: Point | None) -> float | None:
    return None if point is None else curve.mean(point)


def _plain(series: dict[str, Series]) -> dict[str, list[dict[str, float]]]:
    return {
        path: [
            {"at": at, "least": curve.least(point), "mean": curve.mean(point), "greatest": curve.greatest(point)}
            for at, point in one
        ]
        for path, one in series.items()
    }


def _write(titles: list[str], rows: Iterable[Sequence[Any]], form: str) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(map(safe, titles))
        writer.writerows([safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        return
    for row in rows:
        click.echo(encoded({title: cell for title, cell in zip(titles, row, strict=True) if cell is not None}))


def _show_course(
    name: str, series: dict[str, Series], since: float, until: float, fine: float, step: float
) -> None:
    width = terminal_width()
    click.echo(f"{coloured(name, bold=True)}  {stamp(since)} to {stamp(until)}")
    for path, one in series.items():
        click.echo(f"\n{coloured(safe(path), bold=True)}")
        if not one:
            click.echo("  nothing is kept of it from this time")
            continue
        line = curve.sparkline(one, since, until, min((width or 80) - 4, round((until - since) / fine)))
        click.echo(f"  {line}")
        points = [point for _, point in one]
        whole = curve.put_together(points)
        said = [worded(path, value) for value in (curve.least(whole), curve.mean(whole), curve.greatest(whole))]
        click.echo(f"  least {said[0]}, mean {said[1]}, greatest {said[2]}")
    rows = {path: dict(curve.grouped(one, step, counter=path.endswith("_total"))) for path, one in series.items()}
    moments = sorted({at for one in rows.values() for at in one})
    lines = _course_table(rows, moments, width) if moments else []
    if width is not None and max(map(cells, lines), default=0) > width:
        lines = ["The table is too wide for this terminal; --format csv has it."]
    for text in ["", *lines] if lines else []:
        click.echo(text)


def _course_table(rows: dict[str, dict[float, Point]], moments: list[float], width: int | None) -> list[str]:
    """One metric with its least and greatest values, several with their means."""
    if len(rows) == 1:
        ((path, one),) = rows.items()
        columns = [Column("TIME"), *(Column(title, right=True) for title in ("LEAST", "MEAN", "GREATEST"))]
        said = [
            [stamp(at), *(worded(path, pick(one[at])) for pick in (curve.least, curve.mean, curve.greatest))]
            for at in moments
        ]
        return table(columns, said, width)
    columns = [Column("TIME"), *(Column(title, right=True) for title in _short_titles(list(rows)))]
    said = [
        [stamp(at), *(worded(path, curve.mean(one[at])) if at in one else "-" for path, one in rows.items())]
        for at in moments
    ]
    return table(columns, said, None)


def _short_titles(paths: list[str]) -> list[str]:
    """The paths without the keys that all of them begin with."""
    parts = [path.split(".") for path in paths]
    common = 0
    while all(len(one) > common + 1 and one[common] == parts[0][common] for one in parts):
        common += 1
    return [safe(".".join(one[common:])) for one in parts]


def _tell_events(reader: Reader, name: str | None, since: float, until: float, form: str) -> None:
    found = reader.events(name, since, until)
    available = reader.availability(name, since, until) if name is not None else None
    if form == "json":
        known = available and {**asdict(available), "percent": available.percent}
        document = {"agent": name, "since": since, "until": until, "availability": known}
        echo_json({**document, "events": [asdict(event) for event in found]})
        return
    if form != "table":
        titles = ["agent", "at", "state", "kind", "detail"]
        _write(titles, ([getattr(event, title) for title in titles] for event in found), form)
        return
    click.echo(f"{coloured(name or 'All agents', bold=True)}  {stamp(since)} to {stamp(until)}")
    if available is not None:
        click.echo(_availability(available.percent, available.known_seconds, available.up_seconds))
    rows = _event_rows(found, min(until, _now_or_last_known(reader)), everybody=name is None)
    if not rows:
        stored = name is None or name in reader.agents()
        click.echo("Nothing happened, as far as is known." if stored else "Nothing is stored of it yet.")
        return
    click.echo()
    echo_lines(table(EVENTS, rows, terminal_width(), colour))


def _now_or_last_known(reader: Reader) -> float:
    """Since the supervisor was stopped, or its disk is full, nobody knows how the agents are."""
    now, known = time.time(), reader.known_until()
    return now if now - known < WRITTEN_WITHIN_SECONDS else known


def _event_rows(found: list[Event], until: float, *, everybody: bool) -> list[list[str]]:
    """In order, so that the newest stands next to the prompt. Of everybody only who went down, and came back."""
    ends: dict[str, float] = {}
    lasted: list[float] = []
    for event in reversed(found):
        lasted.append(ends.get(event.agent, until) - event.at)
        ends[event.agent] = event.at
    rows = []
    gone: set[str] = set()
    for event, seconds in zip(found, reversed(lasted), strict=True):
        is_news = event.state == "down" or (event.state == "up" and event.agent in gone)
        if event.state == "down":
            gone.add(event.agent)
        elif event.state == "up":
            gone.discard(event.agent)
        if is_news if everybody else event.state != "new":
            agent = safe(event.agent) if everybody else ""
            rows.append([stamp(event.at), agent, event.state, span(seconds), safe(event.detail or "")])
    return rows


def _availability(percent: float | None, known_seconds: float, up_seconds: float) -> str:
    if percent is None:
        return "Nothing is known of its availability in this time."
    down = known_seconds - up_seconds
    # A long time up must not be rounded to all of it.
    said = "100" if down <= 0 else f"{min(percent, 99.9999):.4f}".rstrip("0").rstrip(".")
    return f"Available {said} % of the {duration(known_seconds)} that are known; down for {duration(down)}."
