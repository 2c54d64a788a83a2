"""Runs the command `monitoring-supervisor` in a hurry: `python -m tests.hurry DIRECTORY`, as test_memory.py does."""

import asyncio
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import uvloop

from tests.hurry.loop import Clock, HurriedLoop
from tests.hurry.network import Network
from tests.hurry.plan import Plan


def main() -> None:
    """Live through the plan, and say on standard output what was held."""
    directory = Path(sys.argv[1])
    clock, network = Clock(), Network()
    clock.install()  # before anything of the supervisor is imported that takes hold of the clock
    network.install()
    plan = Plan(directory, network)
    living = set()  # the loop itself does not keep it from being collected as garbage

    def new_event_loop() -> HurriedLoop:
        loop = HurriedLoop(clock, network)
        life = loop.create_task(plan.run(loop))
        living.add(life)
        life.add_done_callback(end)
        return loop

    def end(life: asyncio.Task[dict[str, Any]]) -> None:
        if life.exception():
            traceback.print_exception(life.exception())
            os._exit(1)
        print(json.dumps(life.result()), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    uvloop.new_event_loop = new_event_loop  # type: ignore[assignment]
    os.environ["STATE_DIRECTORY"] = str(directory)
    sys.argv = ["monitoring-supervisor", "--config", str(directory / "monitoring.env")]
    runpy.run_module("monitoring_supervisor.__main__", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
