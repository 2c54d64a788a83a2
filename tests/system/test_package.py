"""The package itself, by Debian's own judges: lintian and autopkgtest; and that each release can build it."""

import re
import subprocess
from pathlib import Path

from .conftest import CHECKOUT
from .machine import Machine, boot
from .test_build import REST, SOURCE
from .watching import DAEMONS, ask

# Of the package and of its source. The first one is said in Debian 12 of every unit without an init script, and an
# overrides file for it would be a mistake to Debian 13's lintian. The other one is said in Debian 13 of what does not
# name its own standards, which Debian 12's would not know.
UNAVOIDABLE = {
    "bookworm": (["package-supports-alternative-init-but-no-init.d-script"] * len(DAEMONS), []),
    "trixie": ([], ["out-of-date-standards-version"]),
}
SKIPPED = ("--exclude=__pycache__", "--exclude=*.egg-info")
DEB = "/root/monitoring-agent.deb"


def copy_source(machine: Machine, folder: str) -> None:
    source = subprocess.run(["tar", "-C", CHECKOUT, "-c", *SKIPPED, *SOURCE, *REST], capture_output=True, check=True)
    machine.run(f"mkdir -p {folder} && tar -C {folder} -x --no-same-owner", stdin=source.stdout)


def tags(machine: Machine, what: str) -> list[str]:
    """What the machine's lintian says of it, by the tags; also what an override would hide.

    But neither notes (N) nor what lintian knows to be no mistake (M), such as texts in a Python package's metadata.
    """
    said = machine.run(f"lintian --allow-root --tag-display-limit 0 --show-overrides -EIL +pedantic {what}")
    lines = [line for line in said.splitlines() if not line.startswith(("N:", "M:"))]
    return [line.split(": ", 2)[2].split()[0] for line in lines]


def test_lintian_has_nothing_to_say_of_the_package_and_of_its_source(machine: Machine, release: str) -> None:
    machine.run("apt install -y lintian dpkg-dev")
    copy_source(machine, "/root/lintian/source")
    machine.run("cd /root/lintian && dpkg-source --build source")
    assert (tags(machine, DEB), tags(machine, "/root/lintian/*.dsc")) == UNAVOIDABLE[release]


def test_there_is_no_file_that_overrides_lintian(deb: Path) -> None:
    assert [path for path in (CHECKOUT / "debian").rglob("*") if "overrides" in path.name] == []
    assert "/lintian/" not in subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout


def test_a_release_builds_the_package_with_what_it_says_it_needs_and_takes_what_it_built(
    root: Path, release: str
) -> None:
    with boot([root]) as machine:
        copy_source(machine, "/root/build/source")
        machine.run("cd /root/build/source && apt-get build-dep -y ./", timeout=300)
        # The unit tests have run on this release's Python and libraries, see test_other_suites.py.
        machine.run("cd /root/build/source && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b", timeout=300)
        machine.run("apt-get install -y lintian")
        assert tags(machine, "/root/build/*.changes") == UNAVOIDABLE[release][0]
        machine.run("apt-get install -y /root/build/*.deb")
        assert machine.run("dpkg --verify monitoring-agent") == ""
        machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 15, "the agent answers")


def test_the_package_passes_its_own_tests_under_autopkgtest(root: Path, deb: Path) -> None:
    """On a machine that has nothing but autopkgtest: what the tests need beside is for debian/tests/control to say."""
    with boot([root]) as machine:
        machine.copy_in(deb, DEB)
        machine.run("apt install -y autopkgtest dpkg-dev")
        copy_source(machine, "/root/source")
        # The null runner cannot know that nothing else lives on this machine.
        options = "--no-built-binaries --user=root --ignore-restrictions=isolation-container"
        ended = machine.attempt(f"autopkgtest {options} {DEB} /root/source/ -- null", timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^watching +PASS$", ended.stdout, re.M)
