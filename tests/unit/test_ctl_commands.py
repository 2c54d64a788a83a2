"""The commands of monitoringctl and the texts that tell of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from monitoring_agent.collectors.registry import collectors
from monitoring_supervisor.ctl import __main__ as ctl
from monitoring_supervisor.ctl import asking, past

ROOT = Path(__file__).parents[2]
MAN_PAGE = (ROOT / "debian/man/monitoringctl.1").read_text(encoding="utf-8").replace("\\-", "-")


def command(name: str) -> click.Command:
    assert isinstance(ctl.main, click.Group)
    found = ctl.main.get_command(click.Context(ctl.main), name)
    assert found
    return found


# None of it is needed to ask the supervisor; together they cost as much as the interpreter itself.
HEAVY = {
    "asyncio", "curses", "http", "requests", "sqlite3", "ssl", "urllib.request", "monitoring_supervisor.fleet",
    "monitoring_supervisor.model", "monitoring_supervisor.settings", "monitoring_supervisor.store",
    "monitoring_supervisor.views",
}  # fmt: skip


def test_status_reads_nothing_that_it_does_not_need_to_ask_the_supervisor() -> None:
    code = "import json, sys; from monitoring_supervisor.ctl import __main__, status; print(json.dumps([*sys.modules]))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert HEAVY & set(json.loads(told.stdout)) == set()


@pytest.mark.parametrize("name", ctl.COMMANDS)
def test_every_command_has_its_name_and_stands_in_the_readme_and_in_the_man_page(name: str) -> None:
    assert command(name).name == name
    assert f"| `monitoringctl {name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\.B {name}\b", MAN_PAGE, re.M)


@pytest.mark.parametrize("name", ctl.COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    assert all(one.help for one in command(name).params if isinstance(one, click.Option))


@pytest.mark.parametrize("name", ctl.COMMANDS)
def test_what_a_command_is_for_fits_the_list_of_commands(name: str) -> None:
    assert command(name).short_help
    assert not command(name).get_short_help_str(limit=60).endswith("...")


@pytest.mark.parametrize("name", ["status", "agents", "show", "history", "probe"])
def test_every_command_that_tells_something_has_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in command(name).params)


def test_who_asks_for_too_many_metrics_at_once_is_told_names_of_some() -> None:
    many = [f"memory.meminfo.{number}" for number in range(past.MAX_METRICS + 1)]
    assert past.few(many[1:]) == many[1:]
    with pytest.raises(asking.CannotTell, match=r"these are 51 metrics, .*\nName some .* memory.meminfo.0 or mem"):
        past.few(many)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("10.0.0.5:5000", "10.0.0.5:5000"),
        ("https://10.0.0.5", "10.0.0.5"),
        ("http://web-1:5001/", "web-1:5001"),
        ("https://[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:5000", "[2001:db8::7]:5000"),
        ("https://", "https://"),
    ],
)
def test_an_agent_can_be_named_as_the_whitelist_does(text: str, name: str) -> None:
    assert asking.named(text) == name


def numbers_of_a_report() -> list[str]:
    """The path of everything that an agent tells, rates included; `*` stands for names."""
    found = [f"{one.name}.{metric.path}" for one in collectors() for metric in one.metrics]
    rates = [re.sub(r"_seconds_total$|_total$", "", path) for path in found if path.endswith("_total")]
    return [*found, *(f"{path}_per_second" for path in rates), *(f"{path}_percent" for path in rates)]


def examples() -> set[str]:
    """The metrics that the man page, the README's commands and the help texts name."""
    readme = "".join((ROOT / "README.md").read_text(encoding="utf-8").split("```")[1::2])
    help_texts = "".join(str(command(name).help) for name in ctl.COMMANDS)
    sections = "|".join(one.name for one in collectors())
    return set(re.findall(rf"(?<![\w/.-])(?:{sections})\.(?!service|py|json)[\w.*]*\w", MAN_PAGE + readme + help_texts))


def test_every_metric_of_an_example_is_one_that_agents_tell() -> None:
    known = [re.compile(re.escape(path).replace(r"\*", "[^.]+") + r"(\..*)?") for path in numbers_of_a_report()]
    named = examples()
    assert {"load.load_1m", "disks.*.written_bytes_per_second", "network.*.sent_bytes_per_second"} <= named
    assert [path for path in named if not any(pattern.fullmatch(path) for pattern in known)] == []
