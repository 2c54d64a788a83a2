"""Reports of any time as JSON lines, for other programs: what `monitoringctl export` writes, and for scripts.

    with Reader(Path("/var/lib/monitoring/history.db")) as reader:
        for line in json_lines(reader, ["10.0.0.5:5000"], since, until, ["load.load_1m"]):
            print(line)

`jq` and `pandas.read_json(lines=True)` read them, whatever the agents said.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from monitoring_agent.shared.patch import Document
from monitoring_supervisor.store.reading import Reader, find

# Beyond that a whole number is a floating one to most programs, and to pandas a reason to read nothing at all.
_LEAST, _GREATEST = -(2**63), 2**64 - 1
_DIGITS = str.maketrans("123456789", "000000000")
_MANY_DIGITS = "0" * 19


def json_lines(
    reader: Reader, agents: Iterable[str], since: float, until: float, paths: Sequence[str] = ()
) -> Iterator[str]:
    """A line for each report of these agents in this time, as `json_line` has it; times are Unix seconds."""
    for agent in agents:
        for at, report in reader.reports(agent, since, until):
            yield json_line(agent, at, report, paths)


def json_line(agent: str, at: float, report: Document, paths: Sequence[str] = ()) -> str:
    """`agent`, `at`, and the `report`; with `paths` in its place what stands at each of them, if anything does."""
    apart = {"agent": agent, "at": at}
    if not paths:
        return encoded({**apart, "report": report})
    found = {path: value for path in paths if (value := find(report, path)) is not None}
    # An agent may call what it tells as it likes.
    return encoded(apart | found | apart)


def encoded(document: dict[str, Any]) -> str:
    """The document as JSON on one line, without numbers that other programs do not take."""
    text = _dumped(document)
    # Few have any: to look at each value of all the others would double what they cost.
    return _dumped(_within_limits(document)) if _MANY_DIGITS in text.translate(_DIGITS) else text


def _dumped(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _within_limits(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _within_limits(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_within_limits(value) for value in part]
    return float(part) if isinstance(part, int) and not _LEAST <= part <= _GREATEST else part
