"""`make run`: both daemons in the foreground, without installing anything. And `make fuzz`, a moment of it."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import CHECKOUT


def free_port() -> int:
    """A port that nobody has now; the default one may be taken on a developer's machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def processes(session: int) -> list[str]:
    """The names of all processes of a session, dead ones that nobody awaited left out."""
    names = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        columns = rest.split()
        if int(columns[3]) == session and columns[0] != "Z":
            names.append(name)
    return names


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A developer's own settings, with which `make run` does not meet the one that may be running."""
    port = str(free_port())
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    return {
        **os.environ,
        "AGENT_LISTEN": f"127.0.0.1:{port}",
        "AGENT_PORT": port,
        "TOKEN_FILE": str(token),
        "METRICS_FILE": str(tmp_path / "metrics_data.json"),
        "HISTORY_FILE": str(tmp_path / "history.db"),
    }


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`make run`, as soon as the agent is up in the state that it saves."""
    metrics = Path(environment["METRICS_FILE"])
    process = subprocess.Popen(
        ["make", "run"],
        cwd=CHECKOUT,
        env=environment,
        start_new_session=True,
        # Under nohup, which these tests may run under, no shell could hear that the terminal is closed.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 only sets a handler
    )
    try:
        deadline = time.monotonic() + 60
        while not metrics.exists() or '"state":"up"' not in metrics.read_text():
            assert time.monotonic() < deadline, "no state was saved in which the agent is up"
            assert process.poll() is None
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM to make"),
        pytest.param(lambda pid: os.killpg(pid, signal.SIGHUP), id="the terminal is closed"),
    ],
)
def test_make_run_leaves_no_process_behind(running: subprocess.Popen[bytes], interrupt: Callable[[int], None]) -> None:
    assert len(processes(running.pid)) >= 4
    interrupt(running.pid)
    running.wait(timeout=30)
    deadline = time.monotonic() + 5
    while left := processes(running.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_monitoringctl_asks_the_supervisor_of_make_run(running: subprocess.Popen[bytes]) -> None:
    command = [".venv/bin/monitoringctl", "--config", "var/monitoring.env", "status"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 agent: 1 up\n", "")


def test_make_run_ends_with_an_error_when_the_settings_are_wrong(environment: dict[str, str]) -> None:
    environment["LOG_LEVEL"] = "loud"
    ended = subprocess.run(["make", "run"], cwd=CHECKOUT, env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert b"'loud' is not one of debug, info, warning, error" in ended.stderr


def test_make_fuzz_tries_many_bytes_in_two_seconds() -> None:
    ended = subprocess.run(
        ["make", "--no-print-directory", "fuzz", "FUZZ=--seconds 2 --seed 1 addresses repetitions"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tried = dict(re.findall(r"^ *(\w+)  nothing  Done (\d+) runs", ended.stdout, re.M))
    assert set(tried) == {"addresses", "repetitions"}
    assert all(int(runs) > 100 for runs in tried.values())
