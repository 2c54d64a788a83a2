"""What the shell completes: the names of agents, of machines, and of what a report has."""

import re
from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from monitoring_supervisor.ctl import asking, places
from monitoring_supervisor.store.reading import paths

# More than that helps nobody, and the shell would have to wait for them.
MAX_NAMES = 1000
# The shell puts a name on its command line and runs that: a machine may call itself `$(reboot)`.
_HARMLESS = re.compile(r"[\w.:%\[\]-]+")


def complete_agent(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Agents whose names begin so."""
    return _offered(asking.names(_places(ctx)), incomplete)


def complete_section(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Sections of the report of the agent that was named before."""
    return _offered(report(ctx), incomplete)


def complete_metric(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Paths of numbers in the report of the agent that was named before."""
    return _offered(paths(report(ctx)), incomplete)


def report(ctx: click.Context) -> dict[str, Any]:
    """The report of the agent that the command line names so far; empty if there is none."""
    told = asking.try_to_ask(_places(ctx), ask="agent", name=asking.named(ctx.params.get("agent") or ""))
    found: dict[str, Any] = (next(iter(told.agents.values()))["report"] if told else None) or {}
    return found


def _offered(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    fitting = [name for name in known if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]
    return [CompletionItem(name) for name in fitting[:MAX_NAMES]]


def _places(ctx: click.Context) -> places.Places:
    """While the shell completes, click runs no command, and so none has found out the places."""
    return places.find(ctx.find_root().params.get("config"))
