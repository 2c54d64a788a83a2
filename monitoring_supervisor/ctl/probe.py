"""`monitoringctl probe`: why an agent cannot be asked from here."""

import socket
import sys
from dataclasses import asdict

import click

from monitoring_agent.shared.address import parse_address
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor import settings as supervisor_settings
from monitoring_supervisor import targets
from monitoring_supervisor.ctl import asking, names
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.probing import Probe, Step
from monitoring_supervisor.ctl.tables import NARROW_COLUMN, wrapped
from monitoring_supervisor.ctl.text import coloured, echo_json, safe, terminal_width

# In which column of the terminal they begin, and how far a remedy goes at most.
REMEDY_AT, DETAIL_AT, REMEDY_UNTIL = 10, 22, 78
MARKS = {"ok": ("ok", "green"), "failed": ("FAILED", "red"), "skipped": ("-", None)}


@click.command("probe", short_help="Ask one agent step by step: which step fails?")
@click.argument("host", shell_complete=names.complete_agent)
@click.option("--json", "as_json", is_flag=True, help="For programs: the steps as JSON.")
@click.option("--send-token", is_flag=True, help="Send the token although HOST is not on the whitelist.")
@click.pass_obj
def command(places: Places, host: str, as_json: bool, send_token: bool) -> None:
    """Ask the agent at HOST from here, step by step, and say which step fails and what to do.

    HOST is written as on the whitelist: an address or a name, with a port or without. The settings are the
    supervisor's; the token is sent only to who is on its whitelist. Nothing is changed.

    Exit status: 0 all is well, 1 a step failed.
    """
    try:
        address = parse_address(host)
    except ValueError as error:
        raise click.BadParameter(safe(error), param_hint="HOST") from None
    try:
        settings = supervisor_settings.load(places.settings)
        watched = targets.all_targets(settings.whitelist, settings.whitelist_file, settings.agent_port)
    except BadSettings as error:
        asking.end_with_mistakes(error.mistakes)
    target = targets.target(address, settings.agent_port)
    if "://" not in host:
        target = watched.get(target.name, target)  # on the whitelist it may be one that is asked over https
    known = watched.get(target.name)
    # To an agent that is asked over TLS, not in the clear either.
    sends_token = send_token or (known is not None and (target.tls or not known.tls))
    steps: list[Step] = []
    if not as_json:
        click.echo(f"{target.name}, asked from {socket.gethostname()}")
    for step in Probe(target, settings, sends_token=sends_token).steps():
        steps.append(step)
        if not as_json and not (step.outcome == "skipped" and _failed(steps)):
            _show(step)
    failed = _failed(steps)
    if as_json:
        echo_json({"agent": target.name, "ok": not failed, "steps": [asdict(step) for step in steps]})
    sys.exit(1 if failed else 0)


def _failed(steps: list[Step]) -> bool:
    return any(step.outcome == "failed" for step in steps)


def _show(step: Step) -> None:
    mark, colour = MARKS[step.outcome]
    took = f" ({step.seconds * 1000:.1f} ms)" if step.outcome == "ok" and step.seconds is not None else ""
    head = f"  {coloured(f'{mark:<6}', colour)}  {step.name:<10}  "
    width = terminal_width()
    told = f"{safe(step.detail)}{took}"
    for line in (told,) if width is None else wrapped(told, max(NARROW_COLUMN, width - DETAIL_AT)):
        click.echo(head + line)
        head = " " * DETAIL_AT
    for line in wrapped(step.remedy or "", max(NARROW_COLUMN, min(width or REMEDY_UNTIL, REMEDY_UNTIL) - REMEDY_AT)):
        if line:
            click.echo(" " * REMEDY_AT + line)
