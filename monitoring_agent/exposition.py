"""The newest samples for Prometheus: the text format, in node_exporter's names (prometheus.io, exposition formats)."""

import functools
import os
import re
import resource
from collections.abc import Iterable
from typing import Any

from monitoring_agent.collectors.registry import Collector
from monitoring_agent.metric import Found, Metric, find
from monitoring_agent.rates import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def render(samples: Iterable[tuple[Collector, Sample]], health: dict[str, Sample]) -> bytes:
    """All series of these samples, and of each collector whether it works and how long it took."""
    series: dict[str, tuple[Metric, list[str]]] = {}
    for collector, sample in samples:
        for metric in collector.metrics:
            if metric.series:
                _add(series, metric, sample)
    lines: list[str] = []
    for name, (metric, values) in series.items():
        kind = "counter" if metric.is_counter and name.endswith("_total") else _kind(name, metric)
        lines += [f"# HELP {name} {metric.meaning[:1].upper()}{metric.meaning[1:]} ({metric.source}).".translate(_HELP),
                  f"# TYPE {name} {kind}", *values]  # fmt: skip
    lines += [*_collectors(health), *_process()]
    # A name that is not UTF-8, such as of a mount that any user made, must not cost all the others.
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def _kind(name: str, metric: Metric) -> str:
    """node_exporter leaves the kernel's own names untyped: some of them only rise, others do not."""
    return "untyped" if name.startswith(("node_netstat_", "node_vmstat_")) else "gauge"


def _add(series: dict[str, tuple[Metric, list[str]]], metric: Metric, sample: Sample) -> None:
    for found in find(sample, metric.path):
        value = _value(found.value)
        if value is None:
            continue
        name = metric.series
        if name.endswith("*"):
            name = name[:-1] + found.names[-1]
        labels = ",".join(f'{label}="{_label(source, found).translate(_ESCAPES)}"' for label, source in metric.labels)
        line = f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
        series.setdefault(name, (metric, []))[1].append(line)


def _value(value: Any) -> str | None:
    """A number, a truth as 1 or 0; a text is in the labels, and the value of its series 1."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return repr(value)
    return "1" if isinstance(value, str) else None


def _label(source: str, found: Found) -> str:
    if source == "*":
        return found.names[0]
    if source == "**":
        return found.names[1]
    if source.startswith("."):
        return str(found.neighbours.get(source[1:], ""))
    return source


def _collectors(health: dict[str, Sample]) -> list[str]:
    lines = [
        "# HELP node_scrape_collector_success Whether a collector works.",
        "# TYPE node_scrape_collector_success gauge",
        *(f'node_scrape_collector_success{{collector="{name}"}} {int(one["ok"])}' for name, one in health.items()),
        "# HELP node_scrape_collector_duration_seconds How long a collector took when it ran last.",
        "# TYPE node_scrape_collector_duration_seconds gauge",
    ]
    lines += [
        f'node_scrape_collector_duration_seconds{{collector="{name}"}} {one["duration_seconds"]}'
        for name, one in health.items()
    ]
    return [
        *lines,
        "# HELP node_textfile_scrape_error Whether a textfile could not be read; the agent reads none.",
        "# TYPE node_textfile_scrape_error gauge",
        "node_textfile_scrape_error 0",
    ]


def _process() -> list[str]:
    """What the agent itself uses, in the names of Prometheus' client libraries."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as file:
        virtual, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
    values: tuple[tuple[str, str, str, float], ...] = (
        ("cpu_seconds_total", "counter", "Processor time that the agent used.", usage.ru_utime + usage.ru_stime),
        ("resident_memory_bytes", "gauge", "Memory of the agent, shared pages included.", resident),
        ("virtual_memory_bytes", "gauge", "Addresses that the agent has mapped.", virtual),
        ("virtual_memory_max_bytes", "gauge", "Addresses that it may map.", _limit(resource.RLIMIT_AS)),
        ("start_time_seconds", "gauge", "When the agent was started, in Unix seconds.", _started(os.getpid())),
        ("open_fds", "gauge", "File descriptors that the agent has open.", len(os.listdir("/proc/self/fd"))),
        ("max_fds", "gauge", "File descriptors that it may have.", _limit(resource.RLIMIT_NOFILE)),
    )
    return [
        line
        for name, kind, meaning, value in values
        for line in (f"# HELP process_{name} {meaning}", f"# TYPE process_{name} {kind}", f"process_{name} {value!r}")
    ]


def _limit(kind: int) -> float:
    """A limit of this process; what has none has that of 64 bits, as the client libraries say it."""
    limit = resource.getrlimit(kind)[0]
    return float(2**64 - 1) if limit == resource.RLIM_INFINITY else limit


@functools.lru_cache(maxsize=1)
def _started(pid: int) -> float:
    """When the process was started, in Unix seconds. Worked out once: alerts look at how often it changes."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/stat", encoding="ascii") as file:
        booted = re.search(r"^btime (\d+)$", file.read(), re.M)
    return (int(booted[1]) if booted else 0) + ticks / os.sysconf("SC_CLK_TCK")
