"""Real daemons as child processes, with what they log and what they tell systemd."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef"

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = 10.0, pause_seconds: float = 0.02) -> T:
    """The first truthy value that `what` returns. Fails if none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(pause_seconds)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


class Daemon:
    """One of our daemons with a settings file and a notify socket of its own, in a directory of its own."""

    def __init__(self, module: str, directory: Path, **settings: str) -> None:
        self.module = module
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.settings = {"TOKEN_FILE": str(directory / "token"), **settings}
        (directory / "token").write_text(TOKEN + "\n", encoding="ascii")
        (directory / "token").chmod(0o600)
        self.lines: list[str] = []
        self.notifications: list[str] = []
        self.before_start: Callable[[], None] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / "notify"))
        threading.Thread(target=self._hear_notifications, daemon=True).start()

    def configure(self, **settings: str) -> None:
        """Change settings in the file."""
        self.settings |= settings
        text = "".join(f"{key}={value}\n" for key, value in self.settings.items())
        (self.directory / "monitoring.env").write_text(text, encoding="utf-8")

    def start(self, *arguments: str) -> "Daemon":
        self.configure()
        environ = {key: value for key, value in os.environ.items() if key.isupper() and key not in self.settings}
        environ |= {"NOTIFY_SOCKET": str(self.directory / "notify"), "STATE_DIRECTORY": str(self.directory)}
        environ |= {"PYTHONUNBUFFERED": "1", "WATCHDOG_USEC": "20000000"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, "--config", str(self.directory / "monitoring.env"), *arguments],
            cwd=ROOT,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.before_start,  # noqa: PLW1509 only calls setrlimit
        )
        threading.Thread(target=self._read_lines, args=(self._process,), daemon=True).start()
        return self

    def _read_lines(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _hear_notifications(self) -> None:
        while message := self._notify.recv(4096):
            self.notifications.append(message.decode("ascii"))

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process
        return self._process

    def wait_ready(self, seconds: float = 10.0) -> "Daemon":
        def is_ready() -> bool:
            assert self.process.poll() is None, self.lines
            return any(message.startswith("READY=1") for message in self.notifications)

        wait_for(is_ready, seconds)
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 10.0) -> int:
        return self.process.wait(seconds)

    def stop(self) -> int:
        """End it as systemd would, and by force if that does not work. Returns its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            return self._process.wait(30)  # as long as the supervisor's unit gives it
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def said(self, text: str) -> bool:
        """Whether a line of its log has this text."""
        return any(text in line for line in list(self.lines))


class AgentDaemon(Daemon):
    """monitoring-agent on a port of its own."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.port = free_port()
        super().__init__("monitoring_agent.server", directory, AGENT_LISTEN=f"127.0.0.1:{self.port}", **settings)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(
        self, path: str, token: str | None = TOKEN, method: str = "GET", source: str = "127.0.0.1"
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0))
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def report(self) -> Any:
        status, _, body = self.get("/getmetrics")
        assert status == 200, body
        return json.loads(body)

    def worker_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        (pid,) = children.split()
        return int(pid)


class SupervisorDaemon(Daemon):
    """monitoring-supervisor with its state in its directory, asking quickly unless told otherwise."""

    def __init__(self, directory: Path, *agents: str, **settings: str) -> None:
        quick = {"INTERVAL_HEALTH_CHECK": "0.3", "INTERVAL_METRICS_CHECK": "0.2", "REQUEST_TIMEOUT": "0.6"}
        own = {"CONTROL_SOCKET": str(directory / "supervisor.sock"), "WHITELIST_AGENT": ",".join(agents)}
        super().__init__("monitoring_supervisor", directory, **(own | quick | settings))

    def wait_ready(self, seconds: float = 10.0) -> "SupervisorDaemon":
        super().wait_ready(seconds)
        wait_for(self.file.exists)
        return self

    @property
    def file(self) -> Path:
        return self.directory / "metrics_data.json"

    @property
    def control(self) -> Path:
        return Path(self.settings["CONTROL_SOCKET"])

    def document(self) -> Any:
        return json.loads(self.file.read_bytes())

    def agent(self, name: str) -> Any:
        return self.document()["agents"][name]

    def wait_state(self, name: str, state: str, seconds: float = 10.0) -> Any:
        """What the file says about the agent once it has this state."""

        def seen() -> Any:
            about = self.document()["agents"].get(name) if self.file.exists() else None
            return about if about and about["state"] == state else None

        return wait_for(seen, seconds)
