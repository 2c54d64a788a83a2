"""How many processes and threads there are, and in which state: /proc/PID/stat (proc(5)).

psutil would open three files for each process to say the same.
"""

import os

from monitoring_agent.host import Host
from monitoring_agent.rates import Sample

STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "uninterruptible",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
}


def collect(host: Host) -> Sample:
    """`{processes, threads, running, sleeping, uninterruptible, zombie, stopped, traced, idle}`."""
    sample: Sample = {"processes": 0, "threads": 0, **dict.fromkeys(STATES.values(), 0)}
    for pid in os.listdir(host.path("/proc")):
        if not pid.isdigit():
            continue
        try:
            state, threads = parse(host.read(f"/proc/{pid}/stat"))
        except (OSError, ValueError):
            continue  # it ended between the listing and the reading
        sample["processes"] += 1
        sample["threads"] += threads
        if state in STATES:
            sample[STATES[state]] += 1
    return sample


def parse(text: str) -> tuple[str, int]:
    """The state letter and the number of threads. Raises ValueError if the text ends too early.

    The name in parentheses may itself hold parentheses and spaces: the last one ends it.
    """
    columns = text.rpartition(")")[2].split()
    if len(columns) < 18:
        raise ValueError("/proc/PID/stat has too few columns")
    return columns[0], int(columns[17])
