"""A clock that goes on only when there is nothing left to do, and the event loop that moves it.

Everything happens as in life, in the same order and at the same times; only the waiting is left out.
"""

import asyncio
import queue
import selectors
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.hurry.network import Network

START = 1_800_000_000.0  # in Unix seconds: the beginning of an hour
# A thread that works is waited for; should its word be lost, the loop finds out so much later that something is wrong.
THREADS_SECONDS = 300.0


class Clock:
    """The time since the start. For the whole process, once it is installed.

    A thread that waits for an event for some seconds wakes up by this clock, which then stands until the thread waits
    again, for that or for what is put into a queue.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._sleepers: list[float] = []  # until when threads wait
        self._awake: set[threading.Thread] = set()
        self._turn = threading.Condition()

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return START + self.seconds

    def install(self) -> None:
        """Have whoever asks the module `time`, or waits for some seconds in a thread, go by this clock."""
        time.monotonic = self.monotonic
        time.time = self.wall
        wait, get = threading.Event.wait, queue.Queue.get

        def wait_by_clock(event: threading.Event, timeout: float | None = None) -> bool:
            return wait(event) if timeout is None else self._sleep(event, timeout)

        def get_by_clock(waiting: queue.Queue[Any], block: bool = True, timeout: float | None = None) -> Any:
            with self._turn:
                self._rest()
            return get(waiting, block, timeout)

        threading.Event.wait = wait_by_clock  # type: ignore[method-assign, assignment]
        queue.Queue.get = get_by_clock  # type: ignore[method-assign, assignment]

    def _rest(self) -> None:
        """The thread that calls this has done its work."""
        self._awake.discard(threading.current_thread())
        self._turn.notify_all()

    def _sleep(self, event: threading.Event, seconds: float) -> bool:
        with self._turn:
            until = self.seconds + seconds
            self._sleepers.append(until)
            self._rest()
            while self.seconds < until and not event.is_set():
                self._turn.wait(0.05)  # the event does not know of us
            self._sleepers.remove(until)
            self._awake.add(threading.current_thread())
        return event.is_set()

    def go_on(self, seconds: float) -> None:
        """Be so much later, or as much as until a thread wakes up; then it has done its work."""
        with self._turn:
            self.seconds = max(self.seconds, min(self.seconds + seconds, *self._sleepers, float("inf")))
            self._turn.notify_all()
            assert self._turn.wait_for(self._all_rest, THREADS_SECONDS), "a thread has not come back"

    def _all_rest(self) -> bool:
        return min(self._sleepers, default=float("inf")) > self.seconds and not any(
            thread.is_alive() for thread in self._awake
        )


class _Selector(selectors.DefaultSelector):
    """Looks at the sockets, and instead of waiting for them moves the clock to the loop's next timer.

    That is right since all sockets are of this process: what was sent to one can be read at once.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.working = 0  # threads of whom the loop waits to hear

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.working:
            ready = super().select(THREADS_SECONDS)
            assert ready, "a thread has not come back"
            return ready
        assert timeout is not None, "nothing is ever going to happen"
        self._clock.go_on(timeout)
        return []


class HurriedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop in a network of its own. Whoever it waits for in a thread works in no time."""

    def __init__(self, clock: Clock, network: Network) -> None:
        self._clock = clock
        self._network = network
        self._looking = _Selector(clock)
        super().__init__(self._looking)
        # Else it were chance whether another thread is begun, or the one before has just become free.
        self.set_default_executor(ThreadPoolExecutor(1))

    def time(self) -> float:
        return self._clock.seconds

    def timers(self) -> int:
        """How many there are, with those that were cancelled and whose time has not come."""
        return len(self._scheduled)  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        self._looking.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _future: asyncio.Future[Any]) -> None:
        self._looking.working -= 1

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **how: Any) -> Any:
        sock = await self._network.connect(self, host, port)
        return await super().create_connection(protocol_factory, sock=sock, **how)
