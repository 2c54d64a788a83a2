"""The command `python -m tests.bench`: what we cost beside Prometheus and node_exporter. `make bench` runs it."""

import argparse
import json
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import agent, environment, faults, history, profile, sizes, supervisor, tls
from tests.bench.children import INTERRUPTS, CannotMeasure, interrupt
from tests.bench.options import Options
from tests.fleet.process import FleetFailed

PARTS = {
    "supervisor": supervisor,
    "profile": profile,
    "sizes": sizes,
    "history": history,
    "agent": agent,
    "faults": faults,
    "tls": tls,
}


def main() -> int:
    """Measure, say what came out, and leave nothing behind. Slow is no failure; what cannot be measured is."""
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures this project, and its rivals.")
    parser.add_argument(
        "--seconds", type=float, default=default.seconds, help="to measure each side of a comparison (%(default)s)"
    )
    parser.add_argument("--agents", type=int, default=default.agents, help="simulated, to be asked (%(default)s)")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON there, not to standard output")
    arguments = parser.parse_args()
    if arguments.seconds <= 0 or arguments.agents <= 0:
        parser.error("--seconds and --agents must be more than nothing")
    try:
        # Before minutes are spent on what then could not be kept.
        output = arguments.json.open("w") if arguments.json else sys.stdout
    except OSError as error:
        parser.error(f"--json: {arguments.json} cannot be written: {error.strerror}")
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    _allow_descriptors()
    parts = [arguments.only] if arguments.only else list(PARTS)
    try:
        document = _measure(parts, Options(arguments.seconds, arguments.agents))
    except (CannotMeasure, FleetFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(json.dumps(document), file=output, flush=True)
    return 0


def _measure(parts: list[str], options: Options) -> dict[str, Any]:
    about = environment.describe()
    print(
        f"{about['version']} ({about['revision']}) on {about['distribution']}, Linux {about['kernel']},"
        f" {about['cpus']} x {about['processor']}, Python {about['python']}, load {about['load_before']:.2f}\n",
        flush=True,
    )
    document: dict[str, Any] = {"environment": about}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="monitoring-bench-") as directory:
            result = PARTS[part].measure(options, Path(directory))
        print(PARTS[part].tables(result), flush=True)
        document[part] = result
    return document


def _allow_descriptors() -> None:
    """The supervisor inherits the limit; as a service it has one that is high enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
