"""Names of agents through the whole supervisor: the system's own resolver, and a hosts file for that process alone."""

import ctypes
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitoring_supervisor.resolver import FRESH_SECONDS
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, wait_for
from tests.integration.rogues import Rogue, hangs_up, well_behaved

# See unshare(2) and mount(2).
CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x1000, 0x4000, 0x40000
LIBC = ctypes.CDLL(None, use_errno=True)


def must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def with_own(**files: Path) -> Callable[[], None]:
    """For a child before it begins: it sees these files in /etc, by their names there, and nobody else does."""
    user, group = os.geteuid(), os.getegid()

    def enter() -> None:
        must(LIBC.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)))
        if user:  # who is not root may mount where he is root: in a user namespace of his own
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        must(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        for name, file in files.items():
            must(LIBC.mount(bytes(file), f"/etc/{name.replace('_', '.')}".encode(), None, MS_BIND, None))

    return enter


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    file = tmp_path / "hosts"
    file.write_text("", encoding="ascii")
    (tmp_path / "nsswitch").write_text("hosts: files\n", encoding="ascii")
    return file


def answers_and_hangs_up(connection: socket.socket, path: str) -> bool:
    well_behaved(connection, path)
    return False


def seen_by(rogue: Rogue) -> Callable[[], bool]:
    """Whether it is asked for its metrics from now on."""
    before = len(rogue.paths)
    return lambda: any(path.startswith("/getmetrics") for path in rogue.paths[before:])


def down_lines(supervisor: SupervisorDaemon, name: str) -> list[str]:
    return [line for line in supervisor.lines if f"{name} is down" in line]


def test_names_that_come_move_and_go_are_followed_and_hold_up_nobody(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue, hosts: Path
) -> None:
    # In place: what is mounted over /etc/hosts is this very file.
    def write_hosts(**addresses: str) -> None:
        lines = [f"{address} {name}.test\n" for name, address in addresses.items()]
        hosts.write_text("".join(lines), encoding="ascii")

    first = make_rogue(well_behaved, "127.0.9.1")
    port = first.port
    second, late, by_address = (make_rogue(well_behaved, f"127.0.9.{number}", port) for number in (2, 3, 4))
    moves, comes = f"moves.test:{port}", f"comes.test:{port}"
    write_hosts(moves="127.0.9.1")
    supervisor = make_supervisor(moves, comes, by_address.name)
    supervisor.before_start = with_own(hosts=hosts, nsswitch_conf=hosts.with_name("nsswitch"))
    supervisor.start().wait_ready()
    supervisor.wait_state(moves, "up")
    about = supervisor.wait_state(comes, "down")
    assert (about["failure"]["kind"], about["since"]) == ("name_not_found", None)

    # A name that nobody knew is asked for again at every check.
    write_hosts(moves="127.0.9.1", comes="127.0.9.3")
    supervisor.wait_state(comes, "up")
    assert late.paths
    wait_for(lambda: supervisor.said(f"{comes} is up: "))

    # One machine moves, and its old address is silent; of the other the name is gone, and each question needs a new
    # connection: the address that was good last is good still.
    late.behave = answers_and_hangs_up
    first.close()
    first.behave = hangs_up
    write_hosts(moves="127.0.9.2")
    supervisor.wait_state(moves, "down")
    began = time.monotonic()
    wait_for(seen_by(second), 3 * FRESH_SECONDS)
    supervisor.wait_state(moves, "up")
    wait_for(lambda: time.monotonic() > began + FRESH_SECONDS + 5, 2 * FRESH_SECONDS)
    wait_for(seen_by(late))
    assert supervisor.agent(comes)["state"] == "up"
    assert len(down_lines(supervisor, comes)) == 1

    # The rest noticed nothing, and a machine that is gone with its name is down for what it does.
    late.close()
    late.behave = hangs_up
    assert supervisor.wait_state(comes, "down")["failure"]["kind"] == "refused"
    assert down_lines(supervisor, by_address.name) == []
    assert not supervisor.said("Traceback")
