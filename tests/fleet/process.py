"""A simulated fleet for tests and benchmarks: `with Fleet(200) as fleet: …`."""

import json
import selectors
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fleet.agents import Behaviour

CHECKOUT = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 60.0


class FleetFailed(Exception):
    """The process of the fleet did not start, or ended; it said why on standard error."""


class Fleet:
    """A process of simulated agents, started by `with` and ended with it.

    `names` are the agents as a whitelist names them, in order; a behaviour is for the agent of that number; `tls` is as
    in Plan.
    """

    def __init__(
        self,
        agents: int,
        behaviours: Mapping[int, Behaviour] | None = None,
        *,
        network: str = "127.1.0.0/16",
        port: int = 0,
        needs_token: bool = False,
        tls: Path | None = None,
    ) -> None:
        self._arguments = ["--agents", str(agents), "--network", network, "--port", str(port)]
        for number, behaviour in (behaviours or {}).items():
            if behaviour is not Behaviour.GOOD:
                self._arguments += [f"--{behaviour}", str(number)]
        if needs_token:
            self._arguments.append("--needs-token")
        if tls:
            self._arguments += ["--tls", str(tls)]
        self.introduction: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """Every agent, also the dead, as `address:port`."""
        return list(self.introduction["agents"])

    @property
    def pid(self) -> int:
        """The process of the fleet."""
        return self._process.pid

    def statement(self) -> dict[str, Any]:
        """Who was asked what and when since `forget`, as FleetServer.statement says it; for tests.fleet.punctuality."""
        return self._order(order="statement")

    def forget(self) -> None:
        """Begin the records anew."""
        self._order(order="forget")

    def behave(self, agents: Iterable[int], behaviour: Behaviour) -> None:
        """Have the agents of these numbers behave so from now on."""
        self._order(order="behave", agents=list(agents), behaviour=behaviour)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet", "--controlled", *self._arguments],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for its owner, who ends it in order
        )
        try:
            self.introduction = self._read()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise FleetFailed(f"the fleet (process {self.pid}) has ended") from None
        answer = self._read()
        if "error" in answer:
            raise FleetFailed(answer["error"])
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_SECONDS):
                raise FleetFailed(f"the fleet (process {self.pid}) said nothing for {ANSWER_SECONDS:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise FleetFailed(f"the fleet (process {self.pid}) ended without a word; see standard error")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        process = self._process
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
