"""What the installed and confined agent says of updates, holds and reboots, beside apt and dpkg of the same machine."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .machine import Machine
from .test_facts import report

# The steps in which the age of a sample is told.
SECONDS = 5.0

# Newer versions of what every machine has, by the archive that offers them: what a real one has, with a version that
# only sounds like security, one that needs a package which is not there yet, and one that cannot be installed.
OFFERED: dict[str, dict[str, dict[str, str]]] = {
    "Debian-Security": {"curl": {}, "libc-bin": {}},
    "Debian": {
        "base-files": {},
        "hostname": {"Version": "99:1+security1"},
        "iproute2": {"Depends": "newcomer"},
        "newcomer": {},
        "procps": {"Depends": "what-nobody-has"},
    },
}
SUITES = {"Debian-Security": "stable-security", "Debian": "stable"}
PENDING, SECURITY = 5, 2  # without newcomer, which is new, and procps, which is kept back


def packages(machine: Machine) -> dict[str, Any]:
    """What the agent says of packages now, and when it looked. It looks once an hour, and soon after its start."""
    machine.run("systemctl restart monitoring-agent")
    machine.wait_until(lambda: "packages" in report(machine).get("collectors", {}), 60, "packages were looked at")
    whole = report(machine)
    about = whole["collectors"]["packages"]
    assert about["ok"], about
    looked_at = whole["collected_at"] - about["age_seconds"]
    return {**whole["packages"], "looked_at": looked_at}


def by_apt(machine: Machine) -> dict[str, str]:
    """What root's apt-get would upgrade, and all that it says of the new version."""
    lines = machine.run("apt-get --simulate dist-upgrade").splitlines()
    return {line.split()[1]: line.partition("] (")[2] for line in lines if line.startswith("Inst ") and " [" in
            line.partition("(")[0]}  # fmt: skip


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which gpg has a key of its own: apt takes no note of a second answer that is not signed."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    environ = {**os.environ, "GNUPGHOME": str(home)}
    made = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "archive@example.org", "rsa2048"]
    subprocess.run([*made, "sign", "never"], check=True, env=environ, capture_output=True)
    return environ


@pytest.fixture
def archives(machine: Machine, key: dict[str, str]) -> Iterator[Machine]:
    """The machine with two archives of its own for apt's only sources, and its lists fetched from them."""
    machine.run("mkdir -p /root/sources && mv /etc/apt/sources.list /root/sources/")
    exported = subprocess.run(["gpg", "--export"], check=True, env=key, capture_output=True).stdout
    machine.run("cat >/etc/apt/trusted.gpg.d/archive.gpg && chmod 644 /etc/apt/trusted.gpg.d/archive.gpg", exported)
    for label, offered in OFFERED.items():
        folder = f"/srv/archive/{label}"
        machine.run(f"mkdir -p {folder}")
        machine.run(f"cat >{folder}/Packages", stdin="\n".join(offers(machine, offered)).encode())
        release = f"Origin: Debian\nLabel: {label}\nSuite: {SUITES[label]}\nVersion: 12\nDate: {{}}\nSHA256:\n {{}}\n"
        sums = machine.run(f"cd {folder} && echo $(sha256sum <Packages | head -c 64) $(stat -c %s Packages) Packages")
        signed = subprocess.run(
            ["gpg", "--batch", "--quiet", "--clearsign"],
            input=release.format(machine.run("date -Ru"), sums).encode(),
            check=True,
            env=key,
            capture_output=True,
        ).stdout
        machine.run(f"cat >{folder}/InRelease", stdin=signed)
    lines = "".join(f"deb http://127.0.0.1:8099/{label} ./\n" for label in OFFERED)
    machine.run("cat >/etc/apt/sources.list.d/archives.list", stdin=lines.encode())
    serve(machine)
    machine.run("apt-get update")
    yield machine
    machine.attempt("systemctl stop archive")
    machine.run("rm -r /srv/archive /etc/apt/sources.list.d/archives.list /etc/apt/trusted.gpg.d/archive.gpg")
    machine.run("mv /root/sources/sources.list /etc/apt/")


def serve(machine: Machine) -> None:
    machine.run("systemd-run --unit=archive --collect python3 -m http.server -b 127.0.0.1 -d /srv/archive 8099")
    machine.wait_until(
        lambda: machine.attempt("curl -sSf -o /dev/null http://127.0.0.1:8099/").returncode == 0, 20, "it is served"
    )


def offers(machine: Machine, offered: dict[str, dict[str, str]]) -> Iterator[str]:
    """The paragraphs of an index of packages."""
    for name, other in offered.items():
        architecture = machine.attempt(f"dpkg-query -W -f '${{Architecture}}' {name}").stdout or "all"
        fields = {"Package": name, "Version": "99:1", "Architecture": architecture, "Maintainer": "<x@example.org>"}
        fields |= {"Filename": f"./{name}.deb", "Size": "1", "SHA256": "0" * 64, "Description": "x", **other}
        yield "".join(f"{key}: {value}\n" for key, value in fields.items())


# A kernel that is newer than any machine runs, its symbols for debugging, the package that depends on the newest one,
# a kernel that is older, and one that was there when the machine was started.
NEWER, EARLIER = "linux-image-99.1.0-2-amd64", "linux-image-99.1.0-1-amd64"
KERNELS = {
    NEWER: "/boot/vmlinuz-99.1.0-2-amd64",
    f"{NEWER}-dbg": "/usr/lib/debug/boot/vmlinux-99.1.0-2-amd64",
    "linux-image-amd64": "/usr/share/doc/linux-image-amd64/changelog",
    "linux-image-2.6.32-5-amd64": "/boot/vmlinuz-2.6.32-5-amd64",
    EARLIER: "/boot/vmlinuz-99.1.0-1-amd64",
}


def install_kernels(machine: Machine) -> None:
    for name, file in KERNELS.items():
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: <x@example.org>\nDescription: x\n"
        machine.run(f"mkdir -p /root/{name}/DEBIAN /root/{name}{Path(file).parent} && touch /root/{name}{file}")
        machine.run(f"cat >/root/{name}/DEBIAN/control", stdin=control.encode())
        machine.run(f"dpkg-deb --build /root/{name} && dpkg --install /root/{name}.deb")
    machine.run(f"touch -d @$(( $(awk '/^btime/ {{print $2}}' /proc/stat) - 1 )) /var/lib/dpkg/info/{EARLIER}.list")


@dataclass(frozen=True)
class Looks:
    """What is said of a machine that waits for nothing, that then waits for all it can, and then for nothing again."""

    before: dict[str, Any]
    waiting: dict[str, Any]
    held: list[str]  # by apt-mark
    after: dict[str, Any]


@pytest.fixture(scope="module")
def looks(machine: Machine) -> Looks:
    before = packages(machine)
    machine.run("apt-mark hold curl bash")  # bash is an essential package, of which dpkg keeps one field more
    # What the hooks of unattended-upgrades and update-notifier write.
    machine.run("echo '*** System restart required ***' >/run/reboot-required")
    machine.run("printf 'dbus\\nlibc6\\ndbus\\n' >/run/reboot-required.pkgs")
    install_kernels(machine)
    waiting, held = packages(machine), machine.run("apt-mark showhold").split()
    machine.run(f"apt-mark unhold curl bash && rm /run/reboot-required* && dpkg --purge {' '.join(KERNELS)}")
    return Looks(before, waiting, held, packages(machine))


def test_held_packages_are_those_of_apt_mark(looks: Looks) -> None:
    assert sorted(looks.waiting["held"]) == looks.held == ["bash", "curl"]
    assert looks.waiting["packages_held"] == 2
    for idle in (looks.before, looks.after):
        assert (idle["packages_held"], idle["held"]) == (0, {})


def test_a_reboot_is_required_by_packages_that_say_so_and_by_a_newer_kernel_that_was_not_there_at_the_start(
    looks: Looks,
) -> None:
    assert looks.waiting["reboot_required"] == 1
    assert looks.waiting["reboot_required_by"] == {"dbus": 1, "libc6": 1, NEWER: 1}
    for idle in (looks.before, looks.after):
        assert (idle["reboot_required"], idle["reboot_required_by"]) == (0, {})


def agreed(machine: Machine, said: dict[str, Any]) -> tuple[int, int]:
    """How many updates the agent and apt-get agree on, and how many of them for security."""
    pending = by_apt(machine)
    security = [origin for origin in pending.values() if "Debian-Security:" in origin]
    assert (said["updates_pending"], said["security_updates_pending"]) == (len(pending), len(security))
    return len(pending), len(security)


def answered_at(said: dict[str, Any]) -> float:
    """When a source of apt's answered last, as the agent says it."""
    at: float = said["looked_at"] - said["lists_age_seconds"]
    return at


def clock(machine: Machine) -> float:
    return float(machine.run("date +%s.%N"))


def test_updates_are_those_of_apt_get_and_lists_are_as_old_as_the_last_answer_of_a_source(archives: Machine) -> None:
    archives.run("touch -d '20 days ago' /var/lib/apt/lists")  # as an upgrade of apt leaves it
    fetched_at = clock(archives)
    said = packages(archives)
    assert agreed(archives, said) == (PENDING, SECURITY)
    # The same by another way, which knows what is newer, and not what else that would need.
    listed = archives.run("apt list --upgradable 2>/dev/null").splitlines()[1:]
    assert len([line for line in listed if "/stable-security " in line]) == SECURITY
    assert {line.partition("/")[0] for line in listed} == set(by_apt(archives)) | {"procps"}
    assert answered_at(said) < fetched_at + SECONDS

    time.sleep(SECONDS)
    asked_at = clock(archives)
    assert archives.run("apt-get update").count("Hit:") == len(OFFERED)  # nothing new
    archives.run("apt-mark hold curl")
    pin = "Package: hostname\nPin: release l=Debian\nPin-Priority: -1\n"
    archives.run("cat >/etc/apt/preferences.d/hostname", stdin=pin.encode())
    said = packages(archives)
    assert agreed(archives, said) == (PENDING - 2, SECURITY - 1)
    assert asked_at - SECONDS <= answered_at(said)

    archives.run("systemctl stop archive")
    time.sleep(SECONDS)
    failed_at = clock(archives)
    assert "Err:" in archives.run("apt-get -o Acquire::Retries=0 update 2>&1")
    archives.run("rm /etc/apt/preferences.d/hostname && apt-mark unhold curl")
    said = packages(archives)
    assert agreed(archives, said) == (PENDING, SECURITY)
    assert asked_at - SECONDS <= answered_at(said) < failed_at - SECONDS
