"""kill -9 at any moment: metrics_data.json is a whole document every time."""

import concurrent.futures
import json
import random
import signal
import time
from pathlib import Path

from monitoring_agent.shared import wire
from tests.integration.daemons import SupervisorDaemon
from tests.integration.rogues import Rogue, http_answer, well_behaved

KILLS = 200
AT_ONCE = 2

# A snapshot large enough that writing it takes a while.
LARGE = wire.encode({"schema": 1, "sequence": 1, "collected_at": 1.5, "padding": {str(n): n for n in range(5000)}})


def answer(connection: object, path: str) -> bool:
    if path.startswith("/getmetrics"):
        connection.sendall(http_answer(LARGE))  # type: ignore[attr-defined]
        return True
    return well_behaved(connection, path)  # type: ignore[arg-type]


def kill_at_random_moments(directory: Path, seed: int, kills: int) -> tuple[int, int]:
    """Returns how often the supervisor was killed, and how often in the middle of a write."""
    moments = random.Random(seed)
    servers = [Rogue(answer) for _ in range(4)]
    supervisor = SupervisorDaemon(
        directory, *(server.name for server in servers), INTERVAL_METRICS_CHECK="0.1", INTERVAL_HEALTH_CHECK="0.1"
    )
    beside = directory / "metrics_data.json.new"
    caught = 0
    try:
        for number in range(kills):
            supervisor.start()
            started = time.monotonic()
            # Wait for the moment at which a write begins, for a random time after it, or a random time at all.
            latest = started + 3.0
            if number % 2:
                while not beside.exists() and time.monotonic() < latest:
                    pass
                time.sleep(moments.choice((0.0, 0.0, 0.0005, 0.002)))
            else:
                while not supervisor.file.exists() and time.monotonic() < latest:
                    time.sleep(0.005)
                time.sleep(0.25 + moments.random() * 0.35)
            supervisor.signal(signal.SIGKILL)
            supervisor.wait()
            caught += beside.exists()
            document = json.loads(supervisor.file.read_bytes())
            assert document["schema"] == 1
            assert len(document["agents"]) == len(servers)
    finally:
        supervisor.stop()
        for server in servers:
            server.close()
    assert not list(directory.glob("*.damaged-*"))
    return kills, caught


def test_the_file_parses_after_every_kill(tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(
            lambda seed: kill_at_random_moments(tmp_path / str(seed), seed, KILLS // AT_ONCE), range(AT_ONCE)
        )
        kills, caught = (sum(numbers) for numbers in zip(*outcomes, strict=True))
    assert kills == KILLS
    assert caught > 0, "none of the kills came in the middle of a write"
