"""The text for Prometheus."""

from pathlib import Path

from monitoring_agent.collectors.registry import Collector, collectors
from monitoring_agent.collectors.units import parse
from monitoring_agent.exposition import render
from monitoring_agent.host import Host
from monitoring_agent.metric import Metric

TREES = Path(__file__).parents[1] / "trees"


def lines(kind: str) -> list[str]:
    host = Host(str(TREES / kind))
    samples = [(one, one.collect(host)) for one in collectors() if one.name != "packages"]
    return render(samples, {"cpu": {"ok": True, "duration_seconds": 0.5}}).decode().splitlines()


def test_node_exporter_s_names_labels_and_units_are_used() -> None:
    text = lines("vm")
    assert {
        'node_cpu_seconds_total{cpu="1",mode="softirq"} 3.1',
        "node_load1 0.52",
        "node_memory_MemTotal_bytes 4112359424",
        'node_disk_io_time_seconds_total{device="vda"} 14.076',
        'node_network_receive_bytes_total{device="eth0"} 835783048',
        "node_netstat_Tcp_RetransSegs 310",
        "node_sockstat_TCP_mem_bytes 12288",
        "node_vmstat_oom_kill 1",
        "node_boot_time_seconds 1794900000.0",
        'node_filesystem_readonly{device="/dev/nvme0n1p1",fstype="xfs",mountpoint="/srv/data"} 1',
        'node_softnet_dropped_total{cpu="0"} 2',
        'node_network_info{address="52:54:00:12:34:56",broadcast="ff:ff:ff:ff:ff:ff",device="eth0",duplex="full",'
        'ifalias="",operstate="up"} 1',
        'node_scrape_collector_success{collector="cpu"} 1',
    } <= set(text)
    assert any(line.startswith('node_uname_info{domainname="(none)",machine="') for line in text)


def test_sensors_have_node_exporter_s_chip_names() -> None:
    assert 'node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 47.0' in lines("physical")
    assert 'node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1' in lines("physical")


def test_what_the_common_alerts_on_hardware_ask_for_is_there() -> None:
    assert {
        'node_md_disks{device="md0",state="failed"} 1',
        'node_md_disks_required{device="md0"} 2',
        'node_md_state{device="md0",state="inactive"} 0',
        'node_md_state{device="md0",state="recovering"} 1',
        'node_hwmon_temp_crit_alarm_celsius{chip="platform_coretemp_0",sensor="temp1"} 1',
        'node_edac_correctable_errors_total{controller="0"} 12',
        'node_bonding_active{master="bond0"} 1',
        'node_thermal_zone_temp{type="x86_pkg_temp",zone="0"} 48.5',
        'node_cooling_device_cur_state{name="0",type="Processor"} 3',
    } <= set(lines("physical"))


def test_a_unit_that_failed_is_the_series_that_the_common_alert_asks_for() -> None:
    (collector,) = (one for one in collectors() if one.name == "units")
    text = render([(collector, parse("nginx.service loaded failed failed A web server\n"))], {}).decode()
    assert 'node_systemd_unit_state{name="nginx.service",state="failed"} 1' in text.splitlines()


def test_every_series_has_its_help_and_type_once_and_its_lines_together() -> None:
    for kind in ("vm", "physical", "lxc", "arm"):
        seen: list[str] = []
        for line in lines(kind):
            name = line.split()[2] if line.startswith("#") else line.partition("{")[0].partition(" ")[0]
            if not seen or seen[-1] != name:
                seen.append(name)
        assert len(seen) == len(set(seen))
        assert sum(line.startswith("# TYPE") for line in lines(kind)) == len(seen)


def test_names_from_outside_cannot_break_the_text() -> None:
    collector = Collector(
        "x", 1, lambda _host: {}, metrics=(Metric("*.size_bytes", "size", "x", "x_bytes", (("name", "*"),)),)
    )
    text = render([(collector, {'a"b\\c\nd': {"size_bytes": 1}})], {}).decode()
    assert 'x_bytes{name="a\\"b\\\\c\\nd"} 1' in text.splitlines()


def test_a_mount_whose_name_is_not_utf_8_costs_no_other_series() -> None:
    collector = Collector(
        "x", 1, lambda _host: {}, metrics=(Metric("*.size_bytes", "size", "x", "x_bytes", (("name", "*"),)),)
    )
    text = render([(collector, {"/a\udcff": {"size_bytes": 1}, "/b": {"size_bytes": 2}})], {}).decode()
    assert text.splitlines()[2:4] == ['x_bytes{name="/a?"} 1', 'x_bytes{name="/b"} 2']
