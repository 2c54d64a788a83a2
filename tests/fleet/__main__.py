"""The command `python -m tests.fleet`: runs a simulated fleet until it is ended, and says what it was asked."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from tests.fleet.agents import METRICS, Behaviour
from tests.fleet.punctuality import summary
from tests.fleet.server import CannotStart, FleetServer, Plan


def main() -> int:
    """Serve. The first line on standard output introduces the fleet, the last is what became of it, both JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description="Simulates many agents on 127.0.0.0/8.")
    parser.add_argument("--agents", type=int, default=200, metavar="N")
    parser.add_argument("--network", default=Plan.network, help="addresses to use, within 127.0.0.0/8 (%(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="0 finds a free one (%(default)s)")
    parser.add_argument("--needs-token", action="store_true", help="refuse to tell metrics without a token, any token")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="speak https with DIR/cert.pem, key.pem and ca.pem")
    for behaviour in (Behaviour.DEAD, Behaviour.SILENT, Behaviour.DRIPPING):
        parser.add_argument(
            f"--{behaviour}", type=int, nargs="+", action="extend", default=[], metavar="NUMBER", help="which are so"
        )
    parser.add_argument("--interval", type=float, default=1.0, help="of the polls that are expected, in seconds")
    parser.add_argument("--path", default=METRICS, help="that is expected to be asked for (%(default)s)")
    parser.add_argument("--controlled", action="store_true", help="obey orders on standard input, end with it")
    options = parser.parse_args()
    behaviours = tuple(
        (number, behaviour)
        for behaviour in (Behaviour.DEAD, Behaviour.SILENT, Behaviour.DRIPPING)
        for number in getattr(options, behaviour)
    )
    try:
        plan = Plan(options.agents, options.network, options.port, behaviours, options.needs_token, options.tls)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            statement = runner.run(_serve(plan, controlled=options.controlled))
    except CannotStart as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    if not options.controlled:
        print(json.dumps(summary(statement, options.path, options.interval), indent=2))
    return 0


async def _serve(plan: Plan, *, controlled: bool) -> dict[str, Any]:
    server = FleetServer(plan)
    await server.run(controlled=controlled)
    return server.statement()


if __name__ == "__main__":
    sys.exit(main())
