"""What a machine of metal tells of itself: temperatures, fans, batteries, memory errors, disk arrays, clock rates.

/sys/class/hwmon, /sys/class/thermal, /sys/class/power_supply, /sys/devices/system/edac, /sys/devices/system/cpu
(Documentation/hwmon/sysfs-interface.rst, Documentation/ABI of the kernel). psutil names sensors in a way of its own,
which no dashboard knows. Not every second: asking an idle processor for its clock rate, or some sensors, wakes it.
"""

import os
import re

from monitoring_agent.collectors import raid, sysfs
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

_HWMON = "/sys/class/hwmon"
_THERMAL = "/sys/class/thermal"
_POWER = "/sys/class/power_supply"
_EDAC = "/sys/devices/system/edac"
_CPUS = "/sys/devices/system/cpu"

_CHIP = (("chip", "*"), ("sensor", "**"))
_LABEL = (("chip", "*"), ("label", ".label"), ("sensor", "**"))
_NAMED = (("chip", "*"), ("chip_name", ".name"))
_ZONE = (("type", ".type"), ("zone", "*"))
_COOLER = (("name", "*"), ("type", ".type"))
_SUPPLY = (("power_supply", "*"),)
_CONTROLLER = (("controller", "*"),)
_CPU = (("cpu", "*"),)

_ECC = "node_edac_correctable_errors_total"
_UECC = "node_edac_uncorrectable_errors_total"
_HERTZ = "node_cpu_scaling_frequency"

METRICS = (
    Metric("temperatures.*.*.celsius", "temperature", _HWMON, "node_hwmon_temp_celsius", _CHIP),
    Metric("temperatures.*.*.critical_celsius", "damaging temperature", _HWMON, "node_hwmon_temp_crit_celsius", _CHIP),
    Metric("temperatures.*.*.critical_over_celsius", "no longer critical from here down", _HWMON,
           "node_hwmon_temp_crit_hyst_celsius", _CHIP),
    Metric("temperatures.*.*.high_celsius", "too high a temperature", _HWMON, "node_hwmon_temp_max_celsius", _CHIP),
    Metric("temperatures.*.*.alarm", "1 while it is out of its limits", _HWMON, "node_hwmon_temp_alarm", _CHIP),
    Metric("temperatures.*.*.critical_alarm", "1 while it is critical", _HWMON, "node_hwmon_temp_crit_alarm_celsius",
           _CHIP),
    Metric("temperatures.*.*.label", "what the sensor measures", _HWMON, "node_hwmon_sensor_label", _LABEL),
    Metric("fans.*.*.revolutions_per_minute", "speed of a fan", _HWMON, "node_hwmon_fan_rpm", _CHIP),
    Metric("fans.*.*.label", "what the fan cools", _HWMON, "node_hwmon_sensor_label", _LABEL),
    Metric("chips.*.name", "what its driver calls a chip with sensors", _HWMON, "node_hwmon_chip_names", _NAMED),
    Metric("zones.*.celsius", "temperature of a part of the machine", _THERMAL, "node_thermal_zone_temp", _ZONE),
    Metric("zones.*.type", "which part that is", _THERMAL),
    Metric("cooling.*.level", "how much a device cools now", _THERMAL, "node_cooling_device_cur_state", _COOLER),
    Metric("cooling.*.highest_level", "how much it can cool", _THERMAL, "node_cooling_device_max_state", _COOLER),
    Metric("cooling.*.type", "what kind of device that is", _THERMAL),
    Metric("batteries.*.charged_percent", "charge of a battery", _POWER, "node_power_supply_capacity", _SUPPLY),
    Metric("batteries.*.status", "Charging, Discharging, Full, or unknown", _POWER),
    Metric("mains.*.online", "1 if there is power from the mains", _POWER, "node_power_supply_online", _SUPPLY),
    Metric("memory_controllers.*.correctable_errors_total", "memory errors, corrected", _EDAC, _ECC, _CONTROLLER),
    Metric("memory_controllers.*.uncorrectable_errors_total", "memory errors, lasting", _EDAC, _UECC, _CONTROLLER),
    *raid.METRICS,
    Metric("processors.*.hertz", "clock rate of a processor", _CPUS, f"{_HERTZ}_hertz", _CPU),
    Metric("processors.*.highest_hertz", "its highest clock rate", _CPUS, f"{_HERTZ}_max_hertz", _CPU),
    Metric("processors.*.lowest_hertz", "its lowest clock rate", _CPUS, f"{_HERTZ}_min_hertz", _CPU),
)  # fmt: skip


def collect(host: Host) -> Sample:
    """`{temperatures, fans, chips, zones, cooling, batteries, mains, memory_controllers, arrays, processors}`.

    As far as there are any.
    """
    parts = {
        **_sensors(host),
        **_thermal(host),
        **_power(host),
        "memory_controllers": _memory_controllers(host),
        "arrays": raid.arrays(host),
        "processors": _processors(host),
    }
    return {name: part for name, part in parts.items() if part}


def _sensors(host: Host) -> Sample:
    temperatures: Sample = {}
    fans: Sample = {}
    chips: Sample = {}
    for directory in sysfs.names(host, _HWMON, r"hwmon\d+$"):
        base = f"{_HWMON}/{directory}"
        chip = _chip_name(host, base)
        name = sysfs.text(host, f"{base}/name")
        if name:
            chips[chip] = {"name": name}
        for file in sysfs.names(host, base, r"(temp|fan)\d+_input$"):
            sensor = file.removesuffix("_input")
            value = sysfs.number(host, f"{base}/{file}")
            if value is None:
                continue
            about: Sample = {}
            if sensor.startswith("fan"):
                about["revolutions_per_minute"] = value
                fans.setdefault(chip, {})[sensor] = about
            else:
                about["celsius"] = value / 1000
                for suffix, key in (
                    ("crit", "critical_celsius"),
                    ("crit_hyst", "critical_over_celsius"),
                    ("max", "high_celsius"),
                ):
                    limit = sysfs.number(host, f"{base}/{sensor}_{suffix}")
                    if limit is not None:
                        about[key] = limit / 1000
                for suffix, key in (("alarm", "alarm"), ("crit_alarm", "critical_alarm")):
                    alarm = sysfs.number(host, f"{base}/{sensor}_{suffix}")
                    if alarm is not None:
                        about[key] = alarm
                temperatures.setdefault(chip, {})[sensor] = about
            label = sysfs.text(host, f"{base}/{sensor}_label")
            if label:
                about["label"] = label
    return {"temperatures": temperatures, "fans": fans, "chips": chips}


def _thermal(host: Host) -> Sample:
    """Zones, which are all the sensors that small boards have, and what cools them."""
    zones: Sample = {}
    for name in sysfs.names(host, _THERMAL, r"thermal_zone\d+$"):
        thousandths = sysfs.number(host, f"{_THERMAL}/{name}/temp")
        if thousandths is not None:
            kind = sysfs.text(host, f"{_THERMAL}/{name}/type") or "unknown"
            zones[name.removeprefix("thermal_zone")] = {"celsius": thousandths / 1000, "type": kind}
    cooling: Sample = {}
    for name in sysfs.names(host, _THERMAL, r"cooling_device\d+$"):
        level, highest = (sysfs.number(host, f"{_THERMAL}/{name}/{which}_state") for which in ("cur", "max"))
        if level is not None and highest is not None:
            kind = sysfs.text(host, f"{_THERMAL}/{name}/type") or "unknown"
            about = {"level": level, "highest_level": highest, "type": kind}
            cooling[name.removeprefix("cooling_device")] = about
    return {"zones": zones, "cooling": cooling}


def _chip_name(host: Host, base: str) -> str:
    """As node_exporter names a chip: the bus and the name of its device, or else what the driver calls it."""
    device = host.path(f"{base}/device")
    if os.path.exists(device):
        bus = os.path.basename(os.path.dirname(os.path.realpath(device)))
        return _clean(f"{bus}_{os.path.basename(os.path.realpath(device))}")
    return _clean(sysfs.text(host, f"{base}/name") or os.path.basename(base))


def _clean(name: str) -> str:
    return re.sub(r"[^a-z0-9:_]+", "_", name.lower()).strip("_")


def _power(host: Host) -> Sample:
    base = "/sys/class/power_supply"
    batteries: Sample = {}
    mains: Sample = {}
    for name in sysfs.names(host, base, r"."):
        shown = printable(name)  # a wireless mouse says itself what its battery is called
        capacity, online = sysfs.number(host, f"{base}/{name}/capacity"), sysfs.number(host, f"{base}/{name}/online")
        if capacity is not None:
            status = sysfs.text(host, f"{base}/{name}/status") or "unknown"
            batteries[shown] = {"charged_percent": capacity, "status": status}
        elif online is not None:
            mains[shown] = {"online": online}
    return {"batteries": batteries, "mains": mains}


def _memory_controllers(host: Host) -> Sample:
    base = "/sys/devices/system/edac/mc"
    controllers: Sample = {}
    for name in sysfs.names(host, base, r"mc\d+$"):
        counts = {
            key: sysfs.number(host, f"{base}/{name}/{file}")
            for key, file in (("correctable_errors_total", "ce_count"), ("uncorrectable_errors_total", "ue_count"))
        }
        controllers[name.removeprefix("mc")] = {key: count for key, count in counts.items() if count is not None}
    return controllers


def _processors(host: Host) -> Sample:
    base = "/sys/devices/system/cpu"
    processors: Sample = {}
    for name in sysfs.names(host, base, r"cpu\d+$"):
        kilohertz = {
            key: sysfs.number(host, f"{base}/{name}/cpufreq/scaling_{file}")
            for key, file in (("hertz", "cur_freq"), ("highest_hertz", "max_freq"), ("lowest_hertz", "min_freq"))
        }
        known = {key: value * 1000 for key, value in kilohertz.items() if value is not None}
        if known:
            processors[name.removeprefix("cpu")] = known
    return processors
