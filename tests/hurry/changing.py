"""An agent whose reports have other keys from time to time, and that is started anew: with a real agent's memory."""

import re
import time
from typing import Any

from monitoring_agent import since
from monitoring_agent.recall import Recall, Report
from monitoring_agent.shared import wire
from tests.fleet.agents import Behaviour, SimulatedAgent
from tests.fleet.content import Content
from tests.fleet.movement import Counter, Gauge

_BYTES, _BUSY = Counter(10**9, 12_345.0, 3, 0), Gauge(12.5, 0.5, 5, 2)
_ASKED = re.compile(rb"(?:changes=(\d+)&life=(\S+)&)?layout=(\d+)-(\d+)")


class ChangingAgent(SimulatedAgent):
    """Tells of interfaces, and answers as monitoring_agent does."""

    def __init__(self, number: int, host: str, port: int, content: Content) -> None:
        super().__init__(number, host, port, content, Behaviour.GOOD)
        self.interfaces = ["eth0"]
        self.start_anew()

    def start_anew(self) -> None:
        """Another life: nothing is remembered of the one before."""
        self._answers = 0
        self._started_at = round(time.time(), 3)
        self._recall = Recall()
        self._newest: dict[str, Any] | None = None

    def plug_in(self) -> None:
        """From now on there are interfaces whose names were never heard."""
        self.interfaces += [f"veth{time.time():.0f}{one}" for one in "abcdefgh"]

    def unplug(self) -> None:
        """They are gone again."""
        del self.interfaces[1:]

    def _sample(self) -> None:
        """Make the reports up to now."""
        sequence = 0 if self._newest is None else self._newest["sequence"]
        while sequence < self._answers:
            sequence += 1
            document = {
                "schema": wire.SCHEMA,
                "sequence": sequence,
                "collected_at": round(time.time() - (self._answers - sequence), 3),
                "host": {"hostname": "changing", "machine_id": "c" * 32},
                "agent": {"version": wire.VERSION, "started_at": self._started_at},
                "cpu": {"busy_percent": _BUSY.at(sequence)},
                "network": {
                    name: {"received_bytes_total": _BYTES.at(sequence + place), "up": True}
                    for place, name in enumerate(self.interfaces)
                },
            }
            documents = (self._newest, document) if self._newest is not None else None
            self._recall.add(Report(sequence, time.monotonic(), wire.encode(document), documents))
            self._newest = document

    def _past(self, query: bytes) -> bytes | None:
        self._sample()
        if not query.startswith(b"past="):
            return None
        return since.past(self._recall, int(query[5:].partition(b"&")[0]), 1, by_numbers=True)

    def _changes(self, query: bytes) -> bytes | None:
        asked = _ASKED.fullmatch(query)
        assert asked, query
        is_known = asked[2] == repr(self._started_at).encode()
        return since.moves(self._recall, int(asked[1]) if is_known else -1, 1, (int(asked[3]), int(asked[4])))
