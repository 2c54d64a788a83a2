"""What the shell completes: the names of agents, of machines, and of what a report has."""

from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from monitoring_supervisor.ctl import asking, places

# More than that helps nobody, and the shell would have to wait for them.
MAX_NAMES = 1000


def complete_agent(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Agents whose names begin so."""
    known = asking.names(_places(ctx))
    return [CompletionItem(name) for name in known if name.startswith(incomplete)][:MAX_NAMES]


def complete_section(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Sections of the report of the agent that was named before."""
    return [CompletionItem(section) for section in report(ctx) if section.startswith(incomplete)]


def complete_metric(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Paths of numbers in the report of the agent that was named before."""
    return [CompletionItem(path) for path in paths(report(ctx)) if path.startswith(incomplete)][:MAX_NAMES]


def report(ctx: click.Context) -> dict[str, Any]:
    """The report of the agent that the command line names so far; empty if there is none."""
    try:
        told = asking.ask(_places(ctx), quiet=True, ask="agent", name=ctx.params.get("agent") or "")
    except asking.CannotTell:
        return {}
    return next(iter(told.agents.values()))["report"] or {}


def paths(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The path of each number in a report, keys separated by dots."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key


def _places(ctx: click.Context) -> places.Places:
    """While the shell completes, click runs no command, and so none has found out the places."""
    return places.find(ctx.find_root().params.get("config"))
