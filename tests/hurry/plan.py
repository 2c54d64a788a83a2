"""What happens to the hurried supervisor: ten minutes with something of everything, again and again."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from monitoring_agent.shared import tls
from tests.fleet.agents import Behaviour, SimulatedAgent
from tests.fleet.content import contents
from tests.hurry.asker import Asker
from tests.hurry.changing import ChangingAgent
from tests.hurry.held import look
from tests.hurry.loop import HurriedLoop
from tests.hurry.network import Network, hang_up

PORT = 5000
ROUND_SECONDS = 600
# Half an hour, until everything has happened some times and all that is bounded is full; then two hours.
ROUNDS_BEFORE, ROUNDS = 3, 12
QUESTION_SECONDS = 5
SECURE_HOST = "127.0.0.5"
# Guests are on the list for a quarter of a minute, some at a time; each is somebody new.
GUESTS_FROM, GUESTS_UNTIL, GUESTS_SECONDS, NEW_NAMES = 330, 480, 15, 5

Event = Callable[[], Coroutine[None, None, None] | None]


class Plan:
    """Owns the agents, and writes the supervisor's files in its directory, where those of the test lie already."""

    def __init__(self, directory: Path, network: Network) -> None:
        self._directory = directory
        self._network = network
        self._content = contents(json.loads((directory / "report.json").read_bytes()), 1)[0]
        self._names = 0
        self._asker = Asker(directory / "supervisor.sock")
        self._steady, self._mortal, self._sulky, self._secure = map(self._agent, (1, 2, 3, 5))
        self._changing = ChangingAgent(4, "127.0.0.4", PORT, self._content)
        network.let(self._changing, Behaviour.GOOD)
        network.names["mortal.test"] = self._mortal.host
        files = (directory / name for name in ("cert.pem", "key.pem", "ca.pem"))
        context = tls.serving(tls.Files(*files))
        assert context
        network.tls[SECURE_HOST] = context
        self._configure()
        self._invite()

    async def run(self, loop: HurriedLoop) -> dict[str, Any]:
        """Have it all happen. Returns what was held before and after."""
        began = loop.time() + 10
        found: dict[str, Any] = {}
        events = self._events()
        for number in range(ROUNDS_BEFORE + ROUNDS):
            if number == ROUNDS_BEFORE:
                found["before"] = await self._look(loop)
            for second in range(0, ROUND_SECONDS, QUESTION_SECONDS):
                await asyncio.sleep(began + number * ROUND_SECONDS + second - loop.time())
                if second in events and (going_on := events[second]()):
                    await going_on
                await self._asker.ask_next()
        await asyncio.sleep(began + (ROUNDS_BEFORE + ROUNDS) * ROUND_SECONDS - loop.time())
        found["after"] = await self._look(loop)
        return found

    async def _look(self, loop: HurriedLoop) -> dict[str, Any]:
        """What is held, and what was done so far."""
        status = await self._asker.ask(b'{"ask":"status"}\n')
        done = {
            "at": status["at"],
            "polls": status["supervisor"]["polls_total"],
            "up": status["counts"]["up"],
            "watched": sum(status["counts"].values()),
            "names": self._names,
        }
        return {"done": done, **look(loop)}

    def _events(self) -> dict[int, Event]:
        let = self._network.let
        events: dict[int, Event] = {
            20: lambda: let(self._mortal, Behaviour.DEAD),
            80: lambda: let(self._mortal, Behaviour.GOOD),
            100: lambda: let(self._sulky, Behaviour.SILENT),
            130: lambda: let(self._sulky, Behaviour.GOOD),
            150: lambda: let(self._sulky, Behaviour.DRIPPING),
            160: lambda: let(self._sulky, Behaviour.GOOD),
            180: self._cut,
            200: self._mend,
            230: self._changing.plug_in,
            260: self._changing.unplug,
            270: lambda: let(self._sulky, Behaviour.BABBLING),
            280: lambda: let(self._sulky, Behaviour.GOOD),
            290: self._changing.start_anew,
            310: lambda: hang_up(self._steady),
            GUESTS_UNTIL: self._invite,
            500: lambda: os.kill(os.getpid(), signal.SIGHUP),
            550: lambda: self._reload(mistakes=1, INTERVAL_HEALTH_CHECK="often"),
            555: self._reload,
            560: self._asker.go_away,
            570: self._asker.begin_and_forget,
        }
        for second in range(510, 550, 10):
            events[second] = lambda: self._reload(INTERVAL_HEALTH_CHECK="2", REQUEST_TIMEOUT="1.5")
            events[second + 5] = self._reload
        for second in range(GUESTS_FROM, GUESTS_UNTIL, GUESTS_SECONDS):
            events[second] = self._invite_new_ones
        return events

    def _agent(self, number: int) -> SimulatedAgent:
        host = f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        agent = SimulatedAgent(number, host, PORT, self._content, Behaviour.GOOD)
        self._network.let(agent, Behaviour.GOOD)
        return agent

    def _cut(self) -> None:
        self._network.cut = True
        for agent in self._network.agents.values():
            hang_up(agent)

    def _mend(self) -> None:
        self._network.cut = False

    async def _reload(self, mistakes: int = 0, **settings: str) -> None:
        self._configure(**settings)
        found = await self._asker.reload()
        assert len(found) == mistakes, found

    def _invite_new_ones(self) -> None:
        """Of names that were never heard: agents, one of them good, an address at which nobody is, and no address."""
        first = self._names
        self._names += NEW_NAMES
        good, *babbling = (self._agent((1 << 16) + number) for number in range(first, first + 3))
        for agent in babbling:
            self._network.let(agent, Behaviour.BABBLING)
        names = [good.name, *(agent.name for agent in babbling)]
        self._invite(*names, f"127.2.{first >> 8}.{first & 255}:{PORT}", f"gone-{first}.test")

    def _invite(self, *guests: str) -> None:
        """Have the whitelist file name these besides whom it always names. Agents that it named before are gone."""
        lines = ["127.0.0.3 role=sulky\n", "127.0.0.4\n", f"https://{SECURE_HOST}\n"]
        self._write("agents", "".join([*lines, *(f"{guest} role=guest\n" for guest in guests)]))
        for host, agent in list(self._network.agents.items()):
            if host.startswith("127.1.") and agent.name not in guests:
                self._network.let(agent, Behaviour.DEAD)
                del self._network.agents[host]

    def _configure(self, **settings: str) -> None:
        """Write the settings, and certificates that look like new ones."""
        directory = self._directory
        usual: dict[str, Any] = {
            "WHITELIST_AGENT": "127.0.0.1,mortal.test",
            "WHITELIST_FILE": directory / "agents",
            "TOKEN_FILE": directory / "token",
            "CONTROL_SOCKET": directory / "supervisor.sock",
            "HISTORY_REPORTS_HOURS": "1",
            "TLS_CERT": directory / "cert.pem",
            "TLS_KEY": directory / "key.pem",
            "TLS_CA": directory / "ca.pem",
        }
        self._write("cert.pem", (directory / "cert.pem").read_text(encoding="ascii"))
        self._write("monitoring.env", "".join(f"{key}={value}\n" for key, value in (usual | settings).items()))

    def _write(self, name: str, text: str) -> None:
        beside = self._directory / f"{name}.new"
        beside.write_text(text, encoding="ascii")
        beside.replace(self._directory / name)
