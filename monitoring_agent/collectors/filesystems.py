"""Space and inodes of the mounted filesystems, from /proc/self/mountinfo (proc(5)) and statvfs(3).

psutil.disk_partitions() asks each mount while it holds the interpreter's lock, so that one dead file server
stops every thread; os.statvfs lets go of the lock.
"""

import os
import re
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass

from monitoring_agent.collectors.probes import Answered, Hung, Prober
from monitoring_agent.collectors.stalls import Stalls
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

DEADLINE_SECONDS = 2.0
SLOW_SECONDS = 0.5

# Filesystems that store nothing, or only show what another one stores.
PSEUDO = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl fuse.lxcfs fuse.gvfsd-fuse"
    " fuse.portal fuse.snapfuse hugetlbfs mqueue nsfs proc pstore ramfs rootfs rpc_pipefs securityfs selinuxfs"
    " squashfs sysfs tracefs".split()
)

_WHERE = (("device", ".device"), ("fstype", ".type"), ("mountpoint", "*"))

METRICS = (
    *(
        Metric(f"*.{key}", meaning, "statvfs", f"node_filesystem_{series}", _WHERE)
        for key, series, meaning in (
            ("size_bytes", "size_bytes", "size"),
            ("free_bytes", "free_bytes", "space that is free, for root"),
            ("available_bytes", "avail_bytes", "space that is free, for users"),
            ("inodes", "files", "files it can hold"),
            ("inodes_free", "files_free", "files it can still take"),
        )
    ),
    Metric("*.used_percent", "of the space that users may fill, how much is used, as df says it", "statvfs"),
    Metric("*.read_only", "whether it cannot be written", "/proc/self/mountinfo", "node_filesystem_readonly", _WHERE),
    Metric("*.hung_seconds", "how long it, or the disk that it is on, has not answered", "statvfs, /sys/dev/block"),
    Metric("*.unanswered", "1 if it or its disk does not answer, or answers with an error", "statvfs, /sys/dev/block",
           "node_filesystem_device_error", _WHERE),
    Metric("*.state", "ok, slow, hung, or failed", "statvfs, /sys/dev/block"),
    Metric("*.error", "why it failed", "statvfs"),
    Metric("*.device", "the device or server", "/proc/self/mountinfo"),
    Metric("*.type", "the kind of filesystem", "/proc/self/mountinfo"),
)  # fmt: skip


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo: device as major:minor, the part of the filesystem that is mounted, and where."""

    identity: str
    parent: str  # the mount that it is mounted on
    number: str
    root: str
    point: str
    kind: str
    source: str
    read_only: bool


class Filesystems:
    """The collector. It keeps the probes that hang from one collection to the next."""

    def __init__(self, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._deadline_seconds = deadline_seconds
        self._prober: Prober | None = None
        self._stalls = Stalls()

    def collect(self, host: Host) -> Sample:
        """`{"/": {device, type, read_only, state, size_bytes, free_bytes, available_bytes, …}}`.

        `state` is `ok`, `slow`, or `hung` with `hung_seconds`. A filesystem that hangs has no numbers; one whose disk
        hangs has them, for the kernel knows them by heart.
        """
        if self._prober is None:
            self._prober = Prober(lambda point: _probe(host.path(point)), self._deadline_seconds)
        mounts, outcomes = self._ask(self._prober, host.read("/proc/self/mountinfo", "surrogateescape"))
        # Names can be any bytes; in a report they are text that a terminal can show.
        sample = {printable(_text(point)): _describe(mount, outcomes[point]) for point, mount in mounts.items()}
        stalled = self._stalls.look(host, {mount.number for mount in mounts.values()})
        for point, mount in mounts.items():
            about = sample.get(printable(_text(point)), {})
            if mount.number in stalled and about.get("state") in {"ok", "slow"}:
                about |= {"state": "hung", "hung_seconds": stalled[mount.number], "unanswered": 1}
        return sample

    def _ask(self, prober: Prober, text: str) -> tuple[dict[str, Mount], dict[str, Answered | Hung]]:
        """The mounts that stand for the filesystems, by their places, and what became of the question to each.

        Where a single file turns out to stand for one, as /etc/hosts does in a container, the next one does instead.
        """
        files: set[str] = set()
        outcomes: dict[str, Answered | Hung] = {}
        while True:
            mounts = {mount.point: mount for mount in parse(text, files)}
            outcomes |= prober.ask([point for point in mounts if point not in outcomes])
            found = {point for point in mounts if _is_file(outcomes[point])}
            if not found:
                return mounts, outcomes
            files |= found


def parse(text: str, files: Container[str] = ()) -> list[Mount]:
    """The real filesystems of a text of mountinfo, one entry for each device.

    Bind mounts and subvolumes show a device again: of several, the one that shows most of it (shortest root), then the
    one with the shortest path stands for all, whichever was mounted first. Not a mount that another one covers, and
    none at one of the `files`: single files are mounted in containers.
    """
    mounts = [mount for mount in map(_parse_line, text.splitlines()) if mount is not None]
    leads = _Paths(mounts)
    real: dict[str, Mount] = {}
    for mount in mounts:
        if mount.kind in PSEUDO or (mount.kind == "overlay" and mount.point != "/") or mount.point in files:
            continue
        best = real.get(mount.number)
        better = best is None or (len(mount.root), len(mount.point)) < (len(best.root), len(best.point))
        if better and leads.to(mount):
            real[mount.number] = mount
    return list(real.values())


class _Paths:
    """Where paths lead. What lies under another mount is not at its path, and cannot be asked there."""

    def __init__(self, mounts: list[Mount]) -> None:
        self._by_identity = {mount.identity: mount for mount in mounts}
        self._taken = {(mount.parent, mount.point) for mount in mounts}

    def to(self, mount: Mount) -> bool:
        """Whether the path of a mount leads to it, and not to one on top of it or of a folder above it."""
        if (mount.identity, mount.point) in self._taken:
            return False
        passed: set[str] = set()
        here: Mount | None = mount
        while here is not None and here.identity not in passed:
            # Another one on the same parent, and nearer to the root, came later: else it would be the parent.
            if any((here.parent, above) in self._taken for above in _above(here.point)):
                return False
            passed.add(here.identity)
            here = self._by_identity.get(here.parent)
        return True


def _above(point: str) -> Iterator[str]:
    """The folders above a path, up to the root."""
    while point not in {"/", ""}:
        point = point.rpartition("/")[0] or "/"
        yield point


def _parse_line(line: str) -> Mount | None:
    left, separator, right = line.partition(" - ")
    columns, details = left.split(" "), right.split(" ")
    if not separator or len(columns) < 6 or len(details) < 3:
        return None  # cut off
    return Mount(
        identity=columns[0],
        parent=columns[1],
        number=columns[2],
        root=_unescape(columns[3]),
        point=_unescape(columns[4]),
        kind=details[0],
        source=_unescape(details[1]),
        # The options of the filesystem, not of the mount: in the agent's sandbox every mount says ro.
        read_only="ro" in details[2].split(","),
    )


def _unescape(name: str) -> str:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _probe(point: str) -> os.statvfs_result | None:
    """The space of a mounted filesystem; None for a single file that shows a part of one, as containers have them."""
    space = os.statvfs(point)
    return space if stat.S_ISDIR(os.stat(point).st_mode) else None


def _is_file(outcome: Answered | Hung) -> bool:
    return isinstance(outcome, Answered) and outcome.error is None and outcome.value is None


def _describe(mount: Mount, outcome: Answered | Hung) -> Sample:
    about: Sample = {"device": printable(_text(mount.source)), "type": mount.kind, "read_only": mount.read_only}
    if isinstance(outcome, Hung):
        return {**about, "state": "hung", "hung_seconds": round(outcome.seconds, 1), "unanswered": 1}
    if outcome.error is not None:
        error = getattr(outcome.error, "strerror", None) or str(outcome.error)
        return {**about, "state": "failed", "error": error, "unanswered": 1}
    space: os.statvfs_result = outcome.value
    about["state"] = "slow" if outcome.seconds >= SLOW_SECONDS else "ok"
    about |= {
        "size_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bfree * space.f_frsize,
        "available_bytes": space.f_bavail * space.f_frsize,
        "inodes": space.f_files,
        "inodes_free": space.f_ffree,
        "unanswered": 0,
    }
    usable = space.f_blocks - space.f_bfree + space.f_bavail
    if usable > 0:
        # As df(1): of what users may fill, how much is used.
        about["used_percent"] = round((space.f_blocks - space.f_bfree) / usable * 100, 2)
    return about
