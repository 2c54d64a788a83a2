"""Asks the supervisor over its control socket; when it does not run, its saved state is asked the same."""

import difflib
import errno
import getpass
import grp
import importlib
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from monitoring_agent.shared import keys
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import coloured, safe
from monitoring_supervisor.spoken import duration

TIMEOUT_SECONDS = 10.0
GROUP = "_monitoring"
CANNOT_TELL = 2


class CannotTell(click.ClickException):
    """There is no answer; the text says why, and what to do."""

    exit_code = CANNOT_TELL

    def show(self, file: Any = None) -> None:
        """Print it. A hint stands on a line of its own."""
        click.echo(f"monitoringctl: {self.message}", err=True)


class NotRunning(Exception):
    """Nobody answers at the socket; the text says how that was seen."""


@dataclass(frozen=True)
class Told:
    """An answer of monitoring_supervisor.views. One that is not live is from the file, as of `document["at"]`."""

    document: dict[str, Any]
    live: bool

    @property
    def agents(self) -> dict[str, dict[str, Any]]:
        """What is known of each agent, by name."""
        found: dict[str, dict[str, Any]] = self.document["agents"]
        return found


class Line:
    """A connection to the supervisor, for one question after the other. Raises NotRunning, CannotTell."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_SECONDS)
        try:
            self._socket.connect(str(places.control_socket))
        except PermissionError:
            raise CannotTell(no_right(str(places.control_socket))) from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunning(f"nobody answers at {places.control_socket}") from None
        except OSError as error:
            raise NotRunning(f"{places.control_socket}: {error.strerror or error}") from None
        self._file = self._socket.makefile("rb")

    def ask(self, **request: Any) -> dict[str, Any]:
        """One question. Raises NotRunning, also when no answer comes in time, and CannotTell for a refusal."""
        try:
            self._socket.sendall(json.dumps(request).encode("ascii") + b"\n")
            answer = self._file.readline()
        except (TimeoutError, ConnectionError):
            answer = b""
        if not answer.endswith(b"\n"):
            raise NotRunning(f"{self._places.control_socket} takes questions and gives no answer; it may be stuck")
        try:
            document: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise NotRunning(f"what answers at {self._places.control_socket} is no supervisor") from None
        return document

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


def ask(places: Places, *, quiet: bool = False, **request: Any) -> Told:
    """The answer of the supervisor, or else of the file; that is said unless `quiet`. Raises CannotTell."""
    try:
        line = Line(places)
        try:
            told = Told(line.ask(**request), live=True)
        finally:
            line.close()
    except NotRunning as silence:
        told = _from_file(places, request, str(silence), quiet)
    if "error" in told.document:
        raise CannotTell(_refused(places, request, told.document))
    return told


def names(places: Places) -> list[str]:
    """The names of all agents, and then those of their machines; none if nobody and no file tells them."""
    answer = try_to_ask(places, ask="names")
    if answer is None:
        return []
    told = answer.document["names"]
    return [*told, *dict.fromkeys(machine for machine in told.values() if machine)]


def try_to_ask(places: Places, **request: Any) -> Told | None:
    """The same without a word when there is no answer."""
    try:
        return ask(places, quiet=True, **request)
    except CannotTell:
        return None


def end_with_mistakes(mistakes: list[str]) -> NoReturn:
    """List what is wrong with the settings, and end."""
    for mistake in mistakes:
        click.echo(safe(mistake), err=True)
    if os.geteuid() != 0 and any(os.strerror(errno.EACCES) in mistake for mistake in mistakes):
        click.echo(no_right("the settings and what they name"), err=True)
    sys.exit(keys.EX_CONFIG)


def named(text: str) -> str:
    """The name of an agent, or its address alone, from what may be as the whitelist has it: `https://[2001:db8::7]`."""
    name = text.partition("://")[2].rstrip("/") or text
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def near(name: str, known: list[str]) -> list[str]:
    """Those that it may have been meant for, the most likely first."""
    known = list(dict.fromkeys(known))
    inside = [one for one in known if name.lower() in one.lower()][:3]
    return inside or difflib.get_close_matches(name, known, n=3)


def _from_file(places: Places, request: dict[str, Any], silence: str, quiet: bool) -> Told:
    saved: Any = importlib.import_module("monitoring_supervisor.ctl.saved")
    try:
        document, written_at = saved.answer(places.metrics_file, request)
    except FileNotFoundError:
        raise CannotTell(
            f"the supervisor does not run ({silence}), and it has saved nothing at {places.metrics_file}.\n"
            "Start it with: systemctl enable --now monitoring-supervisor"
        ) from None
    except PermissionError:
        raise CannotTell(no_right(str(places.metrics_file))) from None
    except (OSError, saved.Unreadable) as error:
        raise CannotTell(
            f"the supervisor does not run ({silence}), and {places.metrics_file} cannot be read: {safe(error)}"
        ) from None
    if not quiet:
        age = duration(time.time() - written_at)
        warning = (
            f"The supervisor does not run ({silence}). What follows is {age} old, from {places.metrics_file}."
            "\nSee: systemctl status monitoring-supervisor"
        )
        click.echo(coloured(warning, "yellow"), err=True)
    return Told(document, live=False)


def _refused(places: Places, request: dict[str, Any], document: dict[str, Any]) -> str:
    text = safe(document["error"])
    if document.get("kind") != "unknown_agent":
        return text
    found = near(str(request.get("name")), names(places))
    return f"{text}; did you mean {' or '.join(map(safe, found))}?" if found else f"{text}; see: monitoringctl agents"


def no_right(path: str) -> str:
    """What to say of a place that this user may not read."""
    try:
        user = getpass.getuser()
        group = grp.getgrnam(GROUP)
        is_member_from_next_login = user in group.gr_mem and group.gr_gid not in os.getgroups()
    except (KeyError, OSError):
        user, is_member_from_next_login = "USER", False
    if is_member_from_next_login:
        return f"no right to read {path}: you are in the group {GROUP} from your next login on; log in again"
    return (
        f"no right to read {path}: only root and the group {GROUP} may.\n"
        f"Use sudo, or join the group with: sudo adduser {safe(user)} {GROUP}, and log in again"
    )
