"""Which machine answers under which name: one that becomes another, and two names for one. Pure."""

from collections import Counter

from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.patch import Document

# An agent that says another identity each time is told of so often.
MAX_CHANGES = 5


class Machines:
    """The identity of the machine (`host.machine_id`) behind each name, as it was last told."""

    def __init__(self) -> None:
        self._machines: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        self._changes: Counter[str] = Counter()

    def know(self, name: str, report: Document | None) -> None:
        """Take in a report from before a restart, of which nothing is to be said."""
        machine = _identity(report)
        if machine is not None:
            self._put(name, machine)

    def hear(self, name: str, report: Document | None) -> list[str]:
        """Take in a report of this agent. Returns what is new about its machine, a line each."""
        machine = _identity(report)
        before = self._machines.get(name)
        if machine is None or machine == before:
            return []
        self._put(name, machine)
        lines = []
        self._changes[name] += before is not None
        if self._changes[name] == MAX_CHANGES:
            return [f"{name} says again and again that it is another machine; no more is told of that"]
        if self._changes[name] > MAX_CHANGES:
            return []
        if before is not None:
            lines.append(f"{name} is another machine than before; its history goes on under the same name")
        others = sorted(self._names[machine] - {name})
        if others:
            lines.append(
                f"{name} and {', '.join(others)} are one machine; it is asked, and counted, once for each name"
            )
        return lines

    def keep(self, names: set[str]) -> None:
        """Forget all names but these."""
        for name in self._machines.keys() - names:
            self._drop(name)
            self._changes.pop(name, None)

    def _put(self, name: str, machine: str) -> None:
        self._drop(name)
        self._machines[name] = machine
        self._names.setdefault(machine, set()).add(name)

    def _drop(self, name: str) -> None:
        machine = self._machines.pop(name, None)
        if machine is not None:
            names = self._names[machine]
            names.discard(name)
            if not names:
                del self._names[machine]


def _identity(report: Document | None) -> str | None:
    host = report.get("host") if report else None
    machine = host.get("machine_id") if isinstance(host, dict) else None
    return printable(machine) if isinstance(machine, str) and machine else None
