"""Roots, the package, and machines that it is installed in, for Debian 12 and Debian 13."""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import roots
from .machine import Machine, boot

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """What was seen right after `apt install` on a fresh machine, and that machine's disk after it was shut down."""

    layers: list[Path]
    agent_state: str
    agent_answer: str


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in its own hook of this name
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With pytest-xdist, tests of one release go to one process, which installs the package once.

    The other suites are nearly as long as all the rest: a process of their own for each release.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
            group = f"{params.get('release', 'host')}-{'suites' if 'suite' in params else 'machine'}"
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="module")
def mounts_alone() -> Iterator[None]:
    """No test in another process mounts something on this machine, or looks at all its mounts, meanwhile."""
    with (Path(tempfile.gettempdir()) / "monitoring-tests-mounts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def release(request: pytest.FixtureRequest) -> str:
    """Every test that asks for it, directly or not, runs on each of these releases."""
    return str(request.param)


@pytest.fixture(scope="session")
def root(release: str) -> Path:
    """A fresh, minimal Debian."""
    return roots.root(release)


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package, built from this checkout by the command that everybody uses."""
    # The unit tests, which the build would run, have their own place in this run.
    environ = {**os.environ, "DEB_BUILD_OPTIONS": "nocheck"}
    command = ["make", "--no-print-directory", "deb"]
    with roots.locked("tools"):  # it may install what the build needs, and apt does not wait for another apt
        roots.install_tools()
        subprocess.run(command, cwd=CHECKOUT, check=True, stdin=subprocess.DEVNULL, env=environ)
    return CHECKOUT / "dist/monitoring-agent.deb"


@pytest.fixture(scope="session")
def installation(root: Path, deb: Path) -> Iterator[Installation]:
    """A fresh machine in which the package was installed with the README's command, then shut down."""
    layer = Path(tempfile.mkdtemp(prefix="monitoring-installed-", dir="/var/tmp"))
    try:
        with boot([root], keep=layer) as machine:
            machine.copy_in(deb, "/root/monitoring-agent.deb")
            # One shell for all three, so that nothing has time to get better meanwhile.
            seen = machine.run(
                "cd /root && apt install -y ./monitoring-agent.deb >/dev/null 2>&1"
                " && systemctl is-active monitoring-agent"
                " && curl -sS --max-time 2 http://127.0.0.1:5000/healthcheck"
            )
        state, _, health = seen.partition("\n")
        yield Installation([layer, root], state, health)
    finally:
        roots.remove(layer)


@pytest.fixture(scope="module")
def machine(installation: Installation) -> Iterator[Machine]:
    """A machine in which the package was installed, booted again; shared by the tests of a file."""
    with boot(installation.layers) as booted:
        yield booted


@pytest.fixture
def own_machine(installation: Installation) -> Iterator[Machine]:
    """The same for one test alone, which may leave it in any state."""
    with boot(installation.layers) as booted:
        yield booted
