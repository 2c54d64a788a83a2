"""How the daemons log, and what they tell systemd."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.systemd import Notifier

SPEAK = """
import logging, os, sys
from monitoring_agent.shared import journal
if sys.argv[1] == "journal":
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
journal.set_up("agent")
logging.warning("mount %s", "a\\nb\\x1b[31m")
logging.debug("not wanted")
try:
    raise ValueError("x\\x1by")
except ValueError:
    logging.exception("failed")
"""


def test_bytes_that_are_no_text_can_be_written_again() -> None:
    name = b"caf\xe9\x1b \xf0\x9f\x98\x80".decode("utf-8", "surrogateescape")
    assert printable(name).encode("utf-8") == "caf\ufffd\\x1b \U0001f600".encode()


def spoken(where: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SPEAK, where], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_every_line_for_the_journal_has_its_priority() -> None:
    lines = spoken("journal")
    assert lines[0] == r"<4>mount a\nb\x1b[31m"
    assert lines[1] == "<3>failed"
    assert all(line.startswith("<3>") for line in lines[1:])
    assert lines[-1] == r"<3>ValueError: x\x1by"


def test_on_a_terminal_a_line_says_when_who_and_how_bad() -> None:
    line = spoken("terminal")[0]
    assert line[8:] == r" agent warning: mount a\nb\x1b[31m"


def test_text_is_printable_whatever_it_was() -> None:
    assert printable("a\tb\x9b\u202e\U000e0001 é") == r"a\x09b\x9b\u202e\U000e0001 é"


@pytest.fixture
def notify_socket(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def notifier(notify_socket: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Notifier:
    monkeypatch.setenv("NOTIFY_SOCKET", notify_socket.getsockname())
    return Notifier()


def test_a_status_that_is_not_latin_is_sent_all_the_same(notify_socket: socket.socket, notifier: Notifier) -> None:
    notifier.ready("price 5 €\nWATCHDOG=trigger")
    assert notify_socket.recv(1000) == b"READY=1\nSTATUS=price 5 ? WATCHDOG=trigger"


def test_the_sign_of_life_is_alone_in_its_message(notify_socket: socket.socket, notifier: Notifier) -> None:
    notifier.alive()
    assert notify_socket.recv(1000) == b"WATCHDOG=1"


def test_a_reload_says_when_it_began(notify_socket: socket.socket, notifier: Notifier) -> None:
    notifier.reloading()
    assert notify_socket.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_children_and_libraries_cannot_speak_for_the_daemon(notifier: Notifier) -> None:
    notifier.alive()
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_watchdog_counts_only_if_it_is_meant_for_this_process() -> None:
    micros = "20000000"
    assert Notifier({"WATCHDOG_USEC": micros, "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 20.0
    assert Notifier({"WATCHDOG_USEC": micros, "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert Notifier({}).watchdog_seconds is None


def test_outside_of_a_service_nothing_is_sent_and_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Notifier({}).alive()
    assert not caplog.records
