"""What a machine of metal tells of itself: temperatures, fans, batteries, memory errors, disk arrays, clock rates.

/sys/class/hwmon, /sys/class/power_supply, /sys/devices/system/edac, /sys/block/md*, /sys/devices/system/cpu
(Documentation/hwmon/sysfs-interface.rst, Documentation/ABI of the kernel). psutil names sensors in a way of its own,
which no dashboard knows.
"""

import os
import re

from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

_HWMON = "/sys/class/hwmon"
_POWER = "/sys/class/power_supply"
_EDAC = "/sys/devices/system/edac"
_MD = "/sys/block/md*/md"
_CPUS = "/sys/devices/system/cpu"

_CHIP = (("chip", "*"), ("sensor", "**"))
_LABEL = (*_CHIP, ("label", ".label"))
_SUPPLY = (("power_supply", "*"),)
_CONTROLLER = (("controller", "*"),)
_DEVICE = (("device", "*"),)
_CPU = (("cpu", "*"),)

_ECC = "node_edac_correctable_errors_total"
_UECC = "node_edac_uncorrectable_errors_total"
_HERTZ = "node_cpu_scaling_frequency"

METRICS = (
    Metric("temperatures.*.*.celsius", "temperature", _HWMON, "node_hwmon_temp_celsius", _CHIP),
    Metric("temperatures.*.*.critical_celsius", "damaging temperature", _HWMON, "node_hwmon_temp_crit_celsius", _CHIP),
    Metric("temperatures.*.*.high_celsius", "too high a temperature", _HWMON, "node_hwmon_temp_max_celsius", _CHIP),
    Metric("temperatures.*.*.label", "what the sensor measures", _HWMON, "node_hwmon_sensor_label", _LABEL),
    Metric("fans.*.*.revolutions_per_minute", "speed of a fan", _HWMON, "node_hwmon_fan_rpm", _CHIP),
    Metric("fans.*.*.label", "what the fan cools", _HWMON),
    Metric("batteries.*.charged_percent", "charge of a battery", _POWER, "node_power_supply_capacity", _SUPPLY),
    Metric("batteries.*.status", "Charging, Discharging, Full, or unknown", _POWER),
    Metric("mains.*.online", "1 if there is power from the mains", _POWER, "node_power_supply_online", _SUPPLY),
    Metric("memory_controllers.*.correctable_errors_total", "memory errors, corrected", _EDAC, _ECC, _CONTROLLER),
    Metric("memory_controllers.*.uncorrectable_errors_total", "memory errors, lasting", _EDAC, _UECC, _CONTROLLER),
    Metric("arrays.*.state", "state of a disk array: clean, active, degraded, …", _MD),
    Metric("arrays.*.level", "its RAID level", _MD),
    Metric("arrays.*.disks", "disks it should have", _MD, "node_md_disks_required", _DEVICE),
    Metric("arrays.*.disks_missing", "disks it lacks", _MD, "node_md_degraded", _DEVICE),
    Metric("arrays.*.sync_action", "idle, resync, recover, check", _MD),
    Metric("processors.*.hertz", "clock rate of a processor", _CPUS, f"{_HERTZ}_hertz", _CPU),
    Metric("processors.*.highest_hertz", "its highest clock rate", _CPUS, f"{_HERTZ}_max_hertz", _CPU),
    Metric("processors.*.lowest_hertz", "its lowest clock rate", _CPUS, f"{_HERTZ}_min_hertz", _CPU),
)  # fmt: skip


def collect(host: Host) -> Sample:
    """`{temperatures, fans, batteries, mains, memory_controllers, arrays, processors}`, as far as there are any."""
    parts = {
        **_sensors(host),
        **_power(host),
        "memory_controllers": _memory_controllers(host),
        "arrays": _arrays(host),
        "processors": _processors(host),
    }
    return {name: part for name, part in parts.items() if part}


def _sensors(host: Host) -> Sample:
    temperatures: Sample = {}
    fans: Sample = {}
    for directory in _list(host, _HWMON, r"hwmon\d+$"):
        base = f"{_HWMON}/{directory}"
        chip = _chip_name(host, base)
        for file in _list(host, base, r"(temp|fan)\d+_input$"):
            sensor = file.removesuffix("_input")
            value = _number(host, f"{base}/{file}")
            if value is None:
                continue
            about: Sample = {}
            if sensor.startswith("fan"):
                about["revolutions_per_minute"] = value
                fans.setdefault(chip, {})[sensor] = about
            else:
                about["celsius"] = value / 1000
                for suffix, key in (("crit", "critical_celsius"), ("max", "high_celsius")):
                    limit = _number(host, f"{base}/{sensor}_{suffix}")
                    if limit is not None:
                        about[key] = limit / 1000
                temperatures.setdefault(chip, {})[sensor] = about
            label = _text(host, f"{base}/{sensor}_label")
            if label:
                about["label"] = label
    return {"temperatures": temperatures, "fans": fans}


def _chip_name(host: Host, base: str) -> str:
    """As node_exporter names a chip: the bus and the name of its device, or else what the driver calls it."""
    device = host.path(f"{base}/device")
    if os.path.exists(device):
        bus = os.path.basename(os.path.dirname(os.path.realpath(device)))
        return _clean(f"{bus}_{os.path.basename(os.path.realpath(device))}")
    return _clean(_text(host, f"{base}/name") or os.path.basename(base))


def _clean(name: str) -> str:
    return re.sub(r"[^a-z0-9:_]+", "_", name.lower()).strip("_")


def _power(host: Host) -> Sample:
    base = "/sys/class/power_supply"
    batteries: Sample = {}
    mains: Sample = {}
    for name in _list(host, base, r"."):
        capacity, online = _number(host, f"{base}/{name}/capacity"), _number(host, f"{base}/{name}/online")
        if capacity is not None:
            batteries[name] = {"charged_percent": capacity, "status": _text(host, f"{base}/{name}/status") or "unknown"}
        elif online is not None:
            mains[name] = {"online": online}
    return {"batteries": batteries, "mains": mains}


def _memory_controllers(host: Host) -> Sample:
    base = "/sys/devices/system/edac/mc"
    controllers: Sample = {}
    for name in _list(host, base, r"mc\d+$"):
        counts = {
            key: _number(host, f"{base}/{name}/{file}")
            for key, file in (("correctable_errors_total", "ce_count"), ("uncorrectable_errors_total", "ue_count"))
        }
        controllers[name.removeprefix("mc")] = {key: count for key, count in counts.items() if count is not None}
    return controllers


def _arrays(host: Host) -> Sample:
    arrays: Sample = {}
    for name in _list(host, "/sys/block", r"md\d+"):
        base = f"/sys/block/{name}/md"
        texts = {
            "state": _text(host, f"{base}/array_state"),
            "level": _text(host, f"{base}/level"),
            "sync_action": _text(host, f"{base}/sync_action"),
        }
        numbers = {
            "disks": _number(host, f"{base}/raid_disks"),
            "disks_missing": _number(host, f"{base}/degraded"),
        }
        arrays[name] = {key: value for key, value in {**texts, **numbers}.items() if value is not None}
    return arrays


def _processors(host: Host) -> Sample:
    base = "/sys/devices/system/cpu"
    processors: Sample = {}
    for name in _list(host, base, r"cpu\d+$"):
        kilohertz = {
            key: _number(host, f"{base}/{name}/cpufreq/scaling_{file}")
            for key, file in (("hertz", "cur_freq"), ("highest_hertz", "max_freq"), ("lowest_hertz", "min_freq"))
        }
        known = {key: value * 1000 for key, value in kilohertz.items() if value is not None}
        if known:
            processors[name.removeprefix("cpu")] = known
    return processors


def _list(host: Host, directory: str, pattern: str) -> list[str]:
    """The names in a directory that match from their start; none if there is no such directory."""
    try:
        return sorted(name for name in os.listdir(host.path(directory)) if re.match(pattern, name))
    except OSError:
        return []


def _text(host: Host, path: str) -> str | None:
    """What the file says on one line; None if there is no such file, or its device does not answer."""
    try:
        return printable(host.read(path).strip()) or None
    except OSError:
        return None


def _number(host: Host, path: str) -> int | None:
    text = _text(host, path)
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None
