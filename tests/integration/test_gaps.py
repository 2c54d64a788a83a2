"""What the supervisor missed of an agent's reports is filled from the agent's memory."""

import itertools
import signal
import time

from monitoring_supervisor.gaps import PEACE_SECONDS, QUESTIONS_PER_SECOND
from monitoring_supervisor.store.reading import Reader
from tests.fleet.agents import METRICS, PAST, Behaviour
from tests.fleet.process import Fleet
from tests.integration.conftest import MakeAgent, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, wait_for


def sequences(supervisor: SupervisorDaemon, name: str) -> list[int]:
    """All that history has of the agent."""
    with Reader(supervisor.directory / "history.db") as reader:
        found = sorted(report["sequence"] for _, report in reader.reports(name, 0, time.time() + 3600))
        assert reader.damaged == 0
    return found


def is_without_gap(some: list[int], reaching: int) -> bool:
    return bool(some) and some[-1] >= reaching and some == list(range(some[0], some[-1] + 1))


def test_no_report_is_missing_after_a_kill_a_restart_and_a_pause_of_the_supervisor(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = make_supervisor(agent.name, REQUEST_TIMEOUT="5")
    supervisor.start().wait_ready()
    wait_for(lambda: supervisor.agent(agent.name)["report"])
    time.sleep(12)  # something is written by now
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    before = sequences(supervisor, agent.name)
    assert before
    time.sleep(5)
    supervisor.notifications.clear()
    supervisor.start().wait_ready()
    wait_for(lambda: is_without_gap(sequences(supervisor, agent.name), before[-1] + 10), 40)
    supervisor.signal(signal.SIGSTOP)
    time.sleep(9)  # longer than what an agent says without being asked for its past
    supervisor.signal(signal.SIGCONT)
    paused_at = agent.report()["sequence"]
    wait_for(lambda: is_without_gap(sequences(supervisor, agent.name), paused_at), 40)
    assert supervisor.stop() == 0
    assert sequences(supervisor, agent.name)[0] == before[0]


def test_a_rack_that_returns_is_asked_for_all_that_it_remembers_and_not_all_at_once(
    make_supervisor: MakeSupervisor,
) -> None:
    with Fleet(100, network="127.26.0.0/16") as fleet:
        usual = {"INTERVAL_METRICS_CHECK": "1", "INTERVAL_HEALTH_CHECK": "1", "REQUEST_TIMEOUT": "5"}
        supervisor = make_supervisor(*fleet.names, **usual)
        supervisor.start().wait_ready()
        wait_for(lambda: len(supervisor.document()["whitelist"]) == 100, 20)
        time.sleep(10)  # something of each is written by now
        fleet.behave(range(100), Behaviour.DEAD)
        wait_for(lambda: len(supervisor.document()["blacklist"]) == 100, 20)
        time.sleep(3)
        fleet.behave(range(100), Behaviour.GOOD)
        fleet.forget()
        wait_for(lambda: len(supervisor.document()["whitelist"]) == 100, 20)
        agents = supervisor.document()["agents"]
        reached = {name: agents[name]["report"]["sequence"] for name in fleet.names}
        wait_for(lambda: all(is_without_gap(sequences(supervisor, name), reached[name]) for name in fleet.names), 40)
        asked = fleet.statement()["agents"].values()
        assert all(one["asked"][PAST][0] - one["asked"][METRICS][0] > PEACE_SECONDS / 2 for one in asked)
        at = sorted(itertools.chain.from_iterable(one["asked"][PAST] for one in asked))
        # As many a second as were settled, and a few that came together on a slow machine.
        in_a_second = [sum(began <= one < began + 1 for one in at) for began in at]
        assert len(at) >= 100
        assert max(in_a_second) <= 2 * QUESTIONS_PER_SECOND
