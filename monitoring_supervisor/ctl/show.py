"""`monitoringctl show`: everything about one agent."""

import time
from collections.abc import Iterator
from typing import Any

import click

from monitoring_supervisor.ctl import asking, names
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.status import why
from monitoring_supervisor.ctl.tables import GAP
from monitoring_supervisor.ctl.text import (
    cells,
    coloured,
    echo_json,
    echo_lines,
    no_pager_option,
    padded,
    safe,
    state_colour,
)
from monitoring_supervisor.ctl.units import stamp, worded
from monitoring_supervisor.spoken import duration, natural

INDENT = "  "
RANKING = "top_"
LISTS = {"white": "whitelist", "black": "blacklist"}


@click.command("show", short_help="All about one agent, its report as a tree.")
@click.argument("agent", shell_complete=names.complete_agent)
@click.argument("sections", nargs=-1, metavar="[SECTION]...", shell_complete=names.complete_section)
@click.option("--all", "everything", is_flag=True, help="Also counters beside their rates, and what is empty.")
@no_pager_option
@click.option("--json", "as_json", is_flag=True, help="For programs: the answer as JSON.")
@click.pass_obj
def command(
    places: Places, agent: str, sections: tuple[str, ...], everything: bool, no_pager: bool, as_json: bool
) -> None:
    """All that is known of AGENT, with its newest report as a tree; or only these SECTIONs of it, such as memory.

    AGENT is its name, its address alone, or the name of its machine.
    """
    told = asking.ask(places, ask="agent", name=asking.named(agent))
    ((name, about),) = told.agents.items()
    report = about["report"] or {}
    missing = [section for section in sections if section not in report]
    if missing and report:
        near = asking.near(missing[0], list(report))
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(report)}"
        raise asking.CannotTell(safe(f"the report has no section {missing[0]!r}; {hint}"))
    if sections:
        about["report"] = report = {section: report[section] for section in sections if section in report}
    if as_json:
        echo_json({"name": name, "live": told.live, **about})
        return
    now = time.time() if told.live else told.document["at"]
    lines = [] if sections else [*_head(name, about, now), ""]
    if not report:
        lines.append("It has sent no report yet.")
    elif not everything and not sections:
        report = _brief(report)
    lines += _tree(report, everything)
    echo_lines(lines, no_pager=no_pager)


def _head(name: str, about: dict[str, Any], now: float) -> Iterator[str]:
    state, since = about["state"], about["since"]
    lasts = f" since {stamp(since)} ({duration(now - since)})" if since else ""
    never = ", never seen" if state == "down" and since is None else ""
    facts = {
        "Machine": about["hostname"] and safe(about["hostname"]),
        "State": coloured(state, state_colour(state), bold=True) + lasts + never,
        "Failure": why(about) or None,
        "Failing": about["failure"] and _failing(about["failure"], state, now),
        "List": LISTS[about["listing"]],
        "Healthy": _ago(about["last_health"], now),
        "Metrics": _ago(about["last_metrics"], now),
        "Vitals": _vitals(about["vitals"]),
        "Labels": safe(" ".join(f"{key}={value}" for key, value in about["labels"].items())) or None,
    }
    yield coloured(safe(name), bold=True)
    for title, fact in facts.items():
        if fact is not None:
            yield f"{title:>9}: {fact}"


def _failing(failure: dict[str, Any], state: str, now: float) -> str:
    """For how long. The checks that failed are counted until it is down: then there is nothing left to decide."""
    checks = f"{failure['checks']} {'check' if failure['checks'] == 1 else 'checks'} in a row"
    since = failure["since"]
    lasts = f"since {stamp(since)} ({duration(now - since)})" if since else ""
    return f"{checks if state != 'down' or not lasts else ''} {lasts}".strip()


def _ago(at: float | None, now: float) -> str:
    return "never" if at is None else f"{stamp(at)} ({duration(now - at)} ago)"


def _vitals(vitals: dict[str, Any]) -> str | None:
    """What people look at first, on one line."""
    shares = (("CPU", "cpu_percent"), ("memory", "memory_percent"), (f"disk {vitals.get('disk')}", "disk_percent"))
    parts = [f"load {vitals['load']:.2f}"] if "load" in vitals else []
    parts += [f"{safe(title)} {vitals[key]:.0f} %" for title, key in shares if key in vitals]
    if "hung" in vitals:
        parts.append(coloured(f"{vitals['hung']} hung {'mount' if vitals['hung'] == 1 else 'mounts'}", "red"))
    return ", ".join(parts) or None


def _brief(report: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty, and of the collectors only those that failed."""
    collectors = report.get("collectors")
    if isinstance(collectors, dict):
        broken = {name: one for name, one in collectors.items() if isinstance(one, dict) and not one.get("ok")}
        report = {**report, "collectors": broken}
    return {key: value for key, value in report.items() if value not in ({}, [])}


def _tree(node: dict[str, Any], everything: bool, depth: int = 0) -> Iterator[str]:
    leaves = {
        safe(key): worded(key, value)
        for key, value in node.items()
        if not isinstance(value, dict) and (everything or not _is_told_by_its_rate(key, node))
    }
    width = max(map(cells, leaves), default=0)
    for key, text in leaves.items():
        yield f"{INDENT * depth}{padded(key, width)}  {text}"
    inner = [key for key, value in node.items() if isinstance(value, dict)]
    for key in sorted(inner, key=natural) if depth else inner:
        if node[key] or everything:
            yield INDENT * depth + coloured(safe(key), bold=depth == 0)
            rows = _ranking(node[key]) if key.startswith(RANKING) else None
            yield from (INDENT * (depth + 1) + row for row in rows) if rows else _tree(node[key], everything, depth + 1)


def _ranking(processes: dict[str, Any]) -> list[str] | None:
    """A line a process, who uses most first; None if they are not as an agent tells them."""
    found: list[tuple[float, list[str]]] = []
    if not processes:
        return None
    for pid, about in processes.items():
        numbers = _numbers(about) if isinstance(about, dict) else {}
        if len(numbers) != 1:
            return None
        ((key, value),) = numbers.items()
        found.append((value, [worded(key, value), safe(pid), *(safe(about.get(one, "-")) for one in ("user", "name"))]))
    rows = [parts for _, parts in sorted(found, key=lambda one: one[0], reverse=True)]
    wide = [max(cells(row[column]) for row in rows) for column in range(3)]
    return [
        GAP.join((padded(used, wide[0], right=True), padded(pid, wide[1], right=True), padded(user, wide[2]), name))
        for used, pid, user, name in rows
    ]


def _numbers(node: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in node.items() if isinstance(value, int | float)}


def _is_told_by_its_rate(key: str, neighbours: dict[str, Any]) -> bool:
    name = key.removesuffix("_total")
    rates = {f"{name}_per_second", f"{name.removesuffix('_seconds')}_percent"}
    return name != key and not rates.isdisjoint(neighbours)
