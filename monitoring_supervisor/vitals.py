"""What people ask of a report first: load, processors, memory, the fullest disk, the busiest network interface. Pure.

A report is whatever the agent sent: anything may be missing or of another type.
"""

from typing import Any

from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.patch import Document

# No load, and no share, is this large; and a float cannot be much larger.
BEYOND = 1e15
MAX_NAME_LETTERS = 60


def of(document: Document | None) -> dict[str, Any]:
    """The vitals of a report; what it does not say is left out.

    Numbers are `load`, `cpu_percent`, `memory_percent`, `disk_percent`, `received_bytes_per_second` and
    `sent_bytes_per_second`, `hung` counts the mounts that do not answer, and `disk` and `interface` are names.
    """
    if document is None:
        return {}
    found: dict[str, Any] = {
        "load": number(document, "load", "load_1m"),
        "cpu_percent": number(document, "cpu", "busy_percent"),
        "memory_percent": number(document, "memory", "used_percent"),
        **_disks(document.get("filesystems")),
        **_network(document.get("network")),
    }
    return {key: value for key, value in found.items() if value is not None}


def hostname(document: Document | None) -> str | None:
    """The name that the machine has for itself."""
    host = document.get("host") if document else None
    name = host.get("hostname") if isinstance(host, dict) else None
    return printable(name, MAX_NAME_LETTERS) if isinstance(name, str) else None


def number(document: Document, *path: str) -> float | None:
    """The number at this path."""
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and -BEYOND < value < BEYOND else None


def _disks(filesystems: Any) -> dict[str, Any]:
    """The fullest one. The size of one that is hung is not known, and is not its fault."""
    if not isinstance(filesystems, dict):
        return {}
    used = {path: number(filesystems, path, "used_percent") for path in filesystems}
    percent, path = max(
        ((percent, path) for path, percent in used.items() if percent is not None), default=(None, None)
    )
    hung = sum(isinstance(one, dict) and one.get("state") == "hung" for one in filesystems.values())
    return {"disk_percent": percent, "disk": path and printable(path, MAX_NAME_LETTERS), "hung": hung or None}


def _network(interfaces: Any) -> dict[str, Any]:
    """The busiest one, not their sum: what goes through a bridge or a tunnel is counted at each of its ends."""
    if not isinstance(interfaces, dict):
        return {}
    busiest: tuple[float, str, float, float] | None = None
    for name in interfaces:
        received = number(interfaces, name, "received_bytes_per_second")
        sent = number(interfaces, name, "sent_bytes_per_second")
        if name != "lo" and received is not None and sent is not None:
            busiest = max(busiest or (-1.0, "", 0.0, 0.0), (received + sent, name, received, sent))
    if busiest is None:
        return {}
    return {
        "interface": printable(busiest[1], MAX_NAME_LETTERS),
        "received_bytes_per_second": busiest[2],
        "sent_bytes_per_second": busiest[3],
    }
