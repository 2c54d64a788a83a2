"""What a command of the system prints, for the few facts that no file tells."""

import subprocess

from monitoring_agent.shared.journal import printable


def output(*command: str, deadline_seconds: float) -> str:
    """What the command prints, in English. Raises OSError with what it said if it fails, TimeoutExpired if it hangs."""
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=deadline_seconds,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    if done.returncode != 0:
        said = printable(done.stderr.decode("utf-8", "replace").strip(), 300)
        raise OSError(f"{command[0]} ended with {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace")
