"""Our /metrics beside Debian's own node_exporter, promtool and Prometheus."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import TOKEN, AgentDaemon, free_port, wait_for

# What node_exporter shows by default and no dashboard or alert of note asks for, and what is about itself.
NOT_OURS = re.compile(
    r"go_|process_|promhttp_|node_exporter_build_info|node_textfile_|node_scrape_collector_"
    r"|node_network_(address_assign_type|device_id|dormant|flags|iface_id|iface_link|iface_link_mode|name_assign_type"
    r"|net_dev_group|protocol_type|speed_bytes)"
    r"|node_nf_conntrack_stat_|node_os_|node_selinux_|node_time_(clocksource|zone)|node_timex_pps_|node_udp_queues"
    r"|node_disk_info|node_dmi_info|node_nvme_info|node_xfs_|node_btrfs_|node_rapl_"
    r"|node_power_supply_info|node_cpu_(package|core)_throttles|node_cpu_info"
    r"|node_cpu_frequency_"
)

# Series that move between two looks a moment apart: name and how far, in per cent of the value or in its own unit.
TOLERANCES = (
    (re.compile(r"node_memory_|node_sockstat_|node_filefd|node_arp"), 30.0, 64 * 1024 * 1024),
    (re.compile(r"node_filesystem_(free|avail)_bytes"), 5.0, 64 * 1024 * 1024),
    (re.compile(r"node_filesystem_files_free"), 5.0, 10_000),
    (re.compile(r"node_(load|procs_|netstat_Tcp_CurrEstab|disk_io_now|nf_conntrack)"), 100.0, 50),
    (re.compile(r".*_seconds_total|node_time_seconds"), 5.0, 10.0),
    (re.compile(r"node_vmstat_|node_disk_|node_network_.*_total|node_netstat_|node_softnet_"), 20.0, 200_000_000),
    (re.compile(r"node_intr_total|node_context_switches_total|node_forks_total"), 20.0, 1_000_000),
    (re.compile(r"node_timex_"), 50.0, 1.0),
)


def install(*packages: str) -> None:
    """Debian's anchors, without the services that their packages would start."""
    missing = [package for package in packages if not Path(f"/usr/share/doc/{package}").exists()]
    if not missing:
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)


def series(text: str) -> dict[str, float]:
    """Name with labels to value."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, mounts_alone: None) -> Iterator[AgentDaemon]:
    agent = AgentDaemon(tmp_path_factory.mktemp("agent"))
    agent.start()
    agent.wait_ready()
    wait_for(lambda: b"node_filesystem_size_bytes" in agent.get("/metrics")[2])
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    """The address of a node_exporter with its default collectors."""
    install("prometheus-node-exporter")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address={address}"], stderr=subprocess.DEVNULL
    )
    yield address
    process.terminate()
    process.wait()


def exporter_text(address: str) -> str:
    def fetch() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    return wait_for(fetch, 60)


def test_every_series_that_a_dashboard_asks_of_node_exporter_is_ours_too_with_the_same_value(
    agent: AgentDaemon, exporter: str
) -> None:
    exporter_text(exporter)
    theirs = series(exporter_text(exporter))
    time.sleep(1)
    ours = series(agent.get("/metrics")[2].decode())
    wanted = {name: value for name, value in theirs.items() if not NOT_OURS.match(name)}
    assert len(wanted) > 150
    assert {name for name in wanted if name not in ours} == set()
    wrong = {}
    for name, value in wanted.items():
        per_cent, least = next(((p, m) for pattern, p, m in TOLERANCES if pattern.match(name)), (0.0, 0.0))
        if abs(ours[name] - value) > max(abs(value) * per_cent / 100, least):
            wrong[name] = (ours[name], value)
    assert wrong == {}


def promtool_says(text: str) -> set[str]:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return set(done.stderr.splitlines())


def test_promtool_has_nothing_to_say_but_of_names_that_are_node_exporter_s(agent: AgentDaemon, exporter: str) -> None:
    install("prometheus")
    theirs, ours = exporter_text(exporter), agent.get("/metrics")[2].decode()
    assert shutil.which("promtool")
    # Later versions of node_exporter keep two more counters than Debian 12's.
    names = {name.partition("{")[0] for name in series(theirs)}
    names |= {"node_netstat_TcpExt_TCPOFOQueue", "node_netstat_TcpExt_TCPRcvQDrop"}
    for complaint in promtool_says(ours):
        assert complaint.split()[0] in names, complaint


def test_prometheus_scrapes_us(agent: AgentDaemon, tmp_path: Path) -> None:
    install("prometheus")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "token").write_text(TOKEN, encoding="ascii")
    (tmp_path / "prometheus.yml").write_text(
        f"""
scrape_configs:
  - job_name: node
    scrape_interval: 1s
    authorization: {{credentials_file: {tmp_path}/token}}
    static_configs: [{{targets: ["{agent.name}"]}}]
""",
        encoding="ascii",
    )
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address={address}",
        ],
        stderr=subprocess.DEVNULL,
    )

    def query(expression: str) -> Any:
        url = f"http://{address}/api/v1/query?query={urllib.parse.quote(expression)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    try:
        (up,) = wait_for(lambda: query("up == 1"), 30)
        assert up["metric"]["job"] == "node"
        # The expression of the dashboard "Node Exporter Full" for how busy a machine is.
        busy = '100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle"}[10s])))'
        (value,) = wait_for(lambda: query(busy), 30)
        assert 0 <= float(value["value"][1]) <= 100
    finally:
        process.terminate()
        process.wait()
