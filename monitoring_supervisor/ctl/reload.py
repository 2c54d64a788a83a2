"""`monitoringctl reload`: the supervisor reads its settings again."""

import click

from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import agents, safe


@click.command("reload", short_help="Have the supervisor read its settings again.")
@click.pass_obj
def command(places: Places) -> None:
    """Have the supervisor read its settings again, as `systemctl reload monitoring-supervisor` does.

    Exit status: 0 done, 78 there are mistakes in the settings; they are listed, and the running ones stay.
    """
    try:
        line = asking.Line(places)
        answer = line.ask(ask="reload")
    except asking.NotRunning as silence:
        text = f"the supervisor does not run ({silence}); it reads the settings at its start"
        raise asking.CannotTell(text) from None
    if "error" in answer:
        raise asking.CannotTell(safe(answer["error"]))
    if answer["mistakes"]:
        asking.end_with_mistakes([*answer["mistakes"], "Not reloaded; the settings stay as they were."])
    click.echo(f"Reloaded; {agents(answer['agents'])} {'is' if answer['agents'] == 1 else 'are'} watched.")
