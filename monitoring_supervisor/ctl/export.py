"""`monitoringctl export`: reports of any time, in bulk, for other programs."""

import contextlib
import csv
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
from monitoring_supervisor.store.lines import json_line
from monitoring_supervisor.store.reading import Reader, find, paths

# The bar moves so often for each agent.
TICKS = 1000
FORMATS = ("jsonl", "csv")

# Told how many of all are done.
Advance = Callable[[float], None]


@click.command("export", short_help="Reports in bulk, as JSON lines or CSV.")
@click.argument("agents", nargs=-1, metavar="[AGENT]...", shell_complete=names.complete_agent)
@click.option("--since", metavar="TIME", callback=moment, default="1h", help="From then on, such as 7d or 08:15 (1h).")
@click.option("--until", metavar="TIME", callback=moment, default="now", help="Up to then (now).")
@click.option("--metric", "-m", "metrics", multiple=True, metavar="METRIC", help="Only this one; may be repeated.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", help="As what to write it (jsonl).")
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
        columns: list[str] = []
        if metrics:
            with _progress("Looking  ", len(chosen), output) as advance:
                columns = _columns(reader, chosen, metrics, since, until, advance)
        with _target(output) as file, _progress("Exporting", len(chosen), output) as advance:
            write = _writer(file, form, columns)
            for number, name in enumerate(chosen):
                for at, report in reader.reports(name, since, until):
                    write(name, at, report)
                    advance(number + (at - since) / (until - since))
                advance(number + 1)
        if reader.damaged:
            click.echo(f"{reader.damaged} damaged entries of history were left out", err=True)


def _columns(
    reader: Reader, chosen: list[str], metrics: tuple[str, ...], since: float, until: float, advance: Advance
) -> list[str]:
    """The paths that are meant: not every machine has every disk. Raises CannotTell for one that nobody has."""
    missing = set(metrics)
    found: dict[str, None] = {}
    known: list[str] = []
    for number, name in enumerate(chosen):
        known = past.first(reader, name, since, until) or known
        for metric in metrics:
            paths = past.fitting(metric, known)
            found.update(dict.fromkeys(paths))
            missing -= {metric} if paths else set()
        advance(number + 1)
    if missing and known:
        raise past.unknown("no agent has a metric", min(missing), known)
    return past.few(list(found))


def _writer(file: TextIO, form: str, columns: list[str]) -> Callable[[str, float, Document], None]:
    if form == "jsonl":

        def write_line(name: str, at: float, report: Document) -> None:
            file.write(json_line(name, at, report, columns) + "\n")

        return write_line
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["agent", "at", *(map(safe, columns) if columns else ["metric", "value"])])

    def write_rows(name: str, at: float, report: Document) -> None:
        if columns:
            rows.writerow([name, at, *(_cell(find(report, path)) for path in columns)])
        else:
            rows.writerows([name, at, safe(path), find(report, path)] for path in paths(report))

    return write_rows


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | None) else safe(value)


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
            file.flush()
            os.fsync(file.fileno())
        beside.replace(output)
    except OSError as error:
        raise asking.CannotTell(f"{output} cannot be written: {safe(error.strerror)}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


@contextmanager
def _progress(label: str, total: int, output: Path | None) -> Iterator[Advance]:
    """A bar on standard error, where a person looks at that alone."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield lambda done: None
        return
    with click.progressbar(length=max(1, total) * TICKS, label=label, file=sys.stderr) as bar:

        def advance(done: float) -> None:
            reached = int(min(done, total) * TICKS)
            if reached > bar.pos:
                bar.update(reached - bar.pos)

        yield advance
