"""`monitoringctl export`: reports of any time, in bulk, for other programs."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from monitoring_agent.shared.patch import Document
from monitoring_supervisor.ctl import asking, names, past
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import safe
from monitoring_supervisor.ctl.times import moment
from monitoring_supervisor.store.reading import Reader, find, paths

# The bar moves so often for each agent.
TICKS = 1000

Row = tuple[str, float, Document]


@click.command()
@click.argument("agents", nargs=-1, metavar="[AGENT]...", shell_complete=names.complete_agent)
@click.option("--since", callback=moment, default="1h", help="From then on; as 1h, 7d or '2026-11-24 08:15' (1h).")
@click.option("--until", callback=moment, default="now", help="Up to then (now).")
@click.option("--metric", "-m", "metrics", multiple=True, metavar="METRIC", help="Only this one; may be repeated.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", help="(jsonl)")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file, written whole or not at all.")
@click.pass_obj
def command(
    places: Places,
    agents: tuple[str, ...],
    since: float,
    until: float,
    metrics: tuple[str, ...],
    form: str,
    output: Path | None,
) -> None:
    """Every report of each AGENT, or of all, as it was kept.

    \b
    jsonl           a line a report: agent, at, and the report itself
    jsonl -m …      a line a report: agent, at, and each metric by its path
    csv             a line a number: agent, at, metric, value
    csv -m …        a line a report: agent, at, and a column a metric

    With --output, the file is written beside and takes its name when it is complete; one that was there stays until
    then. METRICs are as in `monitoringctl history`.
    """
    if since >= until:
        raise click.BadParameter("it is not before --until", param_hint="--since")
    with past.opened(places) as reader:
        chosen = [past.agent(places, reader, name) for name in agents] or reader.agents()
        chosen = list(dict.fromkeys(chosen))
        columns = _columns(places, reader, chosen, metrics, until)
        with _target(output) as file, _progress(chosen, since, until, output) as advance:
            write = _writer(file, form, columns)
            for name in chosen:
                for at, report in reader.reports(name, since, until):
                    write(name, at, report)
                    advance(name, at)
                advance(name, until)
        if reader.damaged:
            click.echo(f"{reader.damaged} damaged entries of history were left out", err=True)


def _columns(
    places: Places, reader: Reader, chosen: list[str], metrics: tuple[str, ...], until: float
) -> list[str]:
    """The paths of all that have any of them: not every machine has every disk. Raises CannotTell if none has."""
    found: dict[str, None] = {}
    trouble: asking.CannotTell | None = None
    for name in chosen if metrics else ():
        for metric in metrics:
            try:
                found.update(dict.fromkeys(past.metrics(places, reader, name, (metric,), until)))
            except asking.CannotTell as error:
                trouble = error
    if trouble is not None and not found:
        raise trouble
    return list(found)


def _writer(file: TextIO, form: str, columns: list[str]) -> Callable[[str, float, Document], None]:
    if form == "jsonl":

        def write_line(name: str, at: float, report: Document) -> None:
            told: dict[str, Any] = {"agent": name, "at": at}
            if columns:
                told |= {path: value for path in columns if (value := find(report, path)) is not None}
            else:
                told["report"] = report
            file.write(json.dumps(told, separators=(",", ":")) + "\n")

        return write_line
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["agent", "at", *(columns or ["metric", "value"])])

    def write_rows(name: str, at: float, report: Document) -> None:
        if columns:
            rows.writerow([name, at, *(find(report, path) for path in columns)])
        else:
            rows.writerows([name, at, path, find(report, path)] for path in paths(report))

    return write_rows


@contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """Where to write: standard output, or a file that takes its name when it is complete."""
    if output is None:
        yield sys.stdout
        return
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
        beside.replace(output)
    except OSError as error:
        raise asking.CannotTell(f"{output} cannot be written: {safe(error.strerror)}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


@contextmanager
def _progress(
    chosen: list[str], since: float, until: float, output: Path | None
) -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error, where a person looks at that alone."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield lambda name, at: None
        return
    order = {name: number for number, name in enumerate(chosen)}
    with click.progressbar(length=max(1, len(chosen)) * TICKS, label="Exporting", file=sys.stderr) as bar:

        def advance(name: str, at: float) -> None:
            reached = order[name] * TICKS + int(TICKS * min(1.0, max(0.0, (at - since) / (until - since))))
            if reached > bar.pos:
                bar.update(reached - bar.pos)

        yield advance
