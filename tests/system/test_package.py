"""The package itself, by Debian's own judges: lintian and autopkgtest."""

import re
import subprocess

from .conftest import CHECKOUT
from .machine import Machine
from .test_build import REST, SOURCE

# Only Debian 12's lintian has the first one, for every package with a unit and no init script. An overrides file would
# be a mistake of its own for Debian 13's.
UNAVOIDABLE = (
    "package-supports-alternative-init-but-no-init.d-script",
    "out-of-date-standards-version",  # only Debian 13's; for a newer one Debian 12's has a tag
)
SKIPPED = ("--exclude=__pycache__", "--exclude=*.egg-info")


def test_lintian_has_nothing_to_say_of_the_package_and_of_its_source(machine: Machine) -> None:
    machine.run("apt install -y lintian dpkg-dev && mkdir -p /root/lintian/source")
    source = subprocess.run(["tar", "-C", CHECKOUT, "-c", *SKIPPED, *SOURCE, *REST], capture_output=True, check=True)
    machine.run("tar -C /root/lintian/source -x --no-same-owner", stdin=source.stdout)
    machine.run("cd /root/lintian && dpkg-source --build source")
    for what in ("/root/monitoring-agent.deb", "/root/lintian/*.dsc"):
        said = machine.run(f"lintian --allow-root --tag-display-limit 0 -EIL +pedantic {what}")
        assert [line for line in said.splitlines() if not any(tag in line for tag in UNAVOIDABLE)] == []


def test_the_package_passes_its_own_tests_under_autopkgtest(machine: Machine) -> None:
    machine.run("apt install -y autopkgtest dpkg-dev")
    source = subprocess.run(["tar", "-C", CHECKOUT, "-c", "debian", "README.md"], capture_output=True, check=True)
    machine.run("mkdir /root/source && tar -C /root/source -x", stdin=source.stdout)
    # The null runner cannot know that nothing else lives on this machine.
    options = "--no-built-binaries --user=root --ignore-restrictions=isolation-container"
    ended = machine.attempt(f"autopkgtest {options} /root/monitoring-agent.deb /root/source/ -- null", timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^watching +PASS$", ended.stdout, re.M)
