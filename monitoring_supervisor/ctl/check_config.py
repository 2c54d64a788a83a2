"""`monitoringctl check-config`: whether the daemons would accept a settings file."""

from pathlib import Path

import click

from monitoring_agent.shared import env
from monitoring_supervisor import settings as supervisor_settings
from monitoring_supervisor import targets
from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import agents, safe


@click.command("check-config", short_help="List the mistakes in the settings.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def command(places: Places, file: Path | None) -> None:
    """Check the settings in FILE, and list every mistake, and every key that stands there twice.

    Exit status: 0 right, 78 wrong. Without FILE it is that of --config, /etc/monitoring/monitoring.env. The token
    file and the whitelist files that it names are checked too.
    """
    file = file or places.settings
    try:
        settings = supervisor_settings.load(file)
        watched = targets.all_targets(settings.whitelist, settings.whitelist_file, settings.agent_port)
    except env.BadSettings as error:
        asking.end_with_mistakes(error.mistakes)
    for doubt in settings.doubts:
        click.echo(f"Warning: {safe(doubt)}", err=True)
    click.echo(f"{safe(file)} is right; it names {agents(len(watched))}")
