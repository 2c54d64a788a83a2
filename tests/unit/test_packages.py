"""What a Debian machine waits for, from a frozen machine's files and from what apt says."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.collectors.packages import Packages, held, lists_age_seconds, parse_simulation, reboot_reasons
from monitoring_agent.collectors.registry import collectors
from monitoring_agent.host import Host
from monitoring_agent.metric import find

TREES = Path(__file__).parents[1] / "trees"
BOOTED = 1794900000  # in the frozen /proc/stat

SIMULATION = """\
NOTE: This is only a simulation!
Inst libssl3 [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])
Inst base-files [12.4] (12.5 Debian:12.5/stable [amd64])
Inst newcomer (1.0 Debian:12.5/stable [amd64])
Conf libssl3 (3.0.2 Debian-Security:12/stable-security [amd64])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A frozen machine, to be changed. Its kernel was installed before it was started."""
    copied = tmp_path / "root"
    shutil.copytree(TREES / "vm", copied)
    os.utime(copied / "var/lib/dpkg/info/linux-image-6.1.0-28-amd64.list", (BOOTED - 86400,) * 2)
    return copied


class Apt:
    """What apt-get says, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def simulate(self) -> str:
        self.asked += 1
        return SIMULATION


def test_updates_are_those_of_installed_packages_and_told_apart_by_their_archive() -> None:
    assert parse_simulation(SIMULATION) == {"updates_pending": 2, "security_updates_pending": 1}


@pytest.mark.parametrize(
    ("line", "security"),
    [
        ("Inst a [1] (2 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [amd64])", 1),
        ("Inst a:i386 [1] (2:1+security1 Debian:12/stable [i386])", 0),
        ("Inst security-tool [1] (2 Debian:12/stable [all])", 0),
        ("Inst a [1-security] (2 packages.example.org [amd64]) [b:amd64 ]", 0),
        ("Inst a [1] (2 [amd64])", 0),
    ],
)
def test_an_update_is_one_for_security_by_its_archive_and_not_by_its_name_or_version(line: str, security: int) -> None:
    assert parse_simulation(line) == {"updates_pending": 1, "security_updates_pending": security}


def test_a_debian_machine_tells_what_it_waits_for(root: Path) -> None:
    sample = Packages(Apt().simulate).collect(Host(str(root)))
    assert (sample["updates_pending"], sample["security_updates_pending"], sample["reboot_required"]) == (2, 1, 1)
    assert (sample["packages_held"], sample["held"]) == (2, {"bash": 1, "linux-image-amd64": 1})
    # Both said so themselves.
    assert sample["reboot_required_by"] == {"dbus": 1, "linux-image-6.1.0-29-amd64": 1}
    days = [time.strftime("%F", time.localtime(sample[f"release_end_of_{what}_at"])) for what in ("life", "lts")]
    assert days == ["2026-06-10", "2028-06-30"]
    (collector,) = (one for one in collectors() if one.name == "packages")
    assert [metric.path for metric in collector.metrics if not list(find(sample, metric.path))] == []


@pytest.mark.parametrize("text", ["", "Package: a", "Package: a\nStatus: hold", "Status: hold ok installed\n", "\n\n"])
def test_a_list_of_packages_that_is_cut_off_holds_none(text: str) -> None:
    assert held(text) == []


@pytest.mark.parametrize(
    "changed",
    [
        "var/lib/dpkg/status", "var/lib/apt/lists/new_InRelease", "etc/apt/sources.list", "etc/apt/preferences",
        "etc/apt/preferences.d/kept", "etc/apt/sources.list.d/more.sources", "etc/apt/apt.conf.d/99release",
    ],
)  # fmt: skip
def test_apt_is_asked_again_only_when_what_it_goes_by_has_changed(root: Path, changed: str) -> None:
    apt = Apt()
    collector = Packages(apt.simulate)
    for folder in ("preferences.d", "sources.list.d", "apt.conf.d"):
        (root / "etc/apt" / folder).mkdir(parents=True)
    (root / "etc/apt/preferences.d/kept").write_text("Package: a", encoding="ascii")
    for path in (*root.rglob("etc/apt/*"), root / "var/lib/dpkg/status", root / "var/lib/apt/lists"):
        os.utime(path, (1000, 1000))
    for _ in range(3):
        collector.collect(Host(str(root)))
    assert apt.asked == 1
    (root / changed).write_text("", encoding="ascii")
    for _ in range(3):
        sample = collector.collect(Host(str(root)))
    assert apt.asked == 2
    if changed == "var/lib/dpkg/status":
        assert (sample["packages_held"], sample["held"]) == (0, {})


def test_lists_are_as_old_as_the_last_answer_whatever_their_own_times_are(root: Path) -> None:
    host = Host(str(root))
    for path in (root / "var/lib/apt/lists", *root.glob("var/lib/apt/lists/*")):
        os.utime(path, (1000, 1000))  # the archive's times, and after an upgrade of apt those of its package
    age = lists_age_seconds(host)
    assert age is not None
    assert 0 <= age < 86400
    for path in root.glob("var/lib/apt/lists/*Release"):
        path.unlink()
    assert lists_age_seconds(host) is None


def install(root: Path, package: str, lines: str, since_boot: float) -> None:
    path = root / f"var/lib/dpkg/info/{package}.list"
    path.write_text(lines, encoding="ascii")
    os.utime(path, (BOOTED + since_boot,) * 2)


def reasons(root: Path) -> Any:
    for said in root.glob("run/reboot-required*"):
        said.unlink()
    return reboot_reasons(Host(str(root)))


@pytest.mark.parametrize(
    ("kernel", "since_boot", "wanted"),
    [
        ("6.1.0-29-amd64", 60, True),
        ("6.1.0-28-amd64", 60, True),  # built anew under the same name
        ("6.10.11+bpo-amd64", 60, True),
        ("6.1.0-29-amd64", -60, False),
        ("6.1.0-9-amd64", 60, False),
        ("5.10.0-40-cloud-amd64", 60, False),
    ],
)
def test_a_kernel_wants_a_reboot_if_it_was_installed_since_the_last_and_is_not_older(
    root: Path, kernel: str, since_boot: float, wanted: bool
) -> None:
    install(root, f"linux-image-{kernel}", f"/.\n/boot/vmlinuz-{kernel}\n/usr\n", since_boot)
    assert reasons(root) == ([f"linux-image-{kernel}"] if wanted else [])


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("linux-image-6.1.0-99-amd64-dbg", "/usr/lib/debug/boot/vmlinux-6.1.0-99-amd64"),
        ("linux-image-amd64", "/usr/share/doc/linux-image-amd64/copyright"),
        ("linux-headers-6.1.0-99-amd64", "/usr/src/linux-headers-6.1.0-99-amd64/Makefile"),
    ],
)
def test_what_is_called_like_a_kernel_and_is_none_wants_no_reboot(root: Path, package: str, file: str) -> None:
    install(root, package, f"/.\n{file}\n", 60)
    assert reasons(root) == []


def test_packages_that_nobody_names_want_a_reboot_all_the_same(root: Path) -> None:
    (root / "run/reboot-required.pkgs").unlink()
    assert reboot_reasons(Host(str(root))) == ["unknown"]


def test_a_machine_without_dpkg_waits_for_nothing() -> None:
    assert Packages(Apt().simulate).collect(Host(str(TREES / "arm"))) == {}
