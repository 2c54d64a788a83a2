"""Who reads history for long, with Python's sqlite3: the supervisor goes on, and its disk has its space again."""

import contextlib
import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitoring_agent.shared import wire
from monitoring_supervisor.store.database import LOG_BYTES
from monitoring_supervisor.store.reading import Reader
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import wait_for
from tests.integration.rogues import HEALTHY, Behaviour, http_answer
from tests.integration.test_ctl import ctl

# Begins to read all blocks in a transaction, waits for a line, and reads the rest.
SLOW_READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM blocks").fetchone()[0], flush=True)
rows = connection.execute("SELECT id, body FROM blocks")
rows.fetchone()
sys.stdin.readline()
print(1 + sum(1 for _ in rows), flush=True)
"""
NOISE = [random.Random(number).randbytes(25_000).hex() for number in range(64)]


def talks_much() -> Behaviour:
    """An agent whose every report is new through and through."""
    sequence, started_at = 0, time.time()

    def behave(connection: socket.socket, path: str) -> bool:
        nonlocal sequence
        if not path.startswith("/getmetrics"):
            connection.sendall(HEALTHY)
            return True
        sequence += 1
        report = {"schema": 1, "sequence": sequence, "collected_at": time.time(), "agent": {"started_at": started_at}}
        connection.sendall(http_answer(wire.encode({**report, "noise": random.choice(NOISE)[sequence % 9 :]})))
        return True

    return behave


@contextmanager
def slow_reader(history: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_READER, str(history)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def sequences(history: Path, name: str) -> list[int]:
    with Reader(history) as reader:
        found = [report["sequence"] for _, report in reader.reports(name, 0, time.time() + 3600)]
        assert reader.damaged == 0
        return found


def test_who_reads_for_long_holds_up_nothing_and_the_log_is_given_back_after(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    agents = [make_rogue(talks_much(), f"127.0.8.{number}") for number in range(1, 17)]
    names = [agent.name for agent in agents]
    supervisor = make_supervisor(*names, REQUEST_TIMEOUT="5")
    history, log = (supervisor.directory / name for name in ("history.db", "history.db-wal"))
    supervisor.start().wait_ready()
    wait_for(lambda: history.exists() and all(sequences(history, name) for name in names), 60)

    def troubles() -> list[str]:
        told: list[str] = json.loads(ctl(supervisor, "status", "--json").stdout)["supervisor"]["troubles"]
        return told

    assert troubles() == []
    with slow_reader(history) as reader:
        assert reader.stdin
        assert reader.stdout
        seen = int(reader.stdout.readline())
        # Round after round is written meanwhile, although nothing can be carried over from the log.
        for _ in range(3):
            before = {name: len(sequences(history, name)) for name in names}
            wait_for(lambda before=before: all(len(sequences(history, name)) > before[name] for name in names), 60)  # type: ignore[misc]
        wait_for(lambda: log.stat().st_size > LOG_BYTES * 5 // 4, 180)
        wait_for(lambda: ["its log grows until that ends" in trouble for trouble in troubles()] == [True], 180)
        assert seen > 0
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert int(reader.stdout.readline()) == seen, "it saw what there was when it began"
        assert reader.wait(10) == 0
    wait_for(lambda: log.stat().st_size <= LOG_BYTES and troubles() == [], 60)
    (line,) = [line for line in supervisor.lines if "history" in line or " is down" in line]
    assert line.endswith(f"somebody has been reading {history} for long; its log grows until that ends")
    assert supervisor.stop() == 0
    for name in names:
        found = sequences(history, name)
        assert found == list(range(found[0], found[0] + len(found))), "not one is missing"
    with contextlib.closing(sqlite3.connect(history)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
