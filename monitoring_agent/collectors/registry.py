"""Which collectors there are and how often each one runs."""

from collections.abc import Callable
from dataclasses import dataclass

from monitoring_agent.collectors import (
    clock,
    control_groups,
    cpu,
    descriptors,
    disks,
    facts,
    filesystems,
    hardware,
    links,
    load,
    memory,
    netstack,
    network,
    packages,
    pressure,
    processes,
    protocols,
    scheduler,
    sockets,
    units,
    uptime,
    vmstat,
)
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample, with_rates


@dataclass(frozen=True)
class Collector:
    """One topic of the report.

    `period_seconds` may be infinite: once. `derive` adds to a sample what its predecessor and the seconds
    between tell. A collector that `may_block` runs in a thread of its own. One with a `delay_seconds` begins so long
    after the agent: it is hard work, and a machine that has just been started has better things to do.
    """

    name: str
    period_seconds: float
    collect: Callable[[Host], Sample]
    derive: Callable[[Sample, Sample, float], Sample] = with_rates
    may_block: bool = False
    delay_seconds: float = 0.0
    metrics: tuple[Metric, ...] = ()


def collectors() -> tuple[Collector, ...]:
    """All of them, with fresh state."""
    once = float("inf")
    return (
        Collector("host", once, facts.collect, metrics=facts.METRICS),
        Collector("uptime", 1, uptime.collect, metrics=uptime.METRICS),
        Collector("load", 1, load.collect, metrics=load.METRICS),
        Collector("cpu", 1, cpu.collect, cpu.derive, metrics=cpu.METRICS),
        Collector("memory", 1, memory.collect, metrics=memory.METRICS),
        Collector("vmstat", 1, vmstat.collect, metrics=vmstat.METRICS),
        Collector("pressure", 1, pressure.collect, metrics=pressure.METRICS),
        Collector("disks", 1, disks.collect, disks.derive, metrics=disks.METRICS),
        Collector("network", 1, network.collect, metrics=network.METRICS),
        Collector("sockets", 5, sockets.collect, metrics=sockets.METRICS),
        Collector("protocols", 5, protocols.collect, metrics=protocols.METRICS),
        Collector("netstack", 15, netstack.collect, metrics=netstack.METRICS),
        Collector("links", 15, links.collect, may_block=True, metrics=links.METRICS),
        Collector("descriptors", 15, descriptors.collect, metrics=descriptors.METRICS),
        Collector("scheduler", 15, scheduler.collect, metrics=scheduler.METRICS),
        Collector("processes", 15, processes.Processes().collect, may_block=True, metrics=processes.METRICS),
        Collector("filesystems", 15, filesystems.Filesystems().collect, may_block=True, metrics=filesystems.METRICS),
        Collector("control_groups", 15, control_groups.collect, may_block=True, metrics=control_groups.METRICS),
        Collector("clock", 15, clock.Clock().collect, may_block=True, metrics=clock.METRICS),
        Collector("hardware", 15, hardware.collect, may_block=True, metrics=hardware.METRICS),
        Collector("units", 30, units.collect, may_block=True, metrics=units.METRICS),
        Collector("restarts", 30, units.Restarts().collect, may_block=True, metrics=units.RESTARTS_METRICS),
        Collector(
            "packages", 3600, packages.Packages().collect, may_block=True, delay_seconds=10, metrics=packages.METRICS
        ),
    )
