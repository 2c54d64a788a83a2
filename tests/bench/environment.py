"""Where and with what was measured: without it, figures cannot be compared."""

import importlib.metadata
import os
import platform
import subprocess
import time
from typing import Any

import psutil

from monitoring_agent.collectors.facts import os_release
from monitoring_agent.host import Host
from monitoring_agent.shared import wire
from tests.fleet.process import CHECKOUT

LIBRARIES = ("flask", "gunicorn", "httptools", "psutil", "uvloop", "werkzeug")


def describe() -> dict[str, Any]:
    """The machine, the software, and how busy the machine is before anything is measured."""
    host = Host()
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": wire.VERSION,
        "revision": _revision(),
        "distribution": os_release(host.read_if_there("/etc/os-release") or "").get("PRETTY_NAME"),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processor": _processor(host),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _processor(host: Host) -> str | None:
    for line in (host.read_if_there("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def _revision() -> str | None:
    """The commit that was measured, with a mark if the tree was changed since; None outside of a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
