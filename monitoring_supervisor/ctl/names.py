"""What the shell completes: the names of agents, of machines, and of what a report has."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from monitoring_supervisor.ctl import asking, places
from monitoring_supervisor.store.reading import paths

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
    told = asking.try_to_ask(_places(ctx), ask="agent", name=ctx.params.get("agent") or "")
    found: dict[str, Any] = (next(iter(told.agents.values()))["report"] if told else None) or {}
    return found


def _places(ctx: click.Context) -> places.Places:
    """While the shell completes, click runs no command, and so none has found out the places."""
    return places.find(ctx.find_root().params.get("config"))
