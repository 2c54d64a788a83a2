"""Every setting of both daemons: its name, its default, what it may be, and what it means."""

import difflib
import os
import re
import resource
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring_agent.shared import env
from monitoring_agent.shared.address import Address, IPNetwork, expand, parse_listen, parse_network
from monitoring_agent.shared.env import BadSettings

EX_CONFIG = 78  # sysexits.h: the units tell systemd not to restart on it

DEFAULT_STATE_DIRECTORY = "/var/lib/monitoring"

MAX_SOCKET_BYTES = 107  # unix(7)
MAX_TOKEN_FILE_BYTES = 4096

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Key:
    """One setting. `parse` turns its text into its value, or raises ValueError with what is allowed."""

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _agents(text: str) -> tuple[Address, ...]:
    return tuple(address for item in _items(text) for address in expand(item))


def _networks(text: str) -> tuple[IPNetwork, ...]:
    return tuple(parse_network(item) for item in _items(text))


def _listen(text: str) -> tuple[Address, ...]:
    addresses = tuple(parse_listen(item) for item in _items(text))
    if not addresses:
        raise ValueError("is empty; write for example 127.0.0.1:5000")
    return addresses


def _number(minimum: float, maximum: float, what: str = "number") -> Callable[[str], float]:
    def parse(text: str) -> float:
        plain = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text, re.ASCII)
        number = float(text) if plain else -1.0
        if not minimum <= number <= maximum:
            raise ValueError(f"{text!r} is not a {what} from {minimum:g} to {maximum:g}")
        return number

    return parse


def _seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    return _number(minimum, maximum, "number of seconds")


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and minimum <= int(text) <= maximum):
            raise ValueError(f"{text!r} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def _url_path(text: str) -> str:
    path = text.strip("/")
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/"
    if not path or any(letter not in allowed for letter in path) or "//" in path:
        raise ValueError(f"{text!r} is not a path of letters, digits and - _ . ~ such as healthcheck")
    if path == "metrics":
        raise ValueError(f"at {text!r} the agent answers Prometheus; choose another path")
    return "/" + path


def _file(text: str) -> Path:
    if not text or text.endswith("/") or "\0" in text:
        raise ValueError(f"{text!r} does not name a file")
    return Path(text)


def _file_or_none(text: str) -> Path | None:
    return _file(text) if text else None


def _socket(text: str) -> Path:
    path = _file(text)
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        raise ValueError(f"{text!r} is longer than {MAX_SOCKET_BYTES} bytes, as far as a Unix socket goes")
    return path


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise ValueError(f"{text!r} is not one of {', '.join(LEVELS)}")
    return text.lower()


KEYS = (
    Key(
        "WHITELIST_AGENT",
        "127.0.0.1",
        _agents,
        "agents to watch, separated by commas: address, name, address:port, [v6]:port, http(s)://address:port,"
        " or a network such as 10.0.0.0/28",
    ),
    Key(
        "WHITELIST_FILE",
        "",
        str,
        "a file or glob with one agent a line, # comments, optional key=value labels after it; read again when it"
        " changes",
    ),
    Key(
        "INTERVAL_HEALTH_CHECK",
        "3",
        _seconds(0.1, 86400),
        "seconds between two health checks of an agent; decimals allowed",
    ),
    Key(
        "INTERVAL_METRICS_CHECK",
        "1",
        _seconds(0.1, 86400),
        "seconds between two collections of metrics from an agent; decimals allowed",
    ),
    Key("HEALTHROOT", "healthcheck", _url_path, "path of the health endpoint, used by both daemons"),
    Key("METRICSROOT", "getmetrics", _url_path, "path of the metrics endpoint, used by both daemons"),
    Key(
        "METRICS_FILE",
        "metrics_data.json",
        _file,
        "where the supervisor saves; a relative name lies in the state directory, /var/lib/monitoring",
    ),
    Key(
        "HISTORY_FILE",
        "history.db",
        str,
        "where the supervisor keeps everything over time; a relative name lies in the state directory, empty keeps"
        " nothing",
    ),
    Key("HISTORY_REPORTS_HOURS", "48", _number(0.1, 87600), "hours for which every report is kept as it came"),
    Key(
        "HISTORY_MINUTES_DAYS",
        "30",
        _number(0.1, 36500),
        "days for which the least, mean and greatest value of each minute are kept",
    ),
    Key("HISTORY_HOURS_DAYS", "730", _number(0.1, 36500), "days for which those of each hour are kept, and events"),
    Key(
        "HISTORY_MAX_GIGABYTES",
        "10",
        _number(0.01, 100000),
        "gigabytes that history.db may have at most; before it grows larger the oldest reports go, whatever their age",
    ),
    Key(
        "CONTROL_SOCKET",
        "/run/monitoring/supervisor.sock",
        _socket,
        "where monitoringctl asks the supervisor: a Unix socket, open to root and the group _monitoring",
    ),
    Key(
        "REQUEST_TIMEOUT",
        "2",
        _seconds(0.1, 60),
        "seconds for one request in total: connect, send, receive",
    ),
    Key("BLACKLIST_AFTER", "3", _whole(1, 1000), "failed checks in a row before an agent is blacklisted"),
    Key("WHITELIST_AFTER", "2", _whole(1, 1000), "good checks in a row before it is whitelisted again"),
    Key("AGENT_LISTEN", "127.0.0.1:5000", _listen, "where the agent listens; several separated by commas"),
    Key("AGENT_PORT", "5000", _whole(1, 65535), "port of a whitelisted agent that names none"),
    Key(
        "AGENT_ALLOW",
        "127.0.0.0/8,::1/128",
        _networks,
        "networks that may ask the agent, separated by commas",
    ),
    Key(
        "TOKEN_FILE",
        "/etc/monitoring/token",
        _file,
        "the file with the secret that agents and supervisor share, made on installation; a second line is accepted"
        " too",
    ),
    Key(
        "TLS_CERT",
        "",
        _file_or_none,
        "this machine's certificate, PEM: with it the agent speaks https alone, and the supervisor shows it"
        " to agents",
    ),
    Key(
        "TLS_KEY",
        "",
        _file_or_none,
        "the key of TLS_CERT, not readable by every user",
    ),
    Key(
        "TLS_CA",
        "",
        _file_or_none,
        "the authority of the fleet, PEM: an agent with TLS_CERT answers only clients with a certificate of"
        " it, and the supervisor trusts it alone; empty: any client, and what the system trusts",
    ),
    Key("LOG_LEVEL", "info", _level, "debug, info, warning or error"),
)


def load(named: Path | None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The value of every key, from the file, the environment above it and the defaults below.

    `named` is the file to read; None looks for `.env`, then for the system's file. Raises BadSettings with
    every mistake at once.
    """
    path = env.find_file(named)
    from_file = env.read_file(path) if path else {}
    known = {key.name for key in KEYS}
    entries = env.merged(from_file, os.environ if environ is None else environ, known)
    mistakes = [f"{entry.place}: {_unknown(name, known)}" for name, entry in entries.items() if name not in known]
    values: dict[str, Any] = {}
    for key in KEYS:
        entry = entries.get(key.name, env.Entry(key.default, "default"))
        try:
            values[key.name] = key.parse(entry.text.strip())
        except ValueError as error:
            mistakes.append(f"{entry.place}: {key.name}: {error}")
    if not mistakes and values["HEALTHROOT"] == values["METRICSROOT"]:
        mistakes.append(f"HEALTHROOT and METRICSROOT are both {values['HEALTHROOT']!r}; they must differ")
    if mistakes:
        raise BadSettings(mistakes)
    return values


def _unknown(name: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"{name} is not a setting{hint}"


def read_tokens(path: Path) -> tuple[str, ...]:
    """The shared secret, and a second one while it is changed: a line each. The supervisor sends the first.

    From then on this process, which knows it, leaves no core dump.

    Raises BadSettings with the remedy, also if every user of the machine could read the file.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if most else 0, most))  # of a limit of 1, see the units
    make = f"make one with: (umask 077; head -c 32 /dev/urandom | sha256sum | cut -c 1-64 > {path})"
    close = f"chmod o= {path}"
    if path.parent == Path("/etc/monitoring"):
        close = f"chown root:_monitoring {path}; chmod 0640 {path}"
        make += f"; {close}"
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            tokens = tuple(file.read(MAX_TOKEN_FILE_BYTES).split("\n"))
    except FileNotFoundError:
        raise BadSettings([f"TOKEN_FILE: {path} does not exist; {make}"]) from None
    except OSError as error:
        raise BadSettings([f"TOKEN_FILE: {path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        tokens, mode = (), 0
    if mode & stat.S_IRWXO:
        who = f"TOKEN_FILE: {path} is open to every user of this machine (mode {mode:04o})"
        raise BadSettings([f"{who}; close it with: {close}, and replace the token if somebody may have read it"])
    tokens = tuple(token.strip() for token in tokens if token.strip())
    if not 1 <= len(tokens) <= 2 or not all(_is_token(token) for token in tokens):
        wanted = "one line of at least 16 ASCII characters, or two such lines while it is changed"
        raise BadSettings([f"TOKEN_FILE: {path} is not {wanted}; {make}"])
    return tokens


def _is_token(text: str) -> bool:
    return len(text) >= 16 and text.isprintable() and " " not in text
