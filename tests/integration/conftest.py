"""Daemons for a test, ended afterwards however it went."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import AgentDaemon, Daemon, SupervisorDaemon
from tests.integration.rogues import Behaviour, Rogue, well_behaved

MakeAgent = Callable[..., AgentDaemon]
MakeSupervisor = Callable[..., SupervisorDaemon]
MakeRogue = Callable[..., Rogue]


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    started: list[Daemon] = []
    yield started
    for daemon in started:
        daemon.stop()


@pytest.fixture
def make_agent(daemons: list[Daemon], tmp_path: Path) -> MakeAgent:
    """Makes an agent that is not started yet."""

    def make(**settings: str) -> AgentDaemon:
        agent = AgentDaemon(tmp_path / f"agent{len(daemons)}", **settings)
        daemons.append(agent)
        return agent

    return make


@pytest.fixture
def make_supervisor(daemons: list[Daemon], tmp_path: Path) -> MakeSupervisor:
    """Makes a supervisor that is not started yet, watching these agents."""

    def make(*agents: str, **settings: str) -> SupervisorDaemon:
        supervisor = SupervisorDaemon(tmp_path / f"supervisor{len(daemons)}", *agents, **settings)
        daemons.append(supervisor)
        return supervisor

    return make


@pytest.fixture
def make_rogue() -> Iterator[MakeRogue]:
    """Makes a server that behaves in a given way."""
    made: list[Rogue] = []

    def make(behave: Behaviour = well_behaved, host: str = "127.0.0.1", port: int = 0) -> Rogue:
        made.append(Rogue(behave, host, port))
        return made[-1]

    yield make
    for server in made:
        server.close()
