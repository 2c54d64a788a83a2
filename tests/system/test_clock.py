"""What the confined agent knows of the clock: as much as those tell who keep it."""

from collections.abc import Iterator
from typing import Any

import pytest

from .machine import Machine
from .test_facts import report

AHEAD_SECONDS = 0.25

# A time server whose clock is ahead (RFC 5905, section 7.3): stratum 1, its times in the format of 1900.
SERVER = f"""
import socket, struct, time
def now():
    return int((time.time() + {AHEAD_SECONDS} + 2208988800) * 2**32)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 123))
while True:
    asked, who = server.recvfrom(1000)
    times = struct.pack(">Q8sQQ", now(), asked[40:48], now(), now())
    server.sendto(struct.pack(">BBbbII4s", 0o44, 1, asked[2], -20, 0, 0, b"TEST") + times, who)
"""

# A container may not set the clock of its host, and as delivered timesyncd does not even try in one.
IN_A_CONTAINER = "[Unit]\nConditionVirtualization=\nConditionCapability=\n[Service]\nAmbientCapabilities=\n"


@pytest.fixture
def kept(own_machine: Machine) -> Iterator[Machine]:
    """A machine whose clock systemd-timesyncd compares with a server that is ahead."""
    own_machine.run("apt-get install -y -qq --no-install-recommends systemd-timesyncd >/dev/null 2>&1")
    folder = "/etc/systemd/system/systemd-timesyncd.service.d"
    own_machine.run(f"mkdir -p {folder} && cat >{folder}/test.conf", stdin=IN_A_CONTAINER.encode())
    own_machine.run("cat >/etc/systemd/timesyncd.conf", stdin=b"[Time]\nNTP=127.0.0.1\n")
    own_machine.run("cat >/root/server.py", stdin=SERVER.encode())
    own_machine.run("systemd-run --unit=server python3 /root/server.py")
    own_machine.run("systemctl daemon-reload && systemctl restart systemd-timesyncd")
    own_machine.wait_until(lambda: offset_by_timedatectl(own_machine), 30, "timesyncd had an answer")
    yield own_machine


def offset_by_timedatectl(machine: Machine) -> str:
    return machine.attempt("timedatectl timesync-status | grep Offset").stdout


def clock_of_a_fresh_agent(machine: Machine) -> dict[str, Any]:
    machine.run("systemctl restart monitoring-agent")
    machine.wait_until(lambda: "clock" in report(machine), 30, "the clock was looked at")
    clock: dict[str, Any] = report(machine)["clock"]
    return clock


def test_the_confined_agent_knows_how_far_the_clock_is_off_whoever_keeps_it(kept: Machine) -> None:
    clock = clock_of_a_fresh_agent(kept)
    assert clock["offset_seconds"] == pytest.approx(AHEAD_SECONDS, abs=0.1)
    kept.run("apt-get install -y -qq --no-install-recommends chrony >/dev/null 2>&1; systemctl stop chrony")
    kept.run("cat >/root/chrony.conf", stdin=b"server 127.0.0.1 iburst minpoll 0 maxpoll 0\nport 0\n")
    kept.run("systemd-run --unit=keeper chronyd -x -d -f /root/chrony.conf")  # compares, and does not set the clock
    kept.wait_until(lambda: "Normal" in kept.attempt("chronyc tracking").stdout, 30, "chrony had answers")
    clock = clock_of_a_fresh_agent(kept)
    assert clock["offset_seconds"] == pytest.approx(AHEAD_SECONDS, abs=0.1)
    synchronised = kept.run("timedatectl show --property=NTPSynchronized --value")
    assert clock["synchronised"] == {"yes": 1, "no": 0}[synchronised]
    assert ("maximum_error_seconds" in clock) == (synchronised == "no")
