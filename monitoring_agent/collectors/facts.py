"""What a machine is: facts that hold as long as it is up."""

import hmac
import os
import re
import socket
import subprocess
import uuid

from monitoring_agent.container import container_of
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

# Identifies this application in machine identities; never to be changed.
APPLICATION_ID = uuid.UUID("b3a9c8a5-2f0e-4c53-9a51-4f4d0a6f7e21")

METRICS = (
    Metric("hostname", "name of the machine", "/proc/sys/kernel/hostname"),
    Metric("machine_id", "identity of the machine, for this application alone", "/etc/machine-id"),
    Metric("boot_id", "identity of its life since the last boot", "/proc/sys/kernel/random/boot_id"),
    Metric("booted_at", "when it was started", "/proc/stat", "node_boot_time_seconds"),
    Metric("distribution", "distribution and release", "/etc/os-release"),
    Metric("distribution_id", "distribution", "/etc/os-release"),
    Metric("distribution_version", "release", "/etc/os-release"),
    Metric(
        "kernel",
        "release of the kernel",
        "uname",
        "node_uname_info",
        (
            ("domainname", ".domain"),
            ("machine", ".architecture"),
            ("nodename", ".hostname"),
            ("release", ".kernel"),
            ("sysname", "Linux"),
            ("version", ".kernel_version"),
        ),
    ),
    Metric("kernel_version", "build of the kernel", "uname"),
    Metric("domain", "NIS domain", "uname"),
    Metric("architecture", "kind of processor", "uname"),
    Metric("processor", "model of processor", "/proc/cpuinfo"),
    Metric(
        "virtualization", "kind of virtual machine or container, none for a machine of metal", "systemd-detect-virt"
    ),
    Metric("cpus", "processors; in a container those it may run on", "/proc/stat, cpuset.cpus.effective"),
    Metric("memory_bytes", "memory; in a container what it may use", "/proc/meminfo, memory.max"),
)


def collect(host: Host) -> Sample:
    """`{hostname, machine_id, boot_id, booted_at, distribution, kernel, architecture, cpus, memory_bytes, …}`.

    What cannot be found out is absent.
    """
    psutil = host.psutil()
    container = container_of(host)
    processors = len(re.findall(r"^cpu\d", host.read("/proc/stat"), re.M))
    memory = total_memory(host.read("/proc/meminfo"))
    release = os_release(host.read_if_there("/etc/os-release") or "")
    sample: Sample = {
        "hostname": _text(host, "/proc/sys/kernel/hostname") or socket.gethostname(),
        "machine_id": machine_id((host.read_if_there("/etc/machine-id") or "").strip()),
        "boot_id": _text(host, "/proc/sys/kernel/random/boot_id"),
        "booted_at": psutil.boot_time(),
        "distribution": release.get("PRETTY_NAME"),
        "distribution_id": release.get("ID"),
        "distribution_version": release.get("VERSION_ID"),
        "kernel": _text(host, "/proc/sys/kernel/osrelease"),
        "kernel_version": _text(host, "/proc/sys/kernel/version"),
        "domain": _text(host, "/proc/sys/kernel/domainname"),
        "architecture": os.uname().machine,
        "processor": processor(host.read_if_there("/proc/cpuinfo") or ""),
        "virtualization": virtualization(host),
        "cpus": min(processors, (container and container.processors()) or processors) or None,
        "memory_bytes": min(memory, (container and container.memory().limit_bytes) or memory),
    }
    return {key: value for key, value in sample.items() if value is not None}


def _text(host: Host, name: str) -> str | None:
    """What a file says on one line, which can be any bytes; None if it is not there or says nothing."""
    return printable((host.read_if_there(name) or "").strip()) or None


def total_memory(text: str) -> int:
    """The bytes that a text of /proc/meminfo names. Raises ValueError if it does not."""
    total = re.search(r"^MemTotal: +(\d+) kB$", text, re.M)
    if not total:
        raise ValueError("/proc/meminfo lacks MemTotal")
    return int(total[1]) * 1024


def processor(text: str) -> str | None:
    """The model that a text of /proc/cpuinfo names; on ARM some name only the board."""
    names = dict(reversed([line.split(":", 1) for line in text.splitlines() if ":" in line]))
    by_key = {key.strip(): printable(value.strip()) for key, value in names.items()}
    return by_key.get("model name") or by_key.get("Model") or by_key.get("Hardware")


def os_release(text: str) -> dict[str, str]:
    """The assignments of an os-release file (os-release(5))."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: printable(value.strip().strip("\"'")) for key, _, value in pairs}


def machine_id(secret: str) -> str | None:
    """The identity of the machine for this application alone, as `systemd-id128 machine-id --app-specific` says it.

    machine-id(5) asks not to show the identity itself to the network: this is its keyed hash.
    """
    try:
        key = bytes.fromhex(secret)
    except ValueError:
        return None
    if len(key) != 16:
        return None
    digest = bytearray(hmac.digest(key, APPLICATION_ID.bytes, "sha256")[:16])
    digest[6] = digest[6] & 0x0F | 0x40  # a version 4 UUID, as sd_id128_get_machine_app_specific(3) makes it
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def virtualization(host: Host) -> str | None:
    """The kind of container or virtual machine, `none` on bare metal, or None if it cannot be told."""
    try:
        done = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        container = container_of(host)  # most have no systemd, but what they are is written in them
        return printable(container.kind) if container else None
    return done.stdout.strip() or None
