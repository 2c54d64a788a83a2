"""The disk arrays of the kernel: /sys/block/md*/md (Documentation/admin-guide/md.rst of the kernel)."""

from monitoring_agent.collectors import sysfs
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric
from monitoring_agent.rates import Sample
from monitoring_agent.shared.journal import printable

_SOURCE = "/sys/block/md*/md"
_DEVICE = (("device", "*"),)
_DEVICE_STATE = (("device", "*"), ("state", "**"))

# md0, md127, md_home with `CREATE names=yes` in mdadm.conf(5), and md_d0 as arrays with partitions were called once.
# The partitions (md0p1) are no arrays.
_ARRAY = r"md(\d+|_.+)$"

# What an array is doing, in node_exporter's words, by the kernel's word for it.
_ACTIONS = {"recover": "recovering", "resync": "resync", "check": "check", "repair": "check"}
_MODES = ("active", "inactive", "recovering", "resync", "check")

METRICS = (
    Metric("arrays.*.state", "state of a disk array: clean, active, degraded, …", _SOURCE),
    Metric("arrays.*.level", "its RAID level", _SOURCE),
    Metric("arrays.*.disks", "disks it should have", _SOURCE, "node_md_disks_required", _DEVICE),
    Metric("arrays.*.disks_missing", "disks it lacks", _SOURCE, "node_md_degraded", _DEVICE),
    Metric("arrays.*.disks_by_state.*", "its disks that are active, failed, or spare", _SOURCE, "node_md_disks",
           _DEVICE_STATE),
    Metric("arrays.*.modes.*", "1 for what it does: active, inactive, recovering, resync, check", _SOURCE,
           "node_md_state", _DEVICE_STATE),
    Metric("arrays.*.sync_action", "idle, resync, recover, check", _SOURCE),
    Metric("arrays.*.synchronised_percent", "how far that has come", _SOURCE),
)  # fmt: skip


def arrays(host: Host) -> Sample:
    """`{"md0": {state, level, disks, disks_missing, disks_by_state: {active, failed, spare}, modes, sync_action}}`."""
    names = sysfs.names(host, "/sys/block", _ARRAY)
    return {printable(name): _array(host, f"/sys/block/{name}/md") for name in names}


def _array(host: Host, base: str) -> Sample:
    state, action = sysfs.text(host, f"{base}/array_state"), sysfs.text(host, f"{base}/sync_action")
    array = {
        "state": state,
        "level": sysfs.text(host, f"{base}/level"),
        "disks": sysfs.number(host, f"{base}/raid_disks"),
        "disks_missing": sysfs.number(host, f"{base}/degraded"),
        "sync_action": action,
        "synchronised_percent": _progress(sysfs.text(host, f"{base}/sync_completed")),
    }
    mode = "inactive" if state in {"clear", "inactive"} else _ACTIONS.get(action or "", "active")
    disks = {"active": 0, "failed": 0, "spare": 0}
    for disk in sysfs.names(host, base, r"dev-"):
        flags = (sysfs.text(host, f"{base}/{disk}/state") or "").split(",")
        for flag, kind in (("faulty", "failed"), ("in_sync", "active"), ("spare", "spare")):
            if flag in flags:
                disks[kind] += 1
                break
    known = {key: value for key, value in array.items() if value is not None}
    return {**known, "disks_by_state": disks, "modes": {one: int(one == mode) for one in _MODES}}


def _progress(said: str | None) -> float | None:
    """Sectors that are done and all of them, such as `1024 / 4096`; `none` while there is nothing to do."""
    done, separator, whole = (said or "").partition(" / ")
    if not separator or not done.isdecimal() or not whole.isdecimal() or not int(whole):
        return None
    return round(int(done) / int(whole) * 100, 2)
