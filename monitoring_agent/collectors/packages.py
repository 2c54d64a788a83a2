"""What a Debian machine waits for: updates, a reboot, the end of its release's support.

Everything is worked out from what apt and dpkg keep on the disk: without root, and without the network.
"""

import csv
import re
import time
from collections.abc import Callable
from typing import Any

from monitoring_agent.collectors import sysfs
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
    Metric("held.*", "a package that is kept as it is", "/var/lib/dpkg/status"),
    Metric("lists_age_seconds", "time since a source last told apt what it has", "/var/lib/apt/lists"),
    Metric("reboot_required", "1 if a reboot is needed", "/run/reboot-required, /var/lib/dpkg", "node_reboot_required"),
    Metric(
        "reboot_required_by.*", "a package for which a reboot is needed", "/run/reboot-required.pkgs, /var/lib/dpkg"
    ),
    Metric("release_end_of_life_at", "when the support of the release ends", "distro-info-data"),
    Metric("release_end_of_lts_at", "when its long-term support ends", "distro-info-data"),
)

# What apt's answer depends on beside the installed packages and its lists: the administrator's sources and pins.
_SETTINGS = ("sources.list", "sources.list.d", "preferences", "preferences.d", "apt.conf", "apt.conf.d")

# Inst libssl3 [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64]): where it comes from is behind the version,
# which may have any word in it.
_INST = re.compile(r"^Inst \S+ \[[^\]]*\] \(\S+(.*)\)", re.M)
_HELD = re.compile(r"^Package: (\S+)\n(?:\S.*\n)*?Status: hold ", re.M)


class Packages:
    """The collector. apt takes a second or two to think, so it is asked only when what it thinks about changed.

    It counts what `apt-get dist-upgrade` would do: a package that is held, or pinned to what it is, is none of them.
    """

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
        seen = (status.st_mtime_ns, lists and lists.st_mtime_ns, _settings(host))
        if seen != self._seen:
            names = held(host.read("/var/lib/dpkg/status"))
            self._updates = parse_simulation(self._simulate())
            self._updates |= {"packages_held": len(names), "held": dict.fromkeys(names, 1)}
            self._seen = seen
        sample = dict(self._updates)
        age = lists_age_seconds(host)
        if age is not None:
            sample["lists_age_seconds"] = age
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


def held(text: str) -> list[str]:
    """The packages of a text of /var/lib/dpkg/status that are on hold, twice if for two architectures."""
    return _HELD.findall(text)


def lists_age_seconds(host: Host) -> int | None:
    """How long ago a source of apt's answered last, be it that it has nothing new; None if none ever did.

    The folder's own time is that of the last change, and after an upgrade of apt that of apt's package. But apt makes
    and removes a link to the Release file of each source that answers, which changes the inode's time; a source that
    cannot be reached leaves it as it was.
    """
    lists = "/var/lib/apt/lists"
    answers = [host.stat(f"{lists}/{name}") for name in sysfs.names(host, lists, r".*Release$")]
    times = [answer.st_ctime for answer in answers if answer is not None]
    return round(max(0.0, time.time() - max(times))) if times else None


def _settings(host: Host) -> list[tuple[str, int]]:
    """The files with apt's settings, and when each was changed."""
    names = [name for setting in _SETTINGS for name in (setting, *_within(host, setting))]
    statuses = [(name, host.stat(f"/etc/apt/{name}")) for name in names]
    return [(name, status.st_mtime_ns) for name, status in statuses if status is not None]


def _within(host: Host, setting: str) -> list[str]:
    return [f"{setting}/{name}" for name in sysfs.names(host, f"/etc/apt/{setting}", ".")]


def reboot_reasons(host: Host) -> list[str]:
    """The packages that want a reboot: those that said so, and a kernel that was installed since the last boot."""
    names = set((host.read_if_there("/run/reboot-required.pkgs") or "").split())
    if not names and host.exists("/run/reboot-required"):
        names.add("unknown")
    booted = re.search(r"^btime (\d+)", host.read("/proc/stat"), re.M)
    running = _release(host.read_if_there("/proc/sys/kernel/osrelease") or "")
    for file in sysfs.names(host, "/var/lib/dpkg/info", r"linux-image-.*\.list$"):
        status = host.stat(f"/var/lib/dpkg/info/{file}")
        if not booted or status is None or status.st_mtime <= int(booted[1]):
            continue
        # Neither the symbols of a kernel for debugging nor a package that only depends on the newest one.
        files = host.read_if_there(f"/var/lib/dpkg/info/{file}") or ""  # it may be removed now
        kernel = re.search(r"^/boot/vmlinuz-(.+)", files, re.M)
        if kernel and _release(kernel[1]) >= running:
            names.add(file.removesuffix(".list").partition(":")[0])
    return sorted(names)


def _release(kernel: str) -> list[int]:
    """The numbers of a kernel's release, such as 6.1.0-28-amd64 or 6.12.48+deb13-amd64, by which it is newer."""
    numbers = re.match(r"[\d.]+(?:-\d+)?", kernel)
    return [int(number) for number in re.findall(r"\d+", numbers[0])] if numbers else []


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
