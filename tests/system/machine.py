"""A machine for a test: Debian booted by systemd-nspawn on a throw-away copy of a root, without a network."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .roots import remove

T = TypeVar("T")

BOOT_SECONDS = 60.0
ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")

# The overlay is mounted in a mount namespace of its own, and the machine is told to shut down when whoever started
# it dies: however the tests end, no mount and no process stays behind. Two machines in one cgroup would take each
# other's services for their own, so each gets one.
LAUNCH = """
for cgroup in $CGROUPS; do echo $$ >"$cgroup/cgroup.procs"; done
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" "$SCRATCH/root"
exec systemd-nspawn "$@"
"""


class CommandFailed(AssertionError):
    """A command in the machine ended with another status than 0."""


@dataclass(frozen=True)
class Machine:
    """A booted machine. `leader` is its process 1, seen from outside."""

    leader: int

    def attempt(
        self, command: str, stdin: bytes | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a bash command in the machine, as root; its status is for the caller to judge."""
        enter = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", *ENVIRONMENT, "/bin/bash", "-c", command]
        ended = subprocess.run(enter, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
        return subprocess.CompletedProcess(command, ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def run(self, command: str, stdin: bytes | None = None, timeout: float = 120) -> str:
        """What a command prints, without the last newline. Raises CommandFailed if it fails."""
        ended = self.attempt(command, stdin, timeout)
        if ended.returncode != 0:
            raise CommandFailed(f"{command!r} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended.stdout.removesuffix("\n")

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file of the host into the machine."""
        self.run(f"cat >'{target}'", stdin=source.read_bytes())

    def read_json(self, path: str) -> Any:
        """The JSON in a file of the machine."""
        return json.loads(self.run(f"cat '{path}'"))

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` has it."""
        return self.run(f"systemctl show --value -p {name} {unit}")

    def journal(self, unit: str, since: float = 0.0, options: str = "") -> list[str]:
        """What a unit logged itself `since` this Unix time, one message an element.

        Not by cursor: with a filter, journalctl 252 leaves out the first message after it.
        """
        self.run("journalctl --sync")
        return self.run(
            f"journalctl -q -o cat --since=@{since:.6f} {options} _SYSTEMD_UNIT={unit}.service"
        ).splitlines()

    def wait_until(self, condition: Callable[[], T | None], within: float, what: str) -> T:
        """The first true answer of the condition. Fails with `what` was expected after `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            answer = condition()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within:g} seconds: {what}; now: {answer!r}")
            time.sleep(0.1)


def join(machine: Machine, address: str, other: Machine, other_address: str) -> None:
    """Lay a cable between two machines: `host0` in both, with these addresses, such as 10.0.0.5/24."""
    enter = ["nsenter", "-t", str(machine.leader), "-n"]
    veth = f"ip link add host0 type veth peer name host0 netns {other.leader}"
    subprocess.run([*enter, *veth.split()], check=True)
    for one, its_address in ((machine, address), (other, other_address)):
        one.run(f"ip address add {its_address} dev host0 && ip link set host0 up")


@contextmanager
def boot(
    lower: Sequence[Path],
    binds: Mapping[Path, str] | None = None,
    keep: Path | None = None,
    limits: Mapping[str, str] | None = None,
) -> Iterator[Machine]:
    """A machine over these layers, the topmost first, with folders of the host bound in read-only.

    What it writes is thrown away, or left in the folder `keep`, to be a layer for other machines. `limits` are files
    of cgroup v1 and what they are to say, such as `{"memory/memory.limit_in_bytes": "300M"}`.
    """
    limits = limits or {}
    controllers = {file.partition("/")[0] for file in limits}
    with _scratch() as scratch, _cgroups(scratch.name, controllers) as cgroups:
        for file, value in limits.items():
            controller, _, name = file.partition("/")
            (cgroups[controller] / name).write_text(value, encoding="ascii")
        for name in ("root", "work"):
            (scratch / name).mkdir()
        upper = scratch / "upper"
        if keep:
            upper.symlink_to(keep)
        else:
            upper.mkdir()
        upper.chmod(0o755)  # it becomes the mode of / in the machine, whatever the umask is here
        process = _launch(scratch, lower, binds or {}, list(cgroups.values()))
        try:
            machine = _booted(process, scratch / "console")
            yield machine
            machine.attempt("systemctl poweroff")
            process.wait(timeout=30)
        finally:
            _end(process)


def _launch(
    scratch: Path, lower: Sequence[Path], binds: Mapping[Path, str], cgroups: Sequence[Path]
) -> subprocess.Popen[bytes]:
    nspawn = [
        "--quiet",
        f"--directory={scratch}/root",
        f"--machine={scratch.name}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
        *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
    ]
    environ = {
        **os.environ,
        "CGROUPS": " ".join(map(str, cgroups)),
        "LOWER": ":".join(map(str, lower)),
        "SCRATCH": str(scratch),
    }
    wrapped = ["unshare", "--mount", "--propagation=private", "setpriv", "--pdeathsig=TERM"]
    with (scratch / "console").open("wb") as console:
        return subprocess.Popen(
            [*wrapped, "sh", "-euc", LAUNCH, "sh", *nspawn],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environ,
        )


def _booted(process: subprocess.Popen[bytes], console: Path) -> Machine:
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        leader = _leader(process.pid)
        if leader:
            machine = Machine(leader)
            if machine.attempt("systemctl is-system-running").stdout.strip() in {"running", "degraded"}:
                return machine
        time.sleep(0.05)
    raise AssertionError(f"the machine did not boot:\n{console.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the machine if it still runs. Killing systemd-nspawn alone would leave everything in it running."""
    if process.poll() is not None:
        return
    process.terminate()  # an orderly shutdown, see systemd-nspawn(1), --kill-signal
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        leader = _leader(process.pid)
        if leader:
            os.kill(leader, signal.SIGKILL)
        process.kill()
        process.wait()


def _leader(nspawn: int) -> int | None:
    """The child of systemd-nspawn that is process 1 in its own namespace; its first child only prepares that."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        # Gone before it is opened, or before it is read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) > 1 and numbers[-1] == "1":
                return int(child)
    return None


@contextmanager
def _scratch() -> Iterator[Path]:
    # Not in /tmp, which may be a tmpfs as small as its machine.
    path = Path(f"/var/tmp/monitoring-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        remove(path)


@contextmanager
def _cgroups(name: str, controllers: Collection[str]) -> Iterator[dict[str, Path]]:
    """A new cgroup of this name in each hierarchy that systemd uses, and of the controllers; removed at the end."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, own = line.split(":", 2)
        here = [controller for controller in hierarchy.split(",") if controller in controllers]
        mounts = {"": ("unified", "."), "name=systemd": ("systemd",)}.get(hierarchy, here)
        for mount in mounts:
            parent = Path("/sys/fs/cgroup", mount, own.lstrip("/"))
            if (parent / "cgroup.procs").exists():
                found[mount] = parent / name
                break
    try:
        for top in found.values():
            top.mkdir()
        yield found
    finally:
        for top in found.values():
            for folder in sorted(top.rglob("*/"), reverse=True) if top.exists() else ():
                _remove_cgroup(folder)
            if top.exists():
                _remove_cgroup(top)


def _remove_cgroup(folder: Path) -> None:
    """A process that has just ended can keep its cgroup busy for a moment."""
    for _ in range(50):
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
