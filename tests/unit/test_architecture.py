"""The shape of the project: which module may import which, and that the texts agree with the code."""

import ast
import math
import re
from pathlib import Path

import pytest

from monitoring_agent.collectors import registry
from monitoring_agent.shared import keys, wire

ROOT = Path(__file__).parents[2]

# Imports point down: a module imports only from layers below its own. A new module gets its layer here.
LAYERS = {
    "monitoring_agent.shared.wire": 0,
    "monitoring_agent.shared.patch": 0,
    "monitoring_agent.shared.layout": 1,
    "monitoring_agent.shared.journal": 0,
    "monitoring_agent.shared.systemd": 0,
    "monitoring_agent.shared.env": 0,
    "monitoring_agent.shared.address": 0,
    "monitoring_agent.shared.certificate": 0,
    "monitoring_agent.shared.keys": 1,
    "monitoring_agent.shared.tls": 1,
    "monitoring_agent.settings": 2,
    "monitoring_agent.host": 1,
    "monitoring_agent.container": 2,
    "monitoring_agent.rates": 2,
    "monitoring_agent.access": 2,
    "monitoring_agent.metric": 2,
    "monitoring_agent.recall": 2,
    "monitoring_agent.goodbye": 2,
    "monitoring_agent.client_socket": 2,
    "monitoring_agent.allocator": 2,
    "monitoring_agent.lean": 2,
    "monitoring_agent.since": 3,
    "monitoring_agent.repeated": 4,
    "monitoring_agent.collectors.probes": 2,
    "monitoring_agent.collectors.commands": 2,
    "monitoring_agent.collectors.stalls": 2,
    "monitoring_agent.collectors.sysfs": 2,
    "monitoring_agent.collectors.raid": 3,
    "monitoring_agent.collectors.facts": 3,
    "monitoring_agent.collectors.*": 4,
    "monitoring_agent.collectors.registry": 5,
    "monitoring_agent.sampler": 6,
    "monitoring_agent.exposition": 6,
    "monitoring_agent.app": 7,
    "monitoring_agent.arbiter": 8,
    "monitoring_agent.heads": 2,
    "monitoring_agent.worker": 8,
    "monitoring_agent.server": 9,
    "monitoring_supervisor.model": 2,
    "monitoring_supervisor.minutes": 2,
    "monitoring_supervisor.held": 3,
    "monitoring_supervisor.large": 1,
    "monitoring_supervisor.latest": 4,
    "monitoring_supervisor.settings": 3,
    "monitoring_supervisor.targets": 3,
    "monitoring_supervisor.roster": 3,
    "monitoring_supervisor.schedule": 3,
    "monitoring_supervisor.vitals": 3,
    "monitoring_supervisor.spoken": 1,
    "monitoring_supervisor.words": 4,
    "monitoring_supervisor.machines": 3,
    "monitoring_supervisor.certificates": 3,
    "monitoring_supervisor.outage": 3,
    "monitoring_supervisor.calm": 3,
    "monitoring_supervisor.resolver": 3,
    "monitoring_supervisor.answers": 3,
    "monitoring_supervisor.agent_client": 4,
    "monitoring_supervisor.fleet": 5,
    "monitoring_supervisor.poller": 5,
    "monitoring_supervisor.store.snapshot": 6,
    "monitoring_supervisor.store.pace": 7,
    "monitoring_supervisor.store.blocks": 3,
    "monitoring_supervisor.store.database": 4,
    "monitoring_supervisor.store.reading": 5,
    "monitoring_supervisor.store.lines": 6,
    "monitoring_supervisor.store.upkeep": 6,
    "monitoring_supervisor.store.keeper": 7,
    "monitoring_supervisor.store.shares": 5,
    "monitoring_supervisor.gaps": 1,
    "monitoring_supervisor.store.recovery": 5,
    "monitoring_supervisor.store.history": 8,
    "monitoring_supervisor.views": 7,
    "monitoring_supervisor.control": 8,
    "monitoring_supervisor.following": 4,
    "monitoring_supervisor.daemon": 9,
    "monitoring_supervisor.__main__": 10,
    "monitoring_supervisor.ctl.text": 2,
    "monitoring_supervisor.ctl.tables": 3,
    "monitoring_supervisor.ctl.places": 4,
    "monitoring_supervisor.ctl.units": 5,
    "monitoring_supervisor.ctl.asking": 9,
    "monitoring_supervisor.ctl.names": 10,
    "monitoring_supervisor.ctl.saved": 8,
    "monitoring_supervisor.ctl.authority": 2,
    "monitoring_supervisor.ctl.curve": 3,
    "monitoring_supervisor.ctl.times": 2,
    "monitoring_supervisor.ctl.past": 10,
    "monitoring_supervisor.ctl.probing": 10,
    "monitoring_supervisor.ctl.status": 10,
    "monitoring_supervisor.ctl.*": 11,
    "monitoring_supervisor.ctl.top": 12,
    "monitoring_supervisor.ctl.__main__": 13,
}


def modules() -> list[str]:
    paths = [*ROOT.glob("monitoring_agent/**/*.py"), *ROOT.glob("monitoring_supervisor/**/*.py")]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)


def code(module: str) -> ast.Module:
    return ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))


def layer(module: str) -> int:
    if module in LAYERS:
        return LAYERS[module]
    return LAYERS[module.rpartition(".")[0] + ".*"]


def imported(node: ast.AST) -> list[str]:
    """The project's modules that an import statement names."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        known = modules()
        names = [name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names]
    return [name for name in names if name.startswith("monitoring_")]


REAL_MODULES = [module for module in modules() if not module.endswith("__init__")]


@pytest.mark.parametrize("module", REAL_MODULES)
def test_imports_point_down(module: str) -> None:
    for node in ast.walk(code(module)):
        for name in imported(node):
            assert layer(name) < layer(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in REAL_MODULES if name.startswith("monitoring_supervisor")])
def test_the_supervisor_knows_of_the_agent_only_what_it_publishes(module: str) -> None:
    for node in ast.walk(code(module)):
        for name in imported(node):
            assert name.startswith(("monitoring_supervisor.", "monitoring_agent.shared."))


@pytest.mark.parametrize("module", modules())
def test_nothing_is_imported_inside_a_function(module: str) -> None:
    for function in ast.walk(code(module)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_is_for_and_packages_say_nothing_else(module: str) -> None:
    tree = code(module)
    assert ast.get_docstring(tree)
    if module.endswith("__init__"):
        assert len(tree.body) == 1


def test_every_module_has_a_layer() -> None:
    for module in REAL_MODULES:
        layer(module)


def table_row(key: keys.Key) -> str:
    return f"| `{key.name}` | {f'`{key.default}`' if key.default else 'empty'} | {key.meaning} |"


@pytest.mark.parametrize("key", keys.KEYS, ids=lambda key: key.name)
def test_every_setting_stands_in_the_readme_with_its_default_and_meaning(key: keys.Key) -> None:
    assert table_row(key) in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def metric_rows() -> list[str]:
    """The rows of the README's table of metrics."""
    return [
        f"| `{collector.name}.{metric.path}` | {metric.unit} | {metric.meaning} | {metric.source} |"
        f" {f'`{metric.series}`' if metric.series else ''} |"
        for collector in registry.collectors()
        for metric in collector.metrics
    ]


def test_the_readme_s_table_of_metrics_is_the_code_s() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| name | unit | meaning | source | for Prometheus |\n|---|---|---|---|---|\n")[2]
    assert table.partition("\n\n")[0].splitlines() == metric_rows(), "the table should be:\n" + "\n".join(metric_rows())


def period_rows() -> list[str]:
    """The rows of the README's table of how often a collector runs."""
    by_period: dict[float, list[str]] = {}
    for collector in registry.collectors():
        by_period.setdefault(collector.period_seconds, []).append(f"`{collector.name}`")
    words = {math.inf: "once", 60.0: "a minute", 300.0: "5 minutes", 3600.0: "an hour", 1.0: "a second"}
    return [
        f"| {words.get(period, f'{period:g} seconds')} | {', '.join(names)} |"
        for period, names in sorted(by_period.items())
    ]


def test_the_readme_says_how_often_each_collector_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| every | |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == period_rows(), "the table should be:\n" + "\n".join(period_rows())


def test_the_shipped_settings_file_has_every_key_commented_with_its_default_and_no_other() -> None:
    text = (ROOT / "etc/monitoring.env").read_text(encoding="utf-8")
    assert re.findall(r"^#([A-Z_]+)=(.*)$", text, re.M) == [(key.name, key.default) for key in keys.KEYS]
    assert not [line for line in text.splitlines() if line and not line.startswith("#")]
    comments = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    for key in keys.KEYS:
        assert key.meaning in comments


def test_the_package_and_the_code_have_one_version() -> None:
    changelog = (ROOT / "debian/changelog").read_text(encoding="utf-8")
    assert re.match(r"monitoring-agent \(([^)]+)\)", changelog)[1] == wire.VERSION  # type: ignore[index]
