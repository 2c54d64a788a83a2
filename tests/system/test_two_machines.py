"""Two machines joined by a cable, one watching both, set up with the README's commands to the letter."""

import csv
import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import CHECKOUT
from .machine import Machine, boot, join
from .watching import about, snapshot

AGENT, SUPERVISOR = "10.0.0.5", "10.0.0.2"
NAME = f"{AGENT}:5000"
OUTAGE_SECONDS = 10


@dataclass(frozen=True)
class Pair:
    """The machine that watches, and the second one."""

    watching: Machine
    watched: Machine


def commands_of(heading: str) -> list[str]:
    """What a section of the README says to type, block by block."""
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    return re.findall(r"```sh\n(.*?)```", re.split("^##+ ", section, maxsplit=1, flags=re.M)[0], re.S)


INSTALL_AND_WATCH, TELL_STATES = commands_of("## Use it")
INSTALL = INSTALL_AND_WATCH.splitlines()[0]
SECURE_THE_FIRST, ADD_THE_SECOND = commands_of("### Watch a second machine")


def do(machine: Machine, commands: str) -> None:
    """Type these commands where the package was copied to, and say yes to apt."""
    machine.run(f"set -eu; cd /root\n{commands}", stdin=b"y\n")


def let_in(watching: Machine, watched: Machine) -> None:
    """The administrator may log in from one machine to the other."""
    watching.run("apt install -y openssh-client && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
    watching.run("echo 'StrictHostKeyChecking accept-new' >/root/.ssh/config")
    key = watching.run("cat /root/.ssh/id_ed25519.pub")
    watched.run("apt install -y openssh-server && mkdir -pm 700 /root/.ssh")
    watched.run("cat >/root/.ssh/authorized_keys", stdin=key.encode())


@pytest.fixture(scope="module")
def pair(root: Path, deb: Path) -> Iterator[Pair]:
    """Two fresh machines, on which nothing was done but what the README says: what the second one was told came from
    the first, over the cable. Without a network apt has what the package depends on in its cache.
    """
    with boot([root]) as watching, boot([root]) as watched:
        for machine, name in ((watching, "watching"), (watched, "watched")):
            machine.run(f"hostname {name}")
            machine.copy_in(deb, "/root/monitoring-agent.deb")
        join(watching, f"{SUPERVISOR}/24", watched, f"{AGENT}/24")
        let_in(watching, watched)
        do(watching, INSTALL_AND_WATCH)
        do(watched, INSTALL)
        do(watching, SECURE_THE_FIRST)
        do(watching, ADD_THE_SECOND)
        yield Pair(watching, watched)


def second(pair: Pair, state: str, within: float) -> None:
    pair.watching.wait_until(
        lambda: snapshot(pair.watching)["agents"].get(NAME, {}).get("state") == state, within, f"{NAME} is {state}"
    )


def test_the_second_machine_is_watched_after_the_commands_of_the_readme(pair: Pair) -> None:
    second(pair, "up", 20)
    pair.watching.wait_until(lambda: about(pair.watching, NAME)["report"], 20, "its metrics are collected")
    assert about(pair.watching, NAME)["report"]["host"]["hostname"] == "watched"
    pair.watching.wait_until(
        lambda: pair.watching.attempt("monitoringctl status").stdout == "2 agents: 2 up\n", 20, "both are up"
    )
    assert set(pair.watching.run(TELL_STATES).splitlines()) == {"127.0.0.1:5000 up None", f"{NAME} up None"}
    told = pair.watching.journal("monitoring-supervisor")
    for name in ("127.0.0.1:5000", NAME):
        assert f"{name} is up: it answered for the first time" in told
    assert not [line for line in told if "are one machine" in line]


def asked(pair: Pair, options: str = "") -> str:
    """The status that the second machine's agent answers to its own certificate's authority; 000 without an answer."""
    curl = "curl -s --cacert /etc/monitoring/tls/ca.pem -o /dev/null -w '%{http_code}' --max-time 5"
    return pair.watching.attempt(f"{curl} {options} https://{AGENT}:5000/getmetrics").stdout


def test_nobody_but_the_supervisor_with_its_certificate_and_its_token_gets_anything_from_it(pair: Pair) -> None:
    second(pair, "up", 20)
    certificate = "--cert /etc/monitoring/tls/cert.pem --key /etc/monitoring/tls/key.pem"
    token = "-H \"Authorization: Bearer $(cat /etc/monitoring/token)\""
    assert asked(pair, f"{certificate} {token}") == "200"
    assert asked(pair, certificate) == "401"
    assert asked(pair, token) == "000", "without a certificate there is no handshake"
    pair.watching.run("ip address add 10.0.0.3/24 dev host0")
    assert asked(pair, f"--interface 10.0.0.3 {certificate} {token}") == "000", "nor from another address"
    pair.watching.run("ip address del 10.0.0.3/24 dev host0")


def test_with_the_certificate_of_an_agent_no_agent_can_be_asked(pair: Pair) -> None:
    """From an address that is on the list of those who may ask, so that it is the certificate that counts."""
    second(pair, "up", 20)
    token = "-H \"Authorization: Bearer $(cat /etc/monitoring/token)\""
    there = f"https://{AGENT}:5000/getmetrics --connect-to {AGENT}:5000:127.0.0.1:5000"
    curl = f"curl -s --cacert /etc/monitoring/tls/ca.pem -o /dev/null -w '%{{http_code}}' --max-time 5 {token} {there}"
    own = "--cert /etc/monitoring/tls/cert.pem --key /etc/monitoring/tls/key.pem"
    assert pair.watched.attempt(f"{curl} {own}").stdout == "000"
    for name in ("cert", "key"):
        pair.watched.run(
            f"cat >/root/{name}.pem", stdin=pair.watching.run(f"cat /etc/monitoring/tls/{name}.pem").encode()
        )
    assert pair.watched.attempt(f"{curl} --cert /root/cert.pem --key /root/key.pem").stdout == "200"
    assert pair.watched.attempt("ls /etc/monitoring/ca").returncode != 0


def test_probe_goes_through_every_step_and_tells_until_when_the_certificate_is_good(pair: Pair) -> None:
    second(pair, "up", 20)
    told = pair.watching.run(f"monitoringctl probe {AGENT}")
    assert re.search(rf"ok +TLS +TLSv1\.3, the certificate is valid for {AGENT} until \d{{4}}-\d\d-\d\d", told)
    assert "FAILED" not in told


def test_a_cut_cable_is_told_with_the_reason_and_after_it_is_joined_no_second_is_missing(pair: Pair) -> None:
    second(pair, "up", 20)
    cut_at = time.time()
    pair.watched.run("ip link set host0 down")
    second(pair, "down", 40)
    status = pair.watching.attempt("monitoringctl status")
    assert status.returncode == 1
    assert status.stdout.startswith("2 agents: 1 up, 1 down\n")
    failure = about(pair.watching, NAME)["failure"]
    assert failure["kind"] in {"unreachable", "timeout_connect", "timeout_answer"}
    (line,) = [one for one in pair.watching.journal("monitoring-supervisor", cut_at) if f"{NAME} is down" in one]
    assert failure["detail"] in line
    assert "last seen with load" in line

    while time.time() < cut_at + OUTAGE_SECONDS:
        time.sleep(0.5)
    joined_at = time.time()
    pair.watched.run("ip link set host0 up")
    second(pair, "up", 40)
    lines = pair.watching.journal("monitoring-supervisor", cut_at)
    assert [one for one in lines if f"{NAME} is up: it answers again" in one]
    assert not [one for one in lines if "127.0.0.1:5000" in one], "the machine that watches was not concerned"

    def seconds_without_a_report() -> set[int]:
        asked = f"monitoringctl history {NAME} load.tasks --since @{cut_at:.0f} --until @{joined_at:.0f} --step 1s"
        rows = csv.DictReader(io.StringIO(pair.watching.run(f"{asked} --format csv")))
        there = {int(float(row["at"])) for row in rows}
        return {at for at in range(int(cut_at) + 2, int(joined_at) - 2) if not there & {at, at + 1}}

    pair.watching.wait_until(lambda: not seconds_without_a_report(), 60, "the gap is filled from the agent's memory")
