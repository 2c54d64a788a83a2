"""What the supervisor missed of an agent's reports is filled from the agent's memory."""

import signal
import time

from monitoring_supervisor.store.reading import Reader
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
