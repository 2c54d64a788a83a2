"""The agent's end of a connection to a client, on which an answer can be given without ever waiting for that client."""

import socket
from typing import Any


class ClientSocket(socket.socket):
    """A socket that can hold back what is sent, to send it in one go, as much of it as the client takes at once."""

    _held: list[bytes] | None = None
    _rest: memoryview = memoryview(b"")

    def hold(self) -> None:
        """From now on keep what is sent, never wait, and say that the stream ends where there is no more to read."""
        self._held = []

    def held(self) -> bytes:
        """What was sent since `hold`."""
        self._held = [b"".join(self._held or [])]
        return self._held[0]

    def send_held(self) -> bool:
        """Send what was held. Whether that was all of it; if not, `send_rest` sends the rest."""
        held, self._held = self._held or [], None
        self._rest = memoryview(b"".join(held))
        try:
            self._rest = self._rest[self.send(self._rest) :]
        except BlockingIOError:
            return False
        except OSError:
            self._rest = self._rest[:0]  # the client is gone, which the next look at the connection finds
        return not self._rest

    def send_rest(self) -> None:
        """Send what `send_held` could not, and wait for the client to take it. Raises OSError."""
        rest, self._rest = self._rest, self._rest[:0]
        self.sendall(rest)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, or keep. Raises OSError."""
        if self._held is None:
            super().sendall(data, flags)
        else:
            self._held.append(bytes(data))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """What is there; while an answer is held, as much as there is, and not more. Raises OSError."""
        try:
            return super().recv(bufsize, flags)
        except BlockingIOError:
            if self._held is None:
                raise
            return b""

    def settimeout(self, value: float | None) -> None:
        """As it says, without asking the kernel for what is so already; not while an answer is held."""
        if self._held is None and value != self.gettimeout():
            super().settimeout(value)

    def setblocking(self, flag: bool) -> None:
        """The same."""
        self.settimeout(None if flag else 0.0)
