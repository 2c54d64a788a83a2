"""What we are measured against: Debian's prometheus and prometheus-node-exporter, run by hand beside us."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.children import CannotMeasure, Child, running

PROMETHEUS = "prometheus"
NODE_EXPORTER = "prometheus-node-exporter"


def binary(package: str) -> str:
    """The program of a package, both of one name; installed if it is missing and we may."""
    found = shutil.which(package)
    if found:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotMeasure(f"{package} is not installed; as root: apt install {package}")
    _install(package)
    found = shutil.which(package)
    if not found:
        raise CannotMeasure(f"{package} was installed but there is no program of that name on PATH")
    return found


def _install(package: str) -> None:
    print(f"Installing {package} ...", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", package]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotMeasure(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    # Debian starts a service on installation. Nobody asked for one here, and it would be in the measurement's way.
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", "--now", "--quiet", package], check=False)
    program = shutil.which(package)
    for process in psutil.process_iter(["exe"]):
        if program and process.info["exe"] == program:
            process.send_signal(signal.SIGTERM)


def version(package: str) -> str:
    """The version of the installed package, or, where it did not come from one, of the program."""
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return done.stdout
    done = subprocess.run([binary(package), "--version"], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]


@contextlib.contextmanager
def prometheus(directory: Path, names: list[str], port: int) -> Iterator[Child]:
    """Prometheus, scraping /metrics of these agents once a second, with its defaults in everything else."""
    targets = "".join(f"          - '{name}'\n" for name in names)
    config = directory / "prometheus.yml"
    config.write_text(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
        "scrape_configs:\n  - job_name: fleet\n    static_configs:\n      - targets:\n" + targets
    )
    command = [
        binary(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with running(PROMETHEUS, command, directory) as child:
        yield child


@contextlib.contextmanager
def node_exporter(directory: Path, port: int) -> Iterator[Child]:
    """node_exporter with the collectors that it has by default."""
    command = [binary(NODE_EXPORTER), f"--web.listen-address=127.0.0.1:{port}"]
    with running(NODE_EXPORTER, command, directory) as child:
        yield child
