"""When the snapshot is saved, and what the journal is told of it."""

import logging
import time
from collections.abc import Callable, Iterable

from monitoring_supervisor.store import snapshot

log = logging.getLogger("monitoring_supervisor")

# How often whoever owns this looks whether it is time.
BEAT_SECONDS = 0.25
# What the snapshot may cost the disk on average, and how soon a move between the lists is in it all the same.
DISK_BYTES_PER_SECOND = 256 * 1024
URGENT_SECONDS = 1.0
# While moves go on and on, a large document is not written all the time: thousands of agents then have no less to do.
MAX_WRITING_SHARE = 0.25


class Pace:
    """When to save: after every round while the document is small, less often when it is large, soon after a move."""

    def __init__(self, writer: snapshot.Writer, clock: Callable[[], float] = time.monotonic) -> None:
        self.writer = writer
        self._clock = clock
        self._saved = float("-inf")
        self._urgent = False
        self._failing = False

    def hurry(self) -> None:
        """Something happened that readers should not wait for."""
        self._urgent = True

    def save(self, render: Callable[[], Iterable[bytes]], round_seconds: float) -> None:
        """Save if it is time, and say once when that fails and when it works again."""
        self._say_trouble()
        now = self._clock()
        pause = max(round_seconds, self.writer.written_bytes / DISK_BYTES_PER_SECOND)
        if self._urgent:
            pause = min(pause, max(URGENT_SECONDS, self.writer.written_seconds / MAX_WRITING_SHARE))
        # Half a beat of slack: a round of one second is saved every second, not every second and a beat.
        if now - self._saved < pause - BEAT_SECONDS / 2 or self.writer.busy_since is not None:
            return
        if self.writer.offer(render()):
            self._saved, self._urgent = now, False

    def writer_stuck_seconds(self) -> float:
        """For how long the writer has been at one document."""
        busy_since = self.writer.busy_since
        return 0.0 if busy_since is None else time.monotonic() - busy_since

    def _say_trouble(self) -> None:
        error = self.writer.error
        if error is not None and not self._failing:
            log.error("cannot save: %s; polling goes on, and saving is tried again", error)
        elif error is None and self._failing and self.writer.busy_since is None:
            log.info("saving works again")
        elif error is None and self.writer.busy_since is not None:
            return
        self._failing = error is not None
