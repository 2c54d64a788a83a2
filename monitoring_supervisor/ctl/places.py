"""Where the supervisor of this machine can be asked, and where it keeps things."""

import os
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from monitoring_agent.shared import env, keys


@dataclass(frozen=True)
class Places:
    """The settings file, and what it names: the control socket, the saved state of the fleet, and its history."""

    settings: Path
    control_socket: Path
    metrics_file: Path
    history_file: Path | None


def find(named: Path | None) -> Places:
    """The places as the settings say, or else the usual ones.

    Mistakes in the settings are not this tool's business: the supervisor may well run with what they were before.
    """
    path = named or env.SYSTEM_FILE
    try:
        said = {key: value for key, value in dotenv_values(path, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError):
        said = {}
    said |= {key: value for key, value in os.environ.items() if key in {one.name for one in keys.KEYS}}
    values = {}
    for key in keys.KEYS:
        if key.name in {"CONTROL_SOCKET", "METRICS_FILE", "HISTORY_FILE"}:
            try:
                values[key.name] = key.parse(said.get(key.name, key.default).strip())
            except ValueError:
                values[key.name] = key.parse(key.default)
    state_directory = Path(os.environ.get("STATE_DIRECTORY", keys.DEFAULT_STATE_DIRECTORY))
    history = values["HISTORY_FILE"]
    return Places(
        path,
        values["CONTROL_SOCKET"],
        state_directory / values["METRICS_FILE"],
        state_directory / history if history else None,
    )
