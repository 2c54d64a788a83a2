"""Our two daemons as they are run in life, with settings of the benchmark's own."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitoring_agent.shared.keys import KEYS
from tests.bench.children import CannotMeasure, Child, running
from tests.fleet.process import CHECKOUT

SUPERVISOR = "monitoring-supervisor"
AGENT = "monitoring-agent"


def _settings(directory: Path, **values: str) -> tuple[Path, str]:
    """A settings file with these values and a new token; returns both."""
    token = secrets.token_hex(32)
    token_file = directory / "token"
    token_file.write_text(f"{token}\n")
    token_file.chmod(0o600)
    lines = [f"{key}={value}" for key, value in {"TOKEN_FILE": token_file, **values}.items()]
    path = directory / "monitoring.env"
    path.write_text("\n".join(lines) + "\n")
    return path, token


def _environ(state_directory: Path) -> dict[str, str]:
    """Ours without what would count above the settings file, and without a service manager's."""
    foreign = {key.name for key in KEYS} | {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**kept, "STATE_DIRECTORY": str(state_directory)}


@contextlib.contextmanager
def supervisor(directory: Path, names: list[str], **values: str) -> Iterator[Child]:
    """The supervisor with these settings, watching these agents; it saves in `directory`."""
    whitelist = directory / "agents"
    whitelist.write_text("".join(f"{name}\n" for name in names))
    control_socket = str(directory / "supervisor.sock")
    settings, _ = _settings(
        directory, WHITELIST_AGENT="", WHITELIST_FILE=str(whitelist), CONTROL_SOCKET=control_socket, **values
    )
    command = [sys.executable, "-m", "monitoring_supervisor", "--config", str(settings)]
    with running(SUPERVISOR, command, directory, _environ(directory)) as child:
        yield child


def snapshot(directory: Path) -> dict[str, Any]:
    """What the supervisor saved last; empty before that."""
    path = directory / "metrics_data.json"
    if not path.exists():
        return {}
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def ctl_seconds(directory: Path, *arguments: str) -> float:
    """How long `monitoringctl` takes with these arguments, beside what a supervisor has in `directory`.

    Raises CannotMeasure if it does not end well; that some agents are down is well.
    """
    places = {
        "CONTROL_SOCKET": directory / "supervisor.sock",
        "METRICS_FILE": directory / "metrics_data.json",
        "HISTORY_FILE": directory / "history.db",
    }
    environ = _environ(directory) | {key: str(path) for key, path in places.items()}
    command = [sys.executable, "-m", "monitoring_supervisor.ctl", *arguments]
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if ended.returncode not in {0, 1} or not ended.stdout:
        raise CannotMeasure(f"monitoringctl {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr}")
    return seconds


@contextlib.contextmanager
def agent(directory: Path, port: int, **values: str) -> Iterator[tuple[Child, str]]:
    """The agent with these settings, listening at this port of 127.0.0.1; with its token."""
    settings, token = _settings(directory, AGENT_LISTEN=f"127.0.0.1:{port}", **values)
    command = [sys.executable, "-m", "monitoring_agent.server", "--config", str(settings)]
    with running(AGENT, command, directory, _environ(directory)) as child:
        yield child, token
