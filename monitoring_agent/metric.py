"""What the values of a report mean, and what Prometheus calls them: one table for JSON, exposition and the README."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_UNITS = (
    ("_bytes_per_second", "bytes per second"),
    ("_bytes", "bytes"),
    ("Octets", "bytes"),
    ("_seconds", "seconds"),
    ("_percent", "per cent"),
    ("celsius", "degrees Celsius"),
    ("hertz", "hertz"),
    ("_kibibytes", "KiB"),
    ("_pages", "pages"),
    ("_bits", "bits"),
    ("_ratio", "ratio"),
    ("_per_minute", "per minute"),
    ("_at", "Unix seconds"),
)


@dataclass(frozen=True)
class Metric:
    """A value of the report, or many of a kind.

    `path` leads to it within its collector's sample, keys separated by dots; `*` stands for any key, such as the name
    of a device. `series` is its name for Prometheus; empty where Prometheus works it out from another one. `labels`
    say where each label's value comes from: `*` or `**` the first or second key under a star, `.key` a neighbour of
    the value, anything else is the value itself.
    """

    path: str
    meaning: str
    source: str
    series: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        """The unit that the name says: what the number counts, or the name of a unit."""
        name = self.path.rpartition(".")[2].removesuffix("_total")
        return next((unit for suffix, unit in _UNITS if name.endswith(suffix)), "")

    @property
    def is_counter(self) -> bool:
        """Whether the value only rises."""
        return self.path.endswith("_total")


@dataclass(frozen=True)
class Found:
    """One value, the keys that the stars stood for, and the object it was in."""

    value: Any
    names: tuple[str, ...]
    neighbours: dict[str, Any]


def find(sample: dict[str, Any], path: str) -> Iterator[Found]:
    """Every value of the sample at this path."""
    yield from _find(sample, path.split("."), ())


def _find(node: dict[str, Any], path: list[str], names: tuple[str, ...]) -> Iterator[Found]:
    key, rest = path[0], path[1:]
    if key == "*":
        for name, child in node.items():
            if rest and isinstance(child, dict):
                yield from _find(child, rest, (*names, name))
            elif not rest and not isinstance(child, dict | list):
                yield Found(child, (*names, name), node)
    elif key in node:
        child = node[key]
        if not rest:
            yield Found(child, names, node)
        elif isinstance(child, dict):
            yield from _find(child, rest, names)
