"""Two hours of polls: what the supervisor holds does not grow with them."""

import gc
import sqlite3
import time
from pathlib import Path

from monitoring_supervisor.store.database import Event
from tests.integration.daemons import wait_for
from tests.unit.test_history import A, B, Watched

NAMES = (A, B, "10.0.0.3:5000", "10.0.0.4:5000")


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def _held(watched: Watched, mark: str) -> tuple[int, int]:
    """How many objects there are, and KiB, when the thread has written all that was handed over."""
    watched.history.keeper.put_event(Event(mark, watched.now, "up"))
    connection = sqlite3.connect(f"file:{watched.path}?mode=ro", uri=True)
    wait_for(lambda: connection.execute("SELECT 1 FROM agents WHERE name = ?", (mark,)).fetchone(), 30)
    connection.close()
    # The least of some looks: the thread may be putting minutes together, which takes objects for as long as it lasts.
    looks = []
    for _ in range(5):
        gc.collect()
        looks.append((len(gc.get_objects()), _resident_kib()))
        time.sleep(0.25)
    return min(objects for objects, _ in looks), min(resident for _, resident in looks)


def test_memory_is_flat_over_two_hours_of_polls(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "history.db")

    def run(minutes: int) -> None:
        for _ in range(minutes):
            watched.run(60, *NAMES)
            for said in watched.said.values():
                del said[:-1]  # the memory of the test itself

    try:
        run(30)
        objects, resident = _held(watched, "half an hour")
        run(120)
        assert watched.said[A][-1]["sequence"] == 9000
        more_objects, more_resident = _held(watched, "two hours more")
        assert more_objects < objects + 500
        assert more_resident < resident + 10 * 1024
    finally:
        watched.history.close(20.0)
