"""What a daemon tells systemd about itself: sd_notify(3) through sdnotify, harmless outside of a service."""

import os
import time
from collections.abc import MutableMapping

from sdnotify import SystemdNotifier


class Notifier:
    """The notify socket of this process. Create it once, early, in the main process.

    NOTIFY_SOCKET is taken out of the environment, so that no library and no child speaks for the daemon.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._socket = SystemdNotifier()
        environ.pop("NOTIFY_SOCKET", None)
        self.watchdog_seconds = _watchdog_seconds(environ)

    def ready(self, status: str) -> None:
        """The daemon serves; also the end of a reload."""
        self._socket.notify(f"READY=1\nSTATUS={_ascii(status)}")

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self._socket.notify(f"STATUS={_ascii(text)}")

    def reloading(self) -> None:
        """Settings are being read again; `ready` ends it. systemd 253 and later want the time with it."""
        self._socket.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon has begun to end."""
        self._socket.notify("STOPPING=1")

    def alive(self) -> None:
        """Progress was made. Alone in its message: sdnotify drops a message whole if one letter offends it."""
        self._socket.notify("WATCHDOG=1")


def _ascii(text: str) -> str:
    """sdnotify encodes in Latin-1 and swallows the error; newlines would start another assignment."""
    return text.replace("\n", " ").encode("ascii", "replace").decode("ascii")


def _watchdog_seconds(environ: MutableMapping[str, str]) -> float | None:
    """The time within which systemd wants a sign of life, or None if it wants none of this process."""
    micros = environ.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(micros) / 1e6
