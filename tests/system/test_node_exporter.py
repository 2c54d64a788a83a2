"""Our /metrics beside Debian's node_exporter on frozen machines, where nothing moves and all has to be the same."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitoring_agent.collectors.registry import collectors
from monitoring_agent.exposition import render
from monitoring_agent.host import Host
from tests.integration.daemons import free_port

from .test_prometheus import LATER, exporter_text, install, is_wanted, kinds, promtool_says, series

TREES = Path(__file__).parents[1] / "trees"

# What node_exporter is asked of each: all that it and the agent know of the files of that machine.
ASKED = {
    "physical": "bonding cpu cpufreq diskstats edac filefd hwmon loadavg mdadm meminfo netclass netdev powersupplyclass"
    " processes stat thermal_zone vmstat",
    "vm": "arp conntrack cpu diskstats entropy filefd loadavg meminfo netclass netdev netstat pressure processes"
    " schedstat sockstat softnet stat vmstat",
}
# What node_exporter fails without, and the agent does not look at.
MDSTAT = """\
Personalities : [raid1]
md0 : active raid1 sdc1[2](S) sdb1[1](F) sda1[0]
      4096 blocks super 1.2 [2/1] [U_]
      [=====>...............]  recovery = 25.0% (1024/4096) finish=0.1min speed=1024K/sec

md_home : active raid10 nvmed[3] nvmec[2] nvmeb[1] nvmea[0]
      8192 blocks super 1.2 512K chunks 2 near-copies [4/4] [UUUU]

unused devices: <none>
"""
FREQUENCY = ("scaling_available_governors", "scaling_driver", "scaling_governor", "scaling_setspeed", "related_cpus")
NEEDED = {
    "physical": {
        "proc/mdstat": MDSTAT,
        "proc/sys/kernel/pid_max": "4194304\n",
        "proc/sys/kernel/threads-max": "31000\n",
        "sys/class/net/bond0/lower_eth0/bonding_slave/mii_status": "up\n",
        "sys/class/net/bond0/lower_eth1/bonding_slave/mii_status": "down\n",
        "sys/class/power_supply/AC/type": "Mains\n",
        "sys/class/power_supply/BAT0/type": "Battery\n",
        "sys/class/thermal/thermal_zone0/policy": "step_wise\n",
        "sys/devices/system/edac/mc/mc0/ce_noinfo_count": "0\n",
        "sys/devices/system/edac/mc/mc0/ue_noinfo_count": "0\n",
        **{f"sys/devices/system/cpu/cpu{cpu}/cpufreq/{file}": "0\n" for cpu in range(4) for file in FREQUENCY},
    },
    "vm": {"proc/net/stat/nf_conntrack": " ".join(["heading"] * 17) + "\n" + " ".join(["00000000"] * 17) + "\n"},
}
# node_exporter takes the 1 of these for a thousandth of a degree; the alerts of the world ask for a 1.
ALARMS = re.compile(r"node_hwmon_temp_(crit_)?alarm")


def exporter_on(root: Path, asked: str) -> str:
    """What node_exporter says of this tree."""
    install("prometheus-node-exporter", "prometheus")
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-node-exporter", f"--web.listen-address={address}", "--web.disable-exporter-metrics"]
    command += ["--collector.disable-defaults", *(f"--collector.{name}" for name in asked.split())]
    command += ["--collector.netdev.device-exclude=^$", "--no-collector.netdev.netlink"]
    command += [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        return exporter_text(address)
    finally:
        process.terminate()
        process.wait()


def agent_on(root: Path) -> str:
    host = Host(str(root))
    others = {"units", "restarts", "packages", "clock"}  # they ask the machine that the test runs on
    samples = [(one, one.collect(host)) for one in collectors() if one.name not in others]
    host.close()
    return render(samples, {}).decode()


@pytest.mark.parametrize("kind", ["physical", "vm"])
def test_on_a_frozen_machine_every_series_is_node_exporter_s_with_its_labels_value_and_type(
    kind: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(TREES / kind, root, symlinks=True)
    for name, text in NEEDED[kind].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    shutil.rmtree(root / "proc/999", ignore_errors=True)  # a process that ended meanwhile costs node_exporter them all
    their_text, our_text = exporter_on(root, ASKED[kind]), agent_on(root)
    theirs, ours = series(their_text), series(our_text)
    assert [
        name for name, value in theirs.items() if name.startswith("node_scrape_collector_success") and not value
    ] == []
    wanted = {name: value for name, value in theirs.items() if is_wanted(name, value) and not ALARMS.match(name)}
    assert len(wanted) > 150
    assert [name for name in wanted if name not in ours] == []
    assert {name: ours[name] for name in wanted} == pytest.approx(wanted, rel=1e-9)
    types, our_types = kinds(their_text), kinds(our_text)
    assert {name: kind for name, kind in types.items() if our_types.get(name, kind) != kind} == {}
    # promtool complains of names that are node_exporter's, and of no other.
    assert {line.split()[0] for line in promtool_says(our_text)} <= types.keys() | LATER
