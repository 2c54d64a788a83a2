"""The man pages say what the code does: every endpoint, exit status, option and setting."""

import ast
import re

import click
import pytest
from gunicorn.arbiter import Arbiter

from monitoring_agent.access import Access
from monitoring_agent.app import Service, create_app
from monitoring_agent.shared import keys, wire
from monitoring_supervisor.ctl import __main__ as ctl
from monitoring_supervisor.ctl import asking
from tests.unit.test_architecture import ROOT, code

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "debian/man").iterdir()}
# Each daemon's page, and the module whose `main` is its command.
DAEMONS = {
    "monitoring-agent.8": "monitoring_agent.server",
    "monitoring-supervisor.8": "monitoring_supervisor.__main__",
}
# What Python, argparse and gunicorn end a daemon with, beside what its `main` returns.
NOT_FROM_MAIN = {
    "monitoring-agent.8": {1, 2, Arbiter.WORKER_BOOT_ERROR, 255},
    "monitoring-supervisor.8": {1, 2},
}


def plain(line: str) -> str:
    """A line of roff as it is read: without what sets its letters, see man(7)."""
    line = re.sub(r"\\f.", "", line).replace("\\-", "-")
    macro, _, rest = line.partition(" ")
    if not macro.startswith("."):
        return line
    parts = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest)]
    return (" " if macro in {".B", ".I"} else "").join(parts)


def entries(page: str, section: str) -> list[tuple[str, str]]:
    """The tagged paragraphs of a section, as they are read: what each is about, and what it says."""
    text = PAGES[page].replace("\\\n", "").partition(f"\n.SH {section}\n")[2].partition("\n.SH ")[0]
    found = []
    for paragraph in re.split(r"^\.TP\n", text, flags=re.M)[1:]:
        tag, *body = re.split(r"^\.(?:PP|SS)\b", paragraph, flags=re.M)[0].splitlines()
        found.append((plain(tag), " ".join(map(plain, body))))
    return found


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_of_the_version_that_it_comes_with(page: str) -> None:
    assert re.match(rf'\.TH \S+ \d \d{{4}}-\d\d-\d\d "monitoring-agent {re.escape(wire.VERSION)}" ', PAGES[page])


def test_the_agent_s_page_has_every_endpoint_and_every_question_to_it_and_no_other() -> None:
    app = create_app(Service(Access((), ("x" * 16,))), "/healthcheck", "/getmetrics")
    source = (ROOT / "monitoring_agent/app.py").read_text(encoding="utf-8")
    asked = re.findall(r'(?:_number\(|query\.get\(|request\.args\[)"(\w+)"', source)
    tags = [tag for tag, _ in entries("monitoring-agent.8", "ENDPOINTS")]
    assert {re.split(r"[?&]", tag)[0] for tag in tags} - {""} == {f"GET {rule}" for rule in app.url_map.iter_rules()}
    assert {"since", "changes", "layout"} <= set(asked)
    assert {name for tag in tags for name in re.findall(r"[?&](\w+)=", tag)} == set(asked)


def test_the_agent_s_page_has_every_status_with_which_the_agent_refuses() -> None:
    """Those that it words itself, and those of the application: for token, path, method, and the first moment."""
    said = PAGES["monitoring-agent.8"].partition("\n.SS Refusals\n")[2].partition("\n.SH ")[0]
    worded = set(re.findall(r'"([45]\d\d) [A-Z]', (ROOT / "monitoring_agent/heads.py").read_text(encoding="utf-8")))
    assert len(worded) > 3
    assert worded | {"401", "404", "405", "503"} == set(re.findall(r"(?<!\d)[45]\d\d(?!\d)", said))


def returned(module: str) -> set[int]:
    """What the function `main` of a module returns. It is only read: it would import a Flask that others cannot use."""
    tree = code(module)
    (main,) = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "main")
    values = [ast.unparse(one.value) for one in ast.walk(main) if isinstance(one, ast.Return) and one.value]
    own = {ast.unparse(one.targets[0]): ast.unparse(one.value) for one in tree.body if isinstance(one, ast.Assign)}
    return {int(own.get(value, str(getattr(keys, value, value)))) for value in values}


@pytest.mark.parametrize("page", DAEMONS)
def test_a_daemon_s_page_has_every_exit_status_and_no_other(page: str) -> None:
    told = [int(status) for tag, _ in entries(page, "EXIT STATUS") for status in tag.split(", ")]
    assert set(told) == returned(DAEMONS[page]) | NOT_FROM_MAIN[page]
    assert len(told) == len(set(told))


def test_the_page_of_monitoringctl_has_every_exit_status() -> None:
    told = {int(tag) for tag, _ in entries("monitoringctl.1", "EXIT STATUS")}
    assert told == {0, click.ClickException.exit_code, asking.CANNOT_TELL, keys.EX_CONFIG}


@pytest.mark.parametrize("page", DAEMONS)
def test_a_daemon_s_page_has_every_option_and_no_other(page: str) -> None:
    calls = (one for one in ast.walk(code(DAEMONS[page])) if isinstance(one, ast.Call))
    options = [ast.literal_eval(one.args[0]) for one in calls if ast.unparse(one.func) == "parser.add_argument"]
    told = set().union(*(options_in(tag) for tag, _ in entries(page, "OPTIONS")))
    assert told == {*options, "-h", "--help"}


def of_the_command(name: str) -> list[tuple[str, str]]:
    """How monitoringctl(1) writes a command, and what it says of it, in all its forms."""
    return [(tag, text) for tag, text in entries("monitoringctl.1", "COMMANDS") if tag.split()[0] == name]


@pytest.mark.parametrize("name", ctl.COMMANDS)
def test_each_command_of_monitoringctl_has_its_own_options_in_its_own_part_of_the_page(name: str) -> None:
    assert isinstance(ctl.main, click.Group)
    command = ctl.main.get_command(click.Context(ctl.main), name)
    assert command
    forms, texts = zip(*of_the_command(name), strict=True)
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert options_in(" ".join(forms)) == {name for option in options for name in option.opts}
    for option in options:
        if isinstance(option.type, click.Choice):
            assert set(option.type.choices) <= set(re.findall(r"\w+", " ".join((*forms, *texts))))
        if isinstance(option.type, click.IntRange | click.FloatRange):
            assert f"from {option.type.min:g} to {option.type.max:g}" in " ".join(texts)


def settings() -> dict[str, str]:
    """What monitoring.env(5) says of each key."""
    return {tag.partition(" ")[0]: body for tag, body in entries("monitoring.env.5", "SETTINGS")}


def test_the_page_of_the_settings_has_every_key_with_its_default_and_no_other() -> None:
    tags = [tag for tag, _ in entries("monitoring.env.5", "SETTINGS")]
    assert tags == [f"{key.name} ({key.default or 'empty'})" for key in keys.KEYS]


def allowed(key: keys.Key) -> str:
    """What the refusal of a wrong value says a right one is, such as `a whole number from 1 to 1000`; or nothing."""
    try:
        key.parse("?")
    except ValueError as refusal:
        return str(refusal).partition(" is not ")[2].partition(";")[0]
    return ""


@pytest.mark.parametrize("key", [key for key in keys.KEYS if allowed(key)], ids=lambda key: key.name)
def test_the_page_of_the_settings_says_what_a_key_may_be_in_the_words_of_its_refusal(key: keys.Key) -> None:
    assert allowed(key) in settings()[key.name].lower()


def test_what_settings_may_be_is_known_of_every_number() -> None:
    """So that the test above has something to look for."""
    numbers = [key for key in keys.KEYS if key.default.isdigit()]
    assert len(numbers) > 5
    assert [key.name for key in numbers if " from " not in allowed(key)] == []


def test_every_page_names_the_others() -> None:
    names = {page: re.sub(r"\.(\d)$", r"(\1)", page) for page in PAGES}
    for page, text in PAGES.items():
        also = {plain(line).rstrip(",") for line in text.partition("\n.SH SEE ALSO\n")[2].splitlines()}
        assert {name for other, name in names.items() if other != page} <= also
