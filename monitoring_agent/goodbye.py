"""Why the agent ended last time: a word left in a file when it is stopped, and read when it starts again.

Whoever was not told why finds out at the first answer afterwards: a planned end has left its reason, a crash has not,
and the identity of the boot tells whether it was the agent or the machine that crashed.
"""

import contextlib
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "life.json"
# The package's postinst makes this file right before it restarts the agent, and removes it when it ends. One that was
# killed leaves it behind: after so many seconds, far more than a restart takes, it says nothing of a stop any more.
UPGRADE_MARK = Path("/run/monitoring-agent.upgrade")
UPGRADE_SECONDS = 300.0

SERVICE_STOPPED = "service_stopped"
PACKAGE_UPGRADE = "package_upgrade"
MACHINE_GOING_DOWN = "machine_going_down"
AGENT_CRASHED = "agent_crashed"
MACHINE_CRASHED = "machine_crashed"


@dataclass(frozen=True)
class Life:
    """One life of the agent: in which boot it began, and when (Unix seconds) and why it ended, if it was told."""

    boot_id: str
    ended_at: float | None = None
    end: str | None = None


def begin(directory: Path, boot_id: str) -> dict[str, Any] | None:
    """Note that a life begins. Returns how the one before ended, as `{end, ended_at}`; None if there was none.

    Raises OSError if the directory cannot be written.
    """
    before = _read(directory / FILE)
    _write(directory / FILE, Life(boot_id))
    if before is None:
        return None
    if before.end is not None:
        return {"end": before.end, "ended_at": before.ended_at}
    return {"end": AGENT_CRASHED if before.boot_id == boot_id else MACHINE_CRASHED}


def end(directory: Path, boot_id: str, now: float, mark: Path = UPGRADE_MARK) -> str:
    """Leave word that the agent is being stopped, and why. Returns the reason. Raises OSError."""
    reason = _why(now, mark)
    _write(directory / FILE, Life(boot_id, round(now, 3), reason))
    return reason


def _why(now: float, mark: Path) -> str:
    with contextlib.suppress(OSError):
        # The clock may have been set back since.
        if abs(now - mark.stat().st_mtime) < UPGRADE_SECONDS:
            return PACKAGE_UPGRADE
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # systemctl(1): "stopping" once the job that ends the machine is queued.
        command = ["systemctl", "is-system-running"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
        if done.stdout.strip() == "stopping":
            return MACHINE_GOING_DOWN
    return SERVICE_STOPPED


def _read(path: Path) -> Life | None:
    """The life that the file tells of; None if there is no file, or it tells nothing."""
    try:
        return Life(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, life: Life) -> None:
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(asdict(life), file)
        file.flush()
        os.fsync(file.fileno())  # the machine may go down next
    beside.replace(path)
