"""The command `monitoringctl`: which commands there are. Each is read only when it is asked for."""

import importlib
from typing import Any

import click

from monitoring_agent.shared import wire

# Each is the object `command` of a module of the same name, with `_` for `-`. One that needs heavy libraries costs
# the others nothing.
COMMANDS = ("check-config",)


class Commands(click.Group):
    """The commands, by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"monitoring_supervisor.ctl.{cmd_name.replace('-', '_')}")
        found: click.Command = module.command
        return found


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(wire.VERSION, prog_name="monitoringctl", message="%(prog)s %(version)s")
def main() -> None:
    """Ask the supervisor which machines are up, which are down, why and since when."""


if __name__ == "__main__":
    main(prog_name="monitoringctl")
