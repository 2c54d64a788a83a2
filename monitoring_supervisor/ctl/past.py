"""What monitoringctl asks of history: whose it is, which metrics are meant, and what to say when it cannot be read."""

import fnmatch
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import safe
from monitoring_supervisor.store import reading
from monitoring_supervisor.store.reading import Reader

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
    """The agent that is meant by its name, its address, or the name of its machine. Raises CannotTell.

    It is one that history knows, or one that is watched of which nothing is stored yet.
    """
    name = asking.named(name)
    known = reader.agents()
    if name in known:
        return name
    found = [one for one in known if one.rpartition(":")[0].strip("[]") == name]
    if not found:
        told = asking.try_to_ask(places, ask="agent", name=name)
        found = list(told.agents) if told else []
    if len(found) == 1:
        return found[0]
    if found:
        raise asking.CannotTell(f"{safe(name)} may be {', '.join(found[:5])}")
    near = asking.near(name, [*known, *asking.names(places)])
    hint = f"; did you mean {' or '.join(map(safe, near))}?" if near else ""
    raise asking.CannotTell(f"there is no history of an agent {safe(name)!r}{hint}")


def metrics(
    places: Places, reader: Reader, name: str, wanted: tuple[str, ...], since: float, until: float
) -> list[str]:
    """The paths that are meant: a path itself, all below one such as `load`, or those that fit a pattern with `*`.

    Raises CannotTell with the nearest ones. As long as nothing tells what there is, they are taken at their word.
    """
    known = list(_live(places, name))
    found = {one: fitting(one, known) for one in wanted}
    if not all(found.values()):  # it may be of a disk that is gone
        known += first(reader, name, since, until)
        found = {one: fitting(one, known) for one in wanted}
    if not known:
        return few(list(dict.fromkeys(wanted)))
    for one, paths in found.items():
        if not paths:
            raise unknown(f"{name} has no metric", one, known)
    return few(list(dict.fromkeys(path for paths in found.values() for path in paths)))


def fitting(wanted: str, known: Iterable[str]) -> list[str]:
    """Those of the known paths that are meant by one that was asked for."""
    found = [path for path in known if path == wanted or path.startswith(f"{wanted}.")]
    if not found and "*" in wanted:
        found = [path for path in known if fnmatch.fnmatchcase(path, wanted)]
    return found


def first(reader: Reader, name: str, since: float, until: float) -> list[str]:
    """The paths of the first report of a time."""
    found = next(iter(reader.reports(name, since, until)), None)
    return list(reading.paths(found[1])) if found else []


def few(paths: list[str]) -> list[str]:
    """The same paths. Raises CannotTell if they are too many for anybody."""
    if len(paths) > MAX_METRICS:
        raise asking.CannotTell(
            f"these are {len(paths)} metrics, and at most {MAX_METRICS} can be told at once.\n"
            f"Name some of them, such as {' or '.join(map(safe, (paths[0], paths[-1])))}"
        )
    return paths


def unknown(who_has_none: str, metric: str, known: list[str]) -> asking.CannotTell:
    """What to say of a metric that is not there; what could stand for it is a path or a part of one."""
    parts = dict.fromkeys(path[:end] for path in known for end in range(len(path)) if path[end] == ".")
    near = asking.near(metric, [*parts, *known])
    hint = f"did you mean {' or '.join(near)}?" if near else "see: monitoringctl show AGENT"
    return asking.CannotTell(safe(f"{who_has_none} {metric!r}; {hint}"))


def _live(places: Places, name: str) -> Iterator[str]:
    """The paths of the newest report."""
    told = asking.try_to_ask(places, ask="agent", name=name)
    yield from reading.paths((told.agents.get(name, {}).get("report") if told else None) or {})
