"""The whole life of the package on one machine that watches: installed, upgraded, downgraded, removed, purged."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .machine import Machine, boot
from .versions import variant, version_of
from .watching import DAEMONS, SETTINGS, STATE, about, ask, main_pid, state

PREVIOUS, CURRENT, NEXT = "/root/previous.deb", "/root/monitoring-agent.deb", "/root/next.deb"
AGENT, SUPERVISOR = DAEMONS
GONE = "127.0.0.1:5001"
RUNS, OFF = ("enabled", "active"), ("disabled", "inactive")
OWN_SETTINGS = f"# watched by the night shift\nWHITELIST_AGENT=127.0.0.1,{GONE}\n"

# What a running system writes by itself, and apt and dpkg about all packages.
OTHERS = (
    *("/dev /proc /run /sys /tmp /var/tmp /var/log /var/cache /root".split()),
    *("/var/lib/apt /var/lib/dpkg /var/lib/systemd /etc/.pwd.lock".split()),
)
# Policy, 9.2.2: a system user stays, since its number may own files somewhere. systemd-sysusers leaves a copy.
USERS = "/etc/passwd /etc/passwd- /etc/shadow /etc/shadow- /etc/group /etc/group- /etc/gshadow /etc/gshadow-".split()


@pytest.fixture(scope="module")
def bare(root: Path, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that has what the package depends on and nothing else, no network, and nothing to download from."""
    folder = tmp_path_factory.mktemp("versions")
    depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    packages = [one.split("|")[0].split("(")[0].strip() for one in depends.split(",")]
    settings = subprocess.run(
        f"dpkg-deb --fsys-tarfile '{deb}' | tar -xO .{SETTINGS}", shell=True, capture_output=True, text=True, check=True
    ).stdout
    with boot([root]) as machine:
        machine.run(f"apt install -y {' '.join(packages)}")
        machine.run("apt-get clean && rm -rf /var/lib/apt/lists/*")
        machine.copy_in(variant(deb, folder, "~previous", f"# as it was before\n{settings}"), PREVIOUS)
        machine.copy_in(deb, CURRENT)
        machine.copy_in(variant(deb, folder, "+next", f"{settings}# as it is from now on\n"), NEXT)
        yield machine


def files(machine: Machine) -> dict[str, str]:
    """Every file, folder and link that is nobody else's, with its owner, mode and content."""
    pruned = " -o ".join(f"-path {path}" for path in (*OTHERS, *USERS))
    found = machine.run(f"find / -xdev \\( {pruned} \\) -prune -o -printf '%p\\t%y %u:%g %m %l\\n'").splitlines()
    sums = machine.run(f"find / -xdev \\( {pruned} -o -path /usr \\) -prune -o -type f -print0 | xargs -0 md5sum")
    content = {path: digest for digest, _, path in (line.partition("  ") for line in sums.splitlines())}
    return {path: f"{about} {content.get(path, '')}" for path, _, about in (line.partition("\t") for line in found)}


def installed(machine: Machine) -> str:
    return machine.run("dpkg-query -W -f '${Version}' monitoring-agent")


def units(machine: Machine) -> list[tuple[str, str]]:
    """Whether the agent and the supervisor are enabled and whether they run; no unit of the machine has failed."""
    assert machine.run("systemctl --failed --plain --no-legend") == ""
    said = ("is-enabled", "is-active")
    answers = [[machine.attempt(f"systemctl {what} {unit}").stdout.strip() for what in said] for unit in DAEMONS]
    return [(enabled, active) for enabled, active in answers]


def runs(machine: Machine, before: dict[str, int]) -> dict[str, int]:
    """The processes of both daemons, which are new ones and answer."""
    now = {unit: main_pid(machine, unit) for unit in DAEMONS}
    assert units(machine) == [RUNS, RUNS]
    assert all(pid not in {0, before.get(unit)} for unit, pid in now.items())
    machine.wait_until(lambda: ask(machine, "/healthcheck")[0] == 200, 15, "the agent answers")
    return now


def watch(machine: Machine) -> None:
    """With settings of its own it watches two agents, of which the second has gone down."""
    machine.run(f"cat >{SETTINGS}", stdin=OWN_SETTINGS.encode())
    machine.run(f"chgrp _monitoring {SETTINGS} && chmod 0640 {SETTINGS}")
    second = f"-p User=_monitoring-agent -p Group=_monitoring -E AGENT_LISTEN={GONE} -E LOG_LEVEL=error"
    machine.run(f"systemctl reload {AGENT}; systemd-run --collect --unit=second {second} /usr/bin/monitoring-agent")
    machine.run(f"systemctl enable --now {SUPERVISOR}")
    machine.wait_until(lambda: (state(machine), state(machine, GONE)) == ("up", "up"), 20, "both are up")
    machine.run("systemctl stop second")
    machine.wait_until(lambda: state(machine, GONE) == "down", 20, "the second is down")


def kept(machine: Machine) -> tuple[Any, ...]:
    """What no version may touch: what the supervisor thinks of the one that is down, and the administrator's files."""
    machine.wait_until(lambda: state(machine) == "up", 15, "the agent is up, or up again")
    gone = about(machine, GONE)
    looks = machine.run(f"cat {SETTINGS} /etc/monitoring/token; stat -c '%a %U:%G' {SETTINGS} /etc/monitoring/token")
    return gone["state"], gone["since"], gone["failure"]["since"], gone["report"]["host"], looks


def is_as_it_was(machine: Machine, before: dict[str, str]) -> None:
    """Nothing is there that was not there before, but for the users, and nothing of it runs or has failed."""
    assert machine.run("getent passwd _monitoring-agent _monitoring-supervisor").count("\n") == 1
    after = files(machine)
    assert {path: (before.get(path), after.get(path)) for path in before.keys() ^ after.keys()} == {}
    assert {path for path in before if after[path] != before[path]} == set()
    assert machine.run("find /run /tmp /var/tmp /var/lib/systemd /etc/systemd -name '*monitoring*'") == ""
    assert machine.run("systemctl list-units --all --plain --no-legend 'monitoring*'") == ""
    assert [active for _, active in units(machine)] == ["inactive", "inactive"]


def test_a_watching_machine_lives_through_every_version_and_nothing_is_left_after_the_purge(
    bare: Machine, deb: Path
) -> None:
    before = files(bare)

    # Installed without a network: the dependencies are there.
    bare.run(f"apt install -y {PREVIOUS}")
    assert installed(bare) == f"{version_of(deb)}~previous"
    assert units(bare) == [RUNS, OFF]
    token = bare.run("cat /etc/monitoring/token")

    # Upgraded with settings that nobody touched: the new ones come, and nobody is asked.
    bare.run(f"apt install -y {CURRENT}")
    assert "as it was before" not in bare.run(f"cat {SETTINGS}")
    assert units(bare) == [RUNS, OFF]

    watch(bare)
    bare.run("monitoringctl enroll --here")
    pids = runs(bare, {})
    before_upgrades = kept(bare)

    # Upgraded to the same settings: no question. The supervisor knows what it knew, the agent why it was stopped.
    bare.run(f"apt install -y --reinstall {CURRENT}")
    pids = runs(bare, pids)
    assert kept(bare) == before_upgrades
    assert json.loads(ask(bare, "/healthcheck", token=True)[1])["previous"]["end"] == "package_upgrade"
    assert bare.attempt("test -e /run/monitoring-agent.upgrade").returncode != 0

    # Upgraded to other ones, as unattended-upgrades does it: the administrator's stay, the new ones lie beside.
    bare.run(f"apt install -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold {NEXT}")
    assert installed(bare) == f"{version_of(deb)}+next"
    pids = runs(bare, pids)
    assert kept(bare) == before_upgrades
    assert "as it is from now on" in bare.run(f"cat {SETTINGS}.dpkg-dist")

    # Downgraded, and the same.
    bare.run(f"apt install -y --allow-downgrades -o Dpkg::Options::=--force-confold {CURRENT}")
    assert installed(bare) == version_of(deb)
    pids = runs(bare, pids)
    assert kept(bare) == before_upgrades

    # Removed: nothing runs, everything that is not the package's own stays.
    bare.run("apt remove -y monitoring-agent")
    assert [bare.attempt(f"test -d /proc/{pid}").returncode for pid in pids.values()] == [1, 1]
    assert [active for _, active in units(bare)] == ["inactive", "inactive"]
    assert bare.attempt("command -v monitoring-agent monitoring-supervisor monitoringctl").stdout == ""
    bare.run(f"ls {SETTINGS} /etc/monitoring/token {STATE} /var/lib/monitoring/history.db")
    bare.run("ls /etc/monitoring/ca/ca.key /etc/monitoring/tls/key.pem")

    # Installed again: as it was, since the supervisor was enabled and nobody disabled it.
    bare.run(f"apt install -y {CURRENT}")
    runs(bare, pids)
    assert kept(bare) == before_upgrades

    # Purged: as if it had never been there, but for its users.
    bare.run("apt purge -y monitoring-agent")
    is_as_it_was(bare, before)

    # And once more, as on a new machine.
    bare.run(f"apt install -y {CURRENT}")
    assert units(bare) == [RUNS, OFF]
    assert bare.run("cat /etc/monitoring/token") != token

    # Removed, and purged later: until then dpkg knows of the settings, and they are there.
    bare.run("apt remove -y monitoring-agent")
    assert bare.run("dpkg-query -W -f '${db:Status-Abbrev}' monitoring-agent").strip() == "rc"
    assert bare.run("dpkg-query -W -f '${Conffiles}' monitoring-agent").split()[0] == SETTINGS
    bare.run(f"ls {SETTINGS} /etc/monitoring/token /var/lib/monitoring-agent/life.json")
    assert [active for _, active in units(bare)] == ["inactive", "inactive"]
    bare.run("dpkg --purge monitoring-agent")
    assert bare.attempt("dpkg-query -W monitoring-agent").returncode == 1
    is_as_it_was(bare, before)


def test_settings_changed_on_both_sides_are_a_question_and_without_an_answer_nothing_is_lost(bare: Machine) -> None:
    bare.run(f"apt install -y {CURRENT}")
    bare.run(f"cat >{SETTINGS}", stdin=OWN_SETTINGS.encode())
    asked = bare.attempt(f"apt install -y {NEXT}")
    assert asked.returncode != 0
    assert "conffile" in asked.stdout + asked.stderr
    assert bare.run(f"cat {SETTINGS}") == OWN_SETTINGS.strip()
    bare.run("dpkg --force-confold --configure -a")
    assert bare.run(f"cat {SETTINGS}") == OWN_SETTINGS.strip()
    bare.wait_until(lambda: ask(bare, "/healthcheck")[0] == 200, 15, "the agent answers")
