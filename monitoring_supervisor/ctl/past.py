"""What monitoringctl asks of history: whose it is, which metrics are meant, and what to say when it cannot be read."""

import fnmatch
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from monitoring_agent.shared.patch import Document
from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import safe
from monitoring_supervisor.store import reading
from monitoring_supervisor.store.reading import Reader

# Where the newest report is looked for, to know what there is.
RECENT_SECONDS = 3600.0
MAX_METRICS = 50


@contextmanager
def opened(places: Places) -> Iterator[Reader]:
    """History for reading. Raises CannotTell with the remedy, also when it turns out later that it cannot be read."""
    path = places.history_file
    if path is None:
        raise asking.CannotTell("no history is kept: HISTORY_FILE is empty")
    try:
        path.open("rb").close()  # SQLite does not say why it cannot open a file
        reader = Reader(path)
    except FileNotFoundError:
        raise asking.CannotTell(f"there is no history at {path} yet; the supervisor begins it when it runs") from None
    except PermissionError:
        raise asking.CannotTell(asking.no_right(str(path))) from None
    except (OSError, sqlite3.Error) as error:
        raise asking.CannotTell(f"{path} cannot be read: {safe(error)}") from None
    try:
        with reader:
            yield reader
    except sqlite3.Error as error:
        raise asking.CannotTell(f"{path} cannot be read: {safe(error)}") from None


def agent(places: Places, reader: Reader, name: str) -> str:
    """The agent that is meant by its name, its address, or the name of its machine. Raises CannotTell."""
    known = reader.agents()
    if name in known:
        return name
    found = [one for one in known if one.rpartition(":")[0].strip("[]") == name]
    if not found:
        told = asking.try_to_ask(places, ask="agent", name=name)
        found = [one for one in (told.agents if told else ()) if one in known]
    if len(found) == 1:
        return found[0]
    if found:
        raise asking.CannotTell(f"{safe(name)} may be {', '.join(found[:5])}")
    near = asking.near(name, [*known, *asking.names(places)])
    hint = f"; did you mean {' or '.join(map(safe, near))}?" if near else ""
    raise asking.CannotTell(f"there is no history of an agent {safe(name)!r}{hint}")


def metrics(places: Places, reader: Reader, name: str, wanted: tuple[str, ...], until: float) -> list[str]:
    """The paths that are meant: a path itself, all below one such as `load`, or those that fit a pattern with `*`.

    Raises CannotTell with the nearest ones.
    """
    known = list(reading.paths(_newest(places, reader, name, until)))
    found: list[str] = []
    for one in wanted:
        fitting = [path for path in known if path == one or path.startswith(f"{one}.")]
        if not fitting and "*" in one:
            fitting = [path for path in known if fnmatch.fnmatchcase(path, one)]
        if not fitting:
            near = asking.near(one, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"see: monitoringctl show {name}"
            raise asking.CannotTell(safe(f"{name} has no metric {one!r}; {hint}"))
        found += fitting
    found = list(dict.fromkeys(found))
    if len(found) > MAX_METRICS:
        raise asking.CannotTell(f"these are {len(found)} metrics; at most {MAX_METRICS} can be told at once")
    return found


def _newest(places: Places, reader: Reader, name: str, until: float) -> Document:
    """The newest report that is known, to tell names by; empty if there is none."""
    found: Document = {}
    for _, report in reader.reports(name, until - RECENT_SECONDS, until):
        found = report
    told = None if found else asking.try_to_ask(places, ask="agent", name=name)
    return found or (told.agents[name]["report"] if told else None) or {}
