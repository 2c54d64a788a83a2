"""One dead, one silent and one dripping agent among twenty: what they cost the others."""

import time
from pathlib import Path
from typing import Any

from tests.bench import ours
from tests.bench.asking import wait_until
from tests.bench.figures import Row, milliseconds, spread, table
from tests.bench.options import INTERVAL_SECONDS, Options
from tests.fleet.agents import METRICS, Behaviour
from tests.fleet.process import Fleet
from tests.fleet.punctuality import of_fleet

AGENTS = 20
BAD = {4: Behaviour.DEAD, 9: Behaviour.SILENT, 14: Behaviour.DRIPPING}
# Long enough for each of the bad to be given up, blacklisted, and asked again many times.
MAX_SECONDS = 30.0


def measure(options: Options, directory: Path) -> dict[str, Any]:
    """The supervisor from its start, over a fleet with faults. Raises CannotMeasure, FleetFailed."""
    with Fleet(AGENTS, BAD, needs_token=True) as fleet:
        good = [name for number, name in enumerate(fleet.names) if number not in BAD]
        with ours.supervisor(directory, fleet.names) as child:

            def all_asked() -> bool:
                agents = fleet.statement()["agents"]
                return all(agents[name]["asked"].get(METRICS) for name in good)

            wait_until(child, "a first poll of every agent", all_asked)
            fleet.forget()
            time.sleep(min(MAX_SECONDS, max(3.0, options.seconds)))
            statement = fleet.statement()
            child.require_running()
            document, log = ours.snapshot(directory), child.log_lines()
        bad = {fleet.names[number]: behaviour for number, behaviour in BAD.items()}
    punctuality = of_fleet(statement, METRICS, INTERVAL_SECONDS, good)
    known = document.get("agents", {})
    return {
        "seconds": statement["until"] - statement["since"],
        "agents": AGENTS,
        "bad": {
            name: {"behaviour": behaviour, **{key: known.get(name, {}).get(key) for key in ("state", "failure")}}
            for name, behaviour in bad.items()
        },
        "polls_of_the_good": len(punctuality.lateness),
        "lateness_seconds": spread(punctuality.lateness),
        "polls_lost": punctuality.missed,
        # The supervisor ends a connection on which a poll failed: each good agent still has its first.
        "polls_failed": sum(statement["agents"][name]["connections"] for name in good),
        "good_not_up": sorted(name for name in good if known.get(name, {}).get("state") != "up"),
        "log_lines_about_the_bad": [line for line in log if any(name in line for name in bad)],
    }


def tables(result: dict[str, Any]) -> str:
    """The result for people."""
    lateness = result["lateness_seconds"]
    rows = [
        Row("lateness of polls, p50", (milliseconds(lateness["p50"]),)),
        Row("lateness of polls, p99", (milliseconds(lateness["p99"]),), "<= 50 ms"),
        Row("lateness of polls, max", (milliseconds(lateness["max"]),)),
        Row("polls", (f"{result['polls_of_the_good']:,}",)),
        Row("polls lost", (str(result["polls_lost"]),), "0"),
        Row("polls failed", (str(result["polls_failed"]),), "0"),
        Row("agents not up", (str(len(result["good_not_up"])),), "0"),
    ]
    words = {name: about["failure"]["detail"] if about["failure"] else "-" for name, about in result["bad"].items()}
    notes = [f"{about['behaviour']}: {about['state']}, {words[name]}" for name, about in result["bad"].items()]
    title = f"One dead, one silent and one dripping agent among {result['agents']}: the others"
    return table(title, (f"{result['seconds']:.0f} s",), rows, notes)
