"""What a machine can do to history, on disks of its own. tests/integration/test_faults.py has more."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring_supervisor.store.reading import Reader
from tests.fleet.process import Fleet
from tests.integration.daemons import SupervisorDaemon, wait_for

# What is handed over and written within this time survives; the promise is ten seconds.
MAX_LOST_SECONDS = 10.0
SLACK_SECONDS = 2.0
HOUR_SECONDS = 3600


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet(60) as fleet:
        yield fleet


@contextlib.contextmanager
def watching(directory: Path, fleet: Fleet) -> Iterator[SupervisorDaemon]:
    supervisor = SupervisorDaemon(directory, *fleet.names, INTERVAL_METRICS_CHECK="1")
    try:
        yield supervisor
    finally:
        supervisor.stop()


def stored(supervisor: SupervisorDaemon, name: str) -> dict[int, float]:
    """The sequences of all reports of an agent that are in history, each with its time."""
    path = supervisor.directory / "history.db"
    if not path.exists():
        return {}
    with contextlib.suppress(sqlite3.OperationalError), Reader(path) as reader:  # it is being made just now
        found = {report["sequence"]: at for at, report in reader.reports(name, 0, time.time() + 2 * HOUR_SECONDS)}
        assert reader.damaged == 0
        return found
    return {}


def test_kills_at_any_moment_cost_ten_seconds_at_most_and_nothing_that_is_stored(tmp_path: Path, fleet: Fleet) -> None:
    chance = random.Random(1)
    names = fleet.names[::20]
    before: dict[str, set[int]] = {name: set() for name in names}
    with watching(tmp_path, fleet) as supervisor:
        for _ in range(3):
            supervisor.notifications.clear()
            supervisor.start().wait_ready()
            time.sleep(11 + 4 * chance.random())
            supervisor.signal(signal.SIGKILL)
            killed_at = time.time()
            supervisor.wait()
            with contextlib.closing(sqlite3.connect(supervisor.directory / "history.db")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for name in names:
                now = stored(supervisor, name)
                assert before[name] <= set(now)
                assert killed_at - max(now.values()) < MAX_LOST_SECONDS + SLACK_SECONDS
                before[name] = set(now)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """A block device with an ext4 filesystem on it, that is made read-only when it has an error."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-e", "remount-ro", path], check=True)
    device = subprocess.run(["losetup", "--find", "--show", path], check=True, capture_output=True, text=True)
    yield device.stdout.strip()
    subprocess.run(["losetup", "--detach", device.stdout.strip()], check=True)


@contextlib.contextmanager
def mounted(directory: Path, *what: str) -> Iterator[None]:
    subprocess.run(["mount", *what, directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_a_disk_made_read_only_pauses_history_and_it_goes_on_with_another_disk(
    tmp_path: Path, image: str, fleet: Fleet
) -> None:
    directory = tmp_path / "disk"
    directory.mkdir()
    name = fleet.names[0]
    with mounted(directory, image), watching(directory, fleet) as supervisor:
        supervisor.start().wait_ready()
        before = wait_for(lambda: stored(supervisor, name), 20)
        # As if the filesystem had found itself damaged: the kernel makes it read-only there and then.
        (Path("/sys/fs/ext4") / Path(image).name / "trigger_fs_error").write_text("test")
        wait_for(lambda: supervisor.said("history is not written"), 60)
        # One that is made read-only so stays it until it is mounted anew.
        with mounted(directory, "-t", "tmpfs", "monitoring-test"):
            wait_for(lambda: supervisor.said("history is written again"), 60)
            wait_for(lambda: stored(supervisor, name), 20)
            assert supervisor.stop() == 0
        # What was stored is still there.
        assert set(before) <= set(stored(supervisor, name))


def damage(path: Path) -> None:
    """Overwrite all of it but its beginning, as a disk that fails might."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(max(65536, path.stat().st_size - 4096)))


def test_a_database_that_is_damaged_while_it_is_written_is_set_aside_too(tmp_path: Path, fleet: Fleet) -> None:
    with watching(tmp_path, fleet) as supervisor:
        supervisor.start().wait_ready()
        wait_for(lambda: stored(supervisor, fleet.names[0]), 20)
        path = supervisor.directory / "history.db"
        for each in (path, path.with_name("history.db-wal")):
            damage(each)
        wait_for(lambda: supervisor.said("history begins anew"), 60)
        assert len(list(supervisor.directory.glob("history.db.damaged-*"))) >= 1
        wait_for(lambda: stored(supervisor, fleet.names[0]), 20)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that says by how much the wall clock of the daemons that are started next is wrong, as they run too."""
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "libfaketime"]
        subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
        libraries = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    file = tmp_path / "clock"
    file.write_text("+0\n", encoding="ascii")
    monkeypatch.setenv("LD_PRELOAD", str(libraries[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    yield file


def test_a_clock_that_is_stepped_an_hour_forward_and_back_costs_no_report_and_no_agent_its_standing(
    tmp_path: Path, fleet: Fleet, clock: Path
) -> None:
    names = fleet.names[::20]
    with watching(tmp_path / "state", fleet) as supervisor:
        supervisor.start().wait_ready()
        for wrong in ("+0", f"+{HOUR_SECONDS}", "+0", f"-{HOUR_SECONDS}", "+0"):
            clock.write_text(f"{wrong}\n", encoding="ascii")
            shown = time.time() + int(wrong)
            wait_for(lambda shown=shown: abs(supervisor.document()["written_at"] - shown) < 60, 20)  # type: ignore[misc]
            time.sleep(3)
        supervisor.stop()
        assert set(supervisor.document()["whitelist"]) == set(fleet.names)
        assert not [line for line in supervisor.lines if " is down" in line or "Traceback" in line]
        assert not list(supervisor.directory.glob("*.damaged-*"))
        for name in names:
            sequences = sorted(stored(supervisor, name))
            assert len(sequences) > 15
            assert sequences == list(range(sequences[0], sequences[-1] + 1))
