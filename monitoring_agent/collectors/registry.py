"""Which collectors there are and how often each one runs."""

from collections.abc import Callable
from dataclasses import dataclass

from monitoring_agent.collectors import (
    cpu,
    disks,
    facts,
    load,
    memory,
    network,
    pressure,
    processes,
    swap,
    uptime,
)
from monitoring_agent.collectors.filesystems import Filesystems
from monitoring_agent.host import Host
from monitoring_agent.rates import Sample, with_rates


@dataclass(frozen=True)
class Collector:
    """One topic of the report.

    `period_seconds` may be infinite: once. `derive` adds to a sample what its predecessor and the seconds
    between tell. A collector that `may_block` runs in a thread of its own.
    """

    name: str
    period_seconds: float
    collect: Callable[[Host], Sample]
    derive: Callable[[Sample, Sample, float], Sample] = with_rates
    may_block: bool = False


def collectors() -> tuple[Collector, ...]:
    """All of them, with fresh state."""
    return (
        Collector("host", float("inf"), facts.collect),
        Collector("uptime", 1, uptime.collect),
        Collector("load", 1, load.collect),
        Collector("cpu", 1, cpu.collect, cpu.derive),
        Collector("memory", 1, memory.collect),
        Collector("swap", 1, swap.collect),
        Collector("pressure", 1, pressure.collect),
        Collector("disks", 1, disks.collect, disks.derive),
        Collector("network", 1, network.collect),
        Collector("processes", 15, processes.collect),
        Collector("filesystems", 15, Filesystems().collect, may_block=True),
    )
