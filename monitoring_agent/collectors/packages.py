"""What a Debian machine waits for: updates, a reboot, the end of its release's support.

Everything is worked out from what apt and dpkg keep on the disk: without root, and without the network.
"""

import csv
import os
import re
import time
from collections.abc import Callable
from typing import Any

from monitoring_agent.collectors.commands import output
from monitoring_agent.collectors.facts import os_release
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample

DEADLINE_SECONDS = 120.0

METRICS = (
    Metric("updates_pending", "packages that an upgrade would install", "apt-get --simulate", "apt_upgrades_pending"),
    Metric("security_updates_pending", "of these, those from a security archive", "apt-get --simulate"),
    Metric("packages_held", "packages that are kept as they are", "/var/lib/dpkg/status", "apt_packages_held"),
    Metric("lists_age_seconds", "time since apt's lists were fetched", "/var/lib/apt/lists"),
    Metric("reboot_required", "1 if a reboot is needed", "/run/reboot-required, /var/lib/dpkg", "node_reboot_required"),
    Metric(
        "reboot_required_by.*", "a package for which a reboot is needed", "/run/reboot-required.pkgs, /var/lib/dpkg"
    ),
    Metric("release_end_of_life_at", "when the support of the release ends", "distro-info-data"),
    Metric("release_end_of_lts_at", "when its long-term support ends", "distro-info-data"),
)

# Inst libssl3 [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])
_INST = re.compile(r"^Inst \S+ \[[^\]]*\] \((.*)\)", re.M)


class Packages:
    """The collector. apt takes a second or two to think, so it is asked only when what it thinks about changed."""

    def __init__(self, simulate: Callable[[], str] | None = None) -> None:
        self._simulate = simulate or _simulate
        self._seen: Any = None
        self._updates: Sample = {}

    def collect(self, host: Host) -> Sample:
        """`{updates_pending, security_updates_pending, reboot_required, reboot_required_by, …}`; empty without dpkg."""
        status = host.stat("/var/lib/dpkg/status")
        if status is None:
            return {}
        lists = host.stat("/var/lib/apt/lists")
        seen = (status.st_mtime_ns, lists and lists.st_mtime_ns)
        if seen != self._seen:
            self._updates = parse_simulation(self._simulate())
            self._updates["packages_held"] = held(host.read("/var/lib/dpkg/status"))
            self._seen = seen
        sample = dict(self._updates)
        if lists is not None:
            sample["lists_age_seconds"] = round(max(0.0, time.time() - lists.st_mtime))
        reasons = reboot_reasons(host)
        sample |= {"reboot_required": int(bool(reasons)), "reboot_required_by": dict.fromkeys(reasons, 1)}
        return sample | end_of_life(host)


def parse_simulation(text: str) -> Sample:
    """How many packages apt-get would upgrade, and how many of them come from a security archive."""
    origins = _INST.findall(text)
    return {
        "updates_pending": len(origins),
        "security_updates_pending": sum("security" in origin.lower() for origin in origins),
    }


def held(text: str) -> int:
    """How many packages of a text of /var/lib/dpkg/status are on hold."""
    return len(re.findall(r"^Status: hold ", text, re.M))


def reboot_reasons(host: Host) -> list[str]:
    """The packages that want a reboot: those that said so, and a kernel that was installed since the last boot."""
    names = set((host.read_if_there("/run/reboot-required.pkgs") or "").split())
    if not names and host.exists("/run/reboot-required"):
        names.add("unknown")
    booted = re.search(r"^btime (\d+)", host.read("/proc/stat"), re.M)
    info = host.path("/var/lib/dpkg/info")
    if booted and os.path.isdir(info):
        for entry in os.scandir(info):
            is_kernel = entry.name.startswith("linux-image-") and entry.name.endswith(".list")
            if is_kernel and entry.stat().st_mtime > int(booted[1]):
                names.add(entry.name.removesuffix(".list").partition(":")[0])
    return sorted(names)


def end_of_life(host: Host) -> Sample:
    """When the support of the running release ends, from the tables of the package distro-info-data, if installed."""
    release = os_release(host.read_if_there("/etc/os-release") or "")
    table = host.read_if_there(f"/usr/share/distro-info/{release.get('ID', 'none')}.csv")
    sample: Sample = {}
    for row in csv.DictReader((table or "").splitlines()):
        if (row.get("version") or "").split(" ")[0] != release.get("VERSION_ID"):
            continue
        for column, key in (("eol", "release_end_of_life_at"), ("eol-lts", "release_end_of_lts_at")):
            day = row.get(column)
            if day:
                sample[key] = int(time.mktime(time.strptime(day, "%Y-%m-%d")))
    return sample


def _simulate() -> str:
    """What apt-get would do now. It takes no lock, and writes nothing."""
    options = ("--simulate", "-o", "Debug::NoLocking=true", "-o", "Dir::Cache=")
    return output("apt-get", *options, "dist-upgrade", deadline_seconds=DEADLINE_SECONDS)
