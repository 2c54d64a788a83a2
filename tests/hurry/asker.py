"""Who asks at the control socket: as monitoringctl does, as nobody should, and as one that was forgotten."""

import asyncio
import json
from itertools import cycle
from pathlib import Path
from typing import Any

# The last two are no questions.
_LINES = (
    b'{"ask":"status"}\n',
    b'{"ask":"agents","state":"up"}\n',
    b'{"ask":"agent","name":"127.0.0.1"}\n',
    b'{"ask":"names"}\n',
    b'{"ask":"top","by":"cpu","limit":3}\n',
    b'{"ask":"agent","name":"nobody"}\n',
    b"[1,\n",
    b"\n" * 9 + b"x" * 20_000,
)


class Asker:
    """Counts the answers."""

    def __init__(self, path: Path) -> None:
        self.answers = 0
        self._path = path
        self._lines = cycle(_LINES)
        self._forgotten: asyncio.StreamWriter | None = None

    async def ask(self, line: bytes) -> Any:
        """Ask this over a connection of its own. Returns the answer."""
        reader, writer = await asyncio.open_unix_connection(self._path, limit=2**20)
        writer.write(line)
        answer = json.loads(await reader.readline())
        self.answers += 1
        writer.close()
        return answer

    async def ask_next(self) -> None:
        """One question after the other."""
        await self.ask(next(self._lines))

    async def go_away(self) -> None:
        """Ask, and do not wait for the answer."""
        _, writer = await asyncio.open_unix_connection(self._path)
        writer.write(next(self._lines))
        writer.transport.abort()

    async def begin_and_forget(self) -> None:
        """Begin a question that never ends. The supervisor has hung up on the one before by now."""
        if self._forgotten is not None:
            self._forgotten.close()
        _, self._forgotten = await asyncio.open_unix_connection(self._path)
        self._forgotten.write(b'{"ask":')

    async def reload(self) -> list[str]:
        """Have the settings read again. Returns the mistakes in them."""
        mistakes: list[str] = (await self.ask(b'{"ask":"reload"}\n'))["mistakes"]
        return mistakes
