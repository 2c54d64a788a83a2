"""What this code never does, so that whole kinds of flaws have no place to be. The README's section on security."""

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_architecture import ROOT, code, modules

# What makes objects, or runs code, out of bytes that somebody else may have written.
UNSAFE = {"pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "xmlrpc", "xml", "plistlib", "code", "imp", "runpy"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"}
ASKS_OTHERS = {"requests", "urllib", "http", "httplib", "httptools", "aiohttp", "ftplib", "smtplib", "xmlrpc"}


def imports(module: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(code(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def calls(module: str) -> list[ast.Call]:
    return [node for node in ast.walk(code(module)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("module", modules())
def test_nothing_that_was_sent_becomes_an_object_or_code(module: str) -> None:
    assert not imports(module) & UNSAFE
    assert not [one.lineno for one in calls(module) if ast.unparse(one.func) in RUNS_TEXT]


@pytest.mark.parametrize("module", modules())
def test_commands_are_run_without_a_shell_and_their_program_is_no_variable(module: str) -> None:
    for call in calls(module):
        assert not [one for one in call.keywords if one.arg == "shell"]
        if ast.unparse(call.func) == "commands.output":
            assert isinstance(call.args[0], ast.Constant)
        if ast.unparse(call.func) in {"subprocess.run", "subprocess.Popen"}:
            assert isinstance(call.args[0], ast.List | ast.Name), f"a text would be taken apart: {ast.unparse(call)}"


def test_a_token_is_compared_in_constant_time_and_with_all_there_are() -> None:
    """How long it takes cannot be measured here; that nothing else compares it, and with each token, is seen."""
    named = (one for one in ast.walk(code("monitoring_agent.access")) if isinstance(one, ast.FunctionDef))
    (function,) = (one for one in named if one.name == "has_token")
    (comparison,) = (ast.unparse(one) for one in ast.walk(function) if isinstance(one, ast.Compare))
    assert re.fullmatch(r"sum\(\(?hmac\.compare_digest\(shown, .*\) for token in self\.tokens\)\)? > 0", comparison)


@pytest.mark.parametrize("module", [one for one in modules() if one.startswith("monitoring_supervisor.store")])
def test_every_statement_of_sql_is_without_what_somebody_sent(module: str) -> None:
    for call in calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr.startswith("execute"):
            put_in = [ast.unparse(one.value) for one in ast.walk(call.args[0]) if isinstance(one, ast.FormattedValue)]
            # A table's name, question marks in place of values, or a constant.
            assert all(name in {"table", "marks"} or name.isupper() for name in put_in), put_in
            assert isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.Name)


@pytest.mark.parametrize("module", [one for one in modules() if one.startswith("monitoring_agent")])
def test_the_agent_asks_nobody_over_the_network(module: str) -> None:
    assert not imports(module) & ASKS_OTHERS
    assert not [one.lineno for one in calls(module) if ast.unparse(one.func).endswith("create_connection")]


def flaws() -> list[list[str]]:
    """The rows of the README's table of what others had to mend: kind, numbers, what keeps it away, and the tests."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head = "\n| kind | CVE-2026- | what keeps it away | tried by |\n|---|---|---|---|\n"
    rows = text.partition(head)[2].partition("\n\n")[0]
    return [row.strip("| ").split(" | ") for row in rows.splitlines()]


def names_of_tests() -> set[str]:
    return {
        node.name
        for path in Path(ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_kind_of_flaw_in_the_readme_names_a_test_that_tries_it_and_all_these_are_there() -> None:
    there = names_of_tests()
    assert len(flaws()) > 10
    for kind, _, remedy, tried_by in flaws():
        named = set(re.findall(r"`(test_\w+)`", tried_by))
        assert remedy
        assert named, f"nothing tries {kind!r}"
        assert named <= there, f"{kind!r}: {named - there}"
