"""What arbiter and worker hold together."""

from pathlib import Path

from tests.integration.conftest import MakeAgent
from tests.integration.daemons import wait_for

# A megabyte or two above what was measured on Debian 12 and 13, and below what it is with all of gunicorn and Flask.
BUDGET_KIB = 30_500


def _own_kib(pid: int) -> int:
    """What is no file's, and so nobody else's: a page that both have counts half in each."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(rollup.partition("Pss_Anon:")[2].split()[0])


def test_arbiter_and_worker_keep_to_their_budget_of_memory(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    wait_for(lambda: agent.report()["sequence"] >= 5)
    for path in ("/healthcheck", "/metrics", "/getmetrics?since=1", "/getmetrics?changes=1&layout=0-0"):
        assert agent.get(path)[0] == 200
    both = [agent.process.pid, agent.worker_pid()]
    assert sum(map(_own_kib, both)) < BUDGET_KIB, [(pid, _own_kib(pid)) for pid in both]
