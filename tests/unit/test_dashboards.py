"""What the world's dashboards and alerts for node_exporter ask for, and that our agent has it."""

import subprocess
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from monitoring_agent import exposition
from monitoring_agent.collectors.registry import collectors

ROOT = Path(__file__).parents[2]

# Every series in the queries of the dashboard Node Exporter Full (1860), in the order of its panels, but for those that
# node_exporter does not show either as delivered: interrupts_total, tcp_connection_states, netstat_Tcp_MaxConn, and
# systemd_socket_accepted_connections_total, which the README names.
DASHBOARD = """
pressure_cpu_waiting_seconds_total pressure_memory_waiting_seconds_total pressure_io_waiting_seconds_total
pressure_memory_stalled_seconds_total pressure_io_stalled_seconds_total cpu_seconds_total load1 load5 load15
memory_MemTotal_bytes memory_MemFree_bytes memory_MemAvailable_bytes memory_SwapTotal_bytes memory_HugePages_Total
filesystem_avail_bytes filesystem_free_bytes filesystem_size_bytes filesystem_files filesystem_files_free
filesystem_readonly filesystem_device_error time_seconds boot_time_seconds uname_info cpu_guest_seconds_total
network_receive_bytes_total network_transmit_bytes_total network_receive_packets_total network_transmit_packets_total
network_receive_errs_total network_transmit_errs_total network_receive_drop_total network_transmit_drop_total
network_receive_compressed_total network_transmit_compressed_total network_receive_multicast_total
network_receive_fifo_total network_transmit_fifo_total network_receive_frame_total network_transmit_carrier_total
network_transmit_colls_total network_mtu_bytes network_speed_bytes network_transmit_queue_length network_up
network_carrier disk_reads_completed_total disk_writes_completed_total disk_read_bytes_total disk_written_bytes_total
disk_read_time_seconds_total disk_write_time_seconds_total disk_io_time_seconds_total
disk_io_time_weighted_seconds_total disk_reads_merged_total disk_writes_merged_total disk_discard_time_seconds_total
disk_discards_completed_total disk_discards_merged_total disk_io_now vmstat_pgpgin vmstat_pgpgout vmstat_pswpin
vmstat_pswpout vmstat_pgfault vmstat_pgmajfault vmstat_oom_kill timex_estimated_error_seconds timex_offset_seconds
timex_maxerror_seconds timex_loop_time_constant timex_sync_status timex_frequency_adjustment_ratio timex_tick_seconds
timex_tai_offset_seconds procs_blocked procs_running processes_state processes_pids processes_max_processes
processes_threads processes_max_threads forks_total context_switches_total intr_total schedstat_running_seconds_total
schedstat_waiting_seconds_total schedstat_timeslices_total entropy_available_bits cpu_scaling_frequency_hertz
cpu_scaling_frequency_max_hertz cpu_scaling_frequency_min_hertz hwmon_temp_celsius hwmon_chip_names
hwmon_temp_crit_alarm_celsius hwmon_temp_crit_celsius hwmon_temp_crit_hyst_celsius hwmon_temp_max_celsius
cooling_device_cur_state cooling_device_max_state power_supply_online systemd_units filefd_maximum filefd_allocated
nf_conntrack_entries nf_conntrack_entries_limit arp_entries softnet_processed_total softnet_dropped_total
softnet_times_squeezed_total sockstat_TCP_alloc sockstat_UDP_mem_bytes sockstat_FRAG_memory sockstat_sockets_used
netstat_IpExt_InOctets netstat_Ip_Forwarding netstat_Icmp_InMsgs netstat_Udp_InErrors netstat_UdpLite_InErrors
netstat_Tcp_InSegs netstat_TcpExt_ListenOverflows netstat_TcpExt_TCPOFOQueue netstat_Tcp_CurrEstab
netstat_TcpExt_SyncookiesFailed netstat_Tcp_ActiveOpens scrape_collector_duration_seconds scrape_collector_success
textfile_scrape_error
"""
# Those in the alerts on hosts of awesome-prometheus-alerts and of node_exporter's own mixin that are not above.
ALERTS = """
systemd_unit_state systemd_service_restart_total hwmon_sensor_label hwmon_temp_alarm md_state md_disks
md_disks_required edac_correctable_errors_total edac_uncorrectable_errors_total bonding_active bonding_slaves
reboot_required
"""


def known() -> set[str]:
    """The series of all collectors, with * where the kernel names them, and those around them."""
    around = [line.split()[2] for line in exposition.render([], {}).decode().splitlines() if line.startswith("# TYPE")]
    return {metric.series for collector in collectors() for metric in collector.metrics} | set(around)


@pytest.mark.parametrize("asked", [DASHBOARD, ALERTS], ids=["dashboard", "alerts"])
def test_every_series_that_is_asked_for_is_one_of_ours(asked: str) -> None:
    ours = known()
    missing = [name for name in asked.split() if not any(fnmatchcase(f"node_{name}", pattern) for pattern in ours)]
    assert missing == []


@pytest.mark.parametrize(
    "name",
    [
        "cpu_seconds_total",
        "resident_memory_bytes",
        "virtual_memory_bytes",
        "virtual_memory_max_bytes",
        "open_fds",
        "max_fds",
    ],
)
def test_the_agent_tells_what_it_uses_itself(name: str) -> None:
    lines = exposition.render([], {}).decode().splitlines()
    (value,) = (float(line.split()[1]) for line in lines if line.startswith(f"process_{name} "))
    assert value > 0


def test_the_agent_tells_when_it_was_started() -> None:
    code = "from monitoring_agent import exposition; print(exposition.render([], {}).decode())"
    began = time.time()
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (value,) = (float(line.split()[1]) for line in said.splitlines() if line.startswith("process_start_time_seconds "))
    assert began - 1.5 < value < time.time() + 1.5  # the kernel tells when it was booted to the second
