"""A mount whose server has stopped answering, for real: a FUSE filesystem whose process is stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import anchors
from tests.bench.children import CannotMeasure, running

SERVER = "bindfs"
MOUNT_SECONDS = 10.0


@contextlib.contextmanager
def mount(directory: Path) -> Iterator[Path]:
    """A mount below `directory` that answers nothing while the context lasts. For root. Raises CannotMeasure."""
    point, shown = directory / "nas", directory / "shown"
    point.mkdir()
    shown.mkdir()
    with running(SERVER, [anchors.binary(SERVER), "-f", str(shown), str(point)], directory) as server:
        deadline = time.monotonic() + MOUNT_SECONDS
        while str(point) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
            server.require_running()
            if time.monotonic() > deadline:
                raise CannotMeasure(f"{SERVER} did not mount {point} within {MOUNT_SECONDS:.0f} s")
            time.sleep(0.05)
        os.statvfs(point)  # it has begun to answer
        (pid,) = server.members()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield point
        finally:
            os.kill(pid, signal.SIGCONT)
            subprocess.run(["umount", str(point)], check=False)
