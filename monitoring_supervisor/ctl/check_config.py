"""`monitoringctl check-config`: whether the daemons would accept a settings file."""

import sys
from pathlib import Path

import click

from monitoring_agent.shared import env
from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.keys import EX_CONFIG
from monitoring_supervisor import settings as supervisor_settings
from monitoring_supervisor import targets


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), default=env.SYSTEM_FILE)
def command(file: Path) -> None:
    """Check the settings in FILE, and list every mistake.

    Exit status: 0 right, 78 wrong. Without FILE it is /etc/monitoring/monitoring.env. The token file and the
    whitelist files that it names are checked too.
    """
    try:
        settings = supervisor_settings.load(file)
        watched = targets.all_targets(settings.whitelist, settings.whitelist_file, settings.agent_port)
    except env.BadSettings as error:
        for mistake in error.mistakes:
            click.echo(printable(mistake), err=True)
        sys.exit(EX_CONFIG)
    click.echo(f"{printable(str(file))} is right; it names {len(watched)} {'agent' if len(watched) == 1 else 'agents'}")
