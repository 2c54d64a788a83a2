"""Minimal Debian roots to boot: made with mmdebstrap, kept outside the checkout, made anew when they are old."""

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path("/var/cache/monitoring-system-tests")
MIRROR = "http://deb.debian.org/debian"
MAX_AGE_SECONDS = 3 * 86400  # a root should have the security updates that a user's machine has

TOOLS = {
    "faketime": "faketime",
    "locale-gen": "locales",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "systemd-nspawn": "systemd-container",
}

# What a small machine has, and what the tests look at it with.
INSTALLED = ("ca-certificates", "curl", "dbus", "iproute2", "procps", "systemd-sysv")


def _build_depends() -> list[str]:
    """What debian/control says that a build needs, without versions and profiles."""
    control = (Path(__file__).parents[2] / "debian/control").read_text(encoding="utf-8")
    lines = control.partition("\nBuild-Depends:\n")[2].splitlines()
    return [line.split()[0].rstrip(",") for line in itertools.takewhile(lambda line: line.startswith(" "), lines)]


# Only downloaded: the machines boot without a network, and apt must still be able to install these. That it
# installs what the package depends on, and nothing less, is what the tests find out.
AT_HAND = (
    *_build_depends(),
    "autopkgtest",
    "build-essential",
    "dpkg-dev",
    "jq",
    "lintian",
    "linux-image-amd64",
    "mdadm",
    "openssh-client",
    "openssh-server",
    "python3-dotenv",
    "python3-flask",
    "python3-gunicorn",
    "python3-httptools",
    "python3-hypothesis",
    "python3-pandas",
    "python3-psutil",
    "python3-pyte",
    "python3-pytest",
    "python3-pytest-xdist",
    "python3-requests",
    "python3-sdnotify",
    "python3-uvloop",
    "systemd-timesyncd",
)

# The same, beside what it cannot be installed with: two keepers of one clock.
ALTERNATIVES = ("chrony",)

# As the installer writes it; without it no program knows what localhost is.
HOSTS = "127.0.0.1 localhost\\n::1 localhost\\n"


def root(release: str) -> Path:
    """A complete root of this release that nobody writes to; made now if there is none, or only an old one."""
    if os.geteuid() != 0:
        raise PermissionError("the system tests boot machines and need root: sudo make test")
    with locked("tools"):
        install_tools()
    with locked(release):
        prefix = f"{release}-{_key(release)}-"
        usable = sorted(path for path in CACHE.glob(f"{prefix}*") if _age_seconds(path) < MAX_AGE_SECONDS)
        if not usable:
            usable = [_make(release, CACHE / f"{prefix}{int(time.time())}")]
        _remove_old(release, keep=usable[-1])
    return usable[-1]


def remove(path: Path) -> None:
    """Delete a tree, but nothing that is mounted in it: an interrupted build may have left a mount of /dev."""
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)


def _recipe(release: str) -> list[str]:
    return [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=apt",
        "--skip=cleanup/apt",
        "--dpkgopt=force-unsafe-io",
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={','.join(INSTALLED)}",
        f"--customize-hook=printf '{HOSTS}' >$1/etc/hosts",
        *(
            f'--customize-hook=chroot "$1" apt-get install -y -qq --download-only {" ".join(packages)} >/dev/null'
            for packages in (AT_HAND, ALTERNATIVES)
        ),
        release,
    ]


def _key(release: str) -> str:
    return hashlib.sha256("\0".join(_recipe(release)).encode()).hexdigest()[:12]


def _age_seconds(path: Path) -> float:
    return time.time() - int(path.name.rpartition("-")[2])


def _make(release: str, path: Path) -> Path:
    """Renamed when complete, so that an interrupted build is never taken for a root."""
    building = CACHE / f"{release}.building"  # whoever has the lock knows that nobody is at work in it
    remove(building)
    subprocess.run([*_recipe(release), building, MIRROR], check=True, stdin=subprocess.DEVNULL)
    return building.rename(path)


def _remove_old(release: str, keep: Path) -> None:
    """An old root may still be in use by another run of the tests, but not for as long as a day."""
    for path in CACHE.glob(f"{release}-*"):
        if path != keep and _age_seconds(path) > MAX_AGE_SECONDS + 86400:
            remove(path)


def install_tools() -> None:
    """Install on this machine what the tests use; for whoever has the lock of the tools."""
    missing = [package for command, package in TOOLS.items() if shutil.which(command) is None]
    if missing:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environ)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True, env=environ
        )


@contextmanager
def locked(what: str) -> Iterator[None]:
    """One process at a time, of all runs of the tests on this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
