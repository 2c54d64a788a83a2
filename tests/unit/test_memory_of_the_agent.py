"""50,000 samples, which is most of a day: what the agent holds does not grow with them.

The machine's own /proc is read and the clock goes a second further at each sample, so that everything is as in life
but for the wait. Collectors that may block run every 150 seconds, not every 15: the thread they need costs more than a
sample. Left out are the three that start a program, each of which takes as long as a thousand samples.
"""

import gc
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from monitoring_agent import since
from monitoring_agent.collectors.registry import Collector, collectors
from monitoring_agent.host import Host
from monitoring_agent.recall import MAX_BYTES
from monitoring_agent.sampler import Sampler
from tests.integration.daemons import wait_for

PROGRAMS = {"units", "restarts", "packages"}
# The memory of reports is full after ten minutes, and everything has run often.
WARM_UP_SAMPLES = 5_000
SAMPLES = 50_000


@dataclass(frozen=True)
class Held:
    """What a process holds; the least of some looks, since a thread may be at work."""

    resident_kib: int
    objects: int
    descriptors: int
    threads: int


def _look() -> Held:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return Held(
        int(status.partition("VmRSS:")[2].split()[0]),
        len(gc.get_objects()),
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


def _held() -> Held:
    looks = []
    for _ in range(5):
        looks.append(_look())
        time.sleep(0.2)
    return Held(*(min(getattr(look, name) for look in looks) for name in Held.__dataclass_fields__))


def _watched() -> list[Collector]:
    kept = [one for one in collectors() if one.name not in PROGRAMS]
    return [replace(one, period_seconds=one.period_seconds * 10) if one.may_block else one for one in kept]


def test_memory_descriptors_and_threads_are_flat_over_fifty_thousand_samples() -> None:
    now, host = 1000.0, Host()
    sampler = Sampler(_watched(), host, clock=lambda: now)

    def run(samples: int) -> None:
        nonlocal now
        for number in range(samples):
            sampler.tick()
            now += 1.0
            if number % 1000 == 0:  # somebody asks, too
                newest = sampler.recall.newest()
                assert newest
                since.changes(sampler.recall, newest.sequence - 3, 1)
                since.past(sampler.recall, newest.sequence - 30, 1)

    try:
        run(WARM_UP_SAMPLES)
        wait_for(lambda: "collectors" not in {thread.name for thread in threading.enumerate()})
        before = _held()
        run(SAMPLES)
        wait_for(lambda: "collectors" not in {thread.name for thread in threading.enumerate()})
        after = _held()
    finally:
        host.close()
    newest = sampler.recall.newest()
    assert newest
    assert newest.sequence == WARM_UP_SAMPLES + SAMPLES
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.objects < before.objects + 500
    # The reports of ten minutes take more room when the machine has more to do.
    assert after.resident_kib < before.resident_kib + 2048 + MAX_BYTES // 1024 // 4
