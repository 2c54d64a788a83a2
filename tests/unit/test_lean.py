"""What gunicorn and Flask import is in the agent's memory only where the agent needs it."""

import json
import subprocess
import sys

from tests.unit.test_architecture import ROOT

# Each of them takes its part of the agent's memory, some with much that they import in turn.
LEFT_OUT = {
    "click",
    "email.parser",
    "flask.cli",
    "html.entities",
    "http.client",
    "importlib.metadata",
    "jinja2",
    "logging.config",
    "pkg_resources",
    "socketserver",
    "urllib.request",
    "werkzeug.formparser",
    "werkzeug.serving",
    "werkzeug.test",
    "zipfile",
}

LOADED = "import json, sys, monitoring_agent.server, monitoring_agent.worker; print(json.dumps(list(sys.modules)))"

REAL = """
import monitoring_agent.server, html, logging.config, click, flask.cli, jinja2, urllib.request, werkzeug.test
assert jinja2.Environment().from_string("{{ 1 + 1 }}").render() == "2"
assert urllib.request.parse_http_list("a, b") == ["a", "b"]
assert callable(logging.config.dictConfig)
assert isinstance(flask.cli.AppGroup(), click.Group)
assert werkzeug.test.Client(lambda environ, start: start("204 No Content", []) and []).get("/").status_code == 204
"""

USED_AFTER_ALL = """
import monitoring_agent.server, flask
flask.Flask("x").jinja_env
"""

NEEDED_AT_ONCE = """
import sys
import monitoring_agent.lean
for module in ("calendar", "datetime"):
    sys.modules.pop(module, None)
monitoring_agent.lean._import("calendar", ("datetime",))  # it computes with dates while it is imported
import calendar, datetime
assert calendar.datetime is datetime
assert calendar.weekday(2026, 1, 1) == 3
"""

ASKED = """
import json, sys
from monitoring_agent import server
from monitoring_agent.access import Access
from monitoring_agent.app import Service, create_app
from monitoring_agent.host import Host
from monitoring_agent.sampler import Sampler

service = Service(Access((), ("secret",)), clock=lambda: "no time")
service.sampler = Sampler([], Host(), clock=lambda: 1.0)
service.sampler.tick()
app = create_app(service, "/health", "/metrics-of-it")
answers = {}
for asked in ("GET /metrics-of-it", "GET /metrics", "GET /x", "POST /metrics", "GET /health"):
    method, path = asked.split()
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "HTTP_AUTHORIZATION": "Bearer secret",
        "SERVER_NAME": "x", "SERVER_PORT": "1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "wsgi.input": sys.stdin.buffer, "wsgi.errors": sys.stderr,
    }
    body = b"".join(app(environ, lambda status, headers, error=None: answers.update({asked: status})))
    if not answers[asked].startswith("200"):
        answers[asked] += ": " + json.loads(body)["error"][:9]
print(json.dumps(answers))
"""


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, as the agent is: here the tests themselves have imported it all."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_the_agent_never_uses_is_not_in_its_memory() -> None:
    loaded = set(json.loads(run(LOADED).stdout))
    assert {"flask", "gunicorn.arbiter", "gunicorn.workers.gthread"} <= loaded
    assert not loaded & LEFT_OUT


def test_whoever_imports_it_later_gets_the_real_one() -> None:
    done = run(REAL)
    assert done.returncode == 0, done.stderr


def test_what_was_left_out_and_is_used_after_all_says_so() -> None:
    assert "wanted, which monitoring_agent/lean.py leaves out" in run(USED_AFTER_ALL).stderr


def test_a_version_that_needs_at_once_what_is_left_out_is_imported_with_it() -> None:
    done = run(NEEDED_AT_ONCE)
    assert done.returncode == 0, done.stderr


def test_every_kind_of_answer_is_made_without_it() -> None:
    done = run(ASKED)
    assert json.loads(done.stdout) == {
        "GET /metrics-of-it": "200 OK",
        "GET /metrics": "200 OK",
        "GET /x": "404 NOT FOUND: The reque",
        "POST /metrics": "405 METHOD NOT ALLOWED: The metho",
        "GET /health": "500 INTERNAL SERVER ERROR: The serve",
    }, done.stderr
