"""Our /metrics beside Debian's own node_exporter, promtool and Prometheus."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring_agent.collectors.registry import collectors
from tests.integration.daemons import TOKEN, AgentDaemon, free_port, wait_for

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

# Values that go up and down, by how much of themselves they may have done so between our look and the nearer one of
# node_exporter's two. All others are the same or, as counters, between the two.
MOVING = (
    (re.compile(r"node_memory_(?!\w*(Total|Limit|size))"), 0.1, 64 * 1024 * 1024),
    (re.compile(r"node_filesystem_(free|avail)_bytes"), 0.01, 64 * 1024 * 1024),
    (re.compile(r"node_filesystem_files_free"), 0.01, 1000),
    (re.compile(r"node_(sockstat|filefd_allocated|arp_entries|netstat_Tcp_CurrEstab|nf_conntrack_entries$)"), 0.3, 300),
    (re.compile(r"node_(load|procs_|disk_io_now)"), 0.3, 10),
    (re.compile(r"node_timex_(offset|maxerror|estimated)"), 0.1, 0.001),
    (re.compile(r"node_cpu_(guest_)?seconds_total"), 0.0, 0.02),  # the kernel itself takes steps back of a tick
)

# Later versions of node_exporter keep two more counters than Debian 12's.
LATER = {"node_netstat_TcpExt_TCPOFOQueue", "node_netstat_TcpExt_TCPRcvQDrop"}
ROUNDING = 1e-6  # two ways to divide by a million


def left_out() -> list[str]:
    """The patterns of the README's table of what node_exporter shows and the agent does not."""
    table = README.partition("| not shown | why |\n|---|---|\n")[2].partition("\n\n")[0]
    return [name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def is_wanted(name: str, value: float) -> bool:
    """Whether we promise this series of node_exporter's."""
    if name.startswith("node_network_speed_bytes") and value < 0:
        return False  # what node_exporter says where the speed is unknown
    return not any(fnmatch.fnmatchcase(name.partition("{")[0], pattern) for pattern in left_out())


def install(*packages: str) -> None:
    """Debian's anchors, without the services that their packages would start."""
    missing = [package for package in packages if not Path(f"/usr/share/doc/{package}").exists()]
    if not missing:
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)


def kinds(text: str) -> dict[str, str]:
    """Name to type."""
    rows = (line.split() for line in text.splitlines() if line.startswith("# TYPE "))
    return {row[2]: row[3] for row in rows}


def series(text: str) -> dict[str, float]:
    """Name with labels to value."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


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


@pytest.fixture(scope="module")
def before(exporter: str) -> str:
    """What node_exporter said before the agent began to look."""
    exporter_text(exporter)  # some of its counters begin with the first question
    return exporter_text(exporter)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, mounts_alone: None, before: str) -> Iterator[AgentDaemon]:
    agent = AgentDaemon(tmp_path_factory.mktemp("agent"))
    agent.start()
    agent.wait_ready()
    names = {collector.name for collector in collectors() if not collector.delay_seconds}
    wait_for(lambda: names <= set(agent.report()["collectors"]))
    yield agent
    agent.stop()


def exporter_text(address: str) -> str:
    def fetch() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    return wait_for(fetch, 60)


def test_every_series_of_node_exporter_but_those_that_the_readme_names_is_ours_too_with_the_same_value_and_type(
    agent: AgentDaemon, exporter: str, before: str
) -> None:
    text = agent.get("/metrics")[2].decode()
    ours, first, last = series(text), series(before), series(exporter_text(exporter))
    wanted = [name for name in first.keys() & last.keys() if is_wanted(name, first[name])]
    assert len(wanted) > 250
    assert [name for name in wanted if name not in ours] == []
    wrong = {}
    for name in wanted:
        if name.startswith("process_"):
            continue  # of another process
        low, high = sorted((first[name], last[name]))
        share, least = next(
            ((share, least) for pattern, share, least in MOVING if pattern.match(name)), (0.0, ROUNDING)
        )
        if not low - max(low * share, least) <= ours[name] <= high + max(high * share, least):
            wrong[name] = (low, ours[name], high)
    assert wrong == {}
    types, our_types = kinds(before), kinds(text)
    assert {name: kind for name, kind in types.items() if our_types.get(name, kind) != kind} == {}


def test_every_pattern_of_what_is_left_out_is_of_something_that_is_left_out(agent: AgentDaemon) -> None:
    ours = kinds(agent.get("/metrics")[2].decode())
    own = {"node_scrape_collector_*"}
    assert len(left_out()) > 20
    assert [pattern for pattern in left_out() if pattern not in own and fnmatch.filter(ours, pattern)] == []


def promtool_says(text: str) -> set[str]:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return set(done.stderr.splitlines())


def test_promtool_has_nothing_to_say_but_of_names_that_are_node_exporter_s(agent: AgentDaemon, exporter: str) -> None:
    install("prometheus")
    theirs, ours = exporter_text(exporter), agent.get("/metrics")[2].decode()
    assert shutil.which("promtool")
    assert {line.split()[0] for line in promtool_says(ours)} <= kinds(theirs).keys() | LATER


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
