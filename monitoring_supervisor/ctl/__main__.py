"""The command `monitoringctl`: which commands there are. Each is read only when it is asked for."""

import importlib
import io
import sys
from pathlib import Path
from typing import Any

import click

from monitoring_agent.shared import wire
from monitoring_supervisor.ctl import asking, places

# Each is the object `command` of a module of the same name, with `_` for `-`. One that needs heavy libraries costs
# the others nothing.
COMMANDS = ("status", "agents", "show", "top", "history", "export", "probe", "enroll", "check-config", "reload")


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            found = asking.near(args[0], list(COMMANDS))
            hint = f"did you mean {' or '.join(found)}?" if found else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The settings that say where the supervisor is (default: /etc/monitoring/monitoring.env).",
)
@click.version_option(wire.VERSION, prog_name="monitoringctl", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Ask the supervisor which machines are up, which are down, why and since when."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows a question mark
    ctx.obj = places.find(config)


if __name__ == "__main__":
    main(prog_name="monitoringctl")
