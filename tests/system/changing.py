"""An agent whose metrics come and go and whose names are hostile, to run in a machine beside the real one.

    python3 -m tests.system.changing ADDRESS PORT FILE

Each report that it says stands in FILE, a line each, before anybody gets it.
"""

import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.integration.rogues import HEALTHY, Rogue, http_answer

# As Python reads it again; the half of a pair of UTF-16 in it is a mark for no letter then.
HOSTILE = 'e"th\\0\n\u2028\x1b[31m\0.日本\U0001f600'
HALF = "\ud800"


def report(sequence: int) -> dict[str, Any]:
    """One report. Its numbers are such that a digit that is lost shows."""
    told: dict[str, Any] = {
        "schema": 1,
        "sequence": sequence,
        "collected_at": time.time(),
        "host": {"hostname": HOSTILE + HALF, "machine_id": HALF},
        "load": {"load_1m": sequence / 7, "tasks": 2**53 + sequence},
        "memory": {"used_bytes": 2**64 - sequence, "free_bytes": -(2**63) + sequence},
        "network": {HOSTILE + HALF: {"sent_bytes_total": sequence * 1000}},
        "clock": {"large": 10**30 + sequence, "tiny": sequence / 7e300, "none": None},
        "list": [{"a": HALF, "b": 2**70}, [], {}],
        # What the lines themselves call whose and when.
        "agent": -1,
        "at": -2,
    }
    if sequence % 2:
        told["network"]["eth0.100"] = {"sent_bytes_total": 3**sequence, "up": True}
    if sequence > 5:
        told["gpu"] = {"temperature_celsius": 40 + sequence / 3}
    if sequence == 7:
        told["load"] = "it failed"
    if sequence == 8:
        del told["load"]
    return told


def main() -> None:
    address, port, file = sys.argv[1:]
    lock = threading.Lock()
    sequence = 0

    def behave(connection: socket.socket, path: str) -> bool:
        nonlocal sequence
        if not path.startswith("/getmetrics"):
            connection.sendall(HEALTHY)
            return True
        with lock:
            sequence += 1
            text = json.dumps(report(sequence))
            with Path(file).open("a", encoding="ascii") as said:
                said.write(text + "\n")
        connection.sendall(http_answer(text.encode("ascii")))
        return True

    Rogue(behave, address, int(port))
    threading.Event().wait()


if __name__ == "__main__":
    main()
