"""The flaws that Glances had to mend in 2026, tried on both daemons: the README's section on security names each."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from monitoring_agent.shared.keys import EX_CONFIG
from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import ROOT, TOKEN, AgentDaemon, Daemon, SupervisorDaemon, free_port, wait_for
from tests.integration.rogues import HEALTHY, Behaviour, http_answer

OTHER_TOKEN = "fedcba9876543210fedcba9876543210"
EVIL = "http://evil.example"


@pytest.fixture
def agent(make_agent: MakeAgent) -> AgentDaemon:
    agent = make_agent()
    agent.start().wait_ready()
    return agent


def exchange(agent: AgentDaemon, request: str) -> tuple[str, str]:
    """Head and body of the answer to these very bytes."""
    with socket.create_connection(("127.0.0.1", agent.port), 10) as sock:
        sock.sendall(request.replace("\n", "\r\n").encode("ascii"))
        answer = b""
        while part := sock.recv(65536):
            answer += part
    head, _, body = answer.decode("ascii").partition("\r\n\r\n")
    return head, body


def test_a_page_in_a_browser_on_the_machine_or_rebound_to_it_learns_the_status_and_nothing_else(
    agent: AgentDaemon,
) -> None:
    """It may choose address and Host, but neither knows the token nor gets the browser to send it."""
    for path in ("/healthcheck", "/getmetrics", "/metrics"):
        for host in ("127.0.0.1:5000", "evil.example", "evil.example:5000", "a, b", ""):
            browse(agent, path, host)


def browse(agent: AgentDaemon, path: str, host: str) -> None:
    browser = f"Host: {host}\nOrigin: {EVIL}\nReferer: {EVIL}/\nCookie: session=1\nConnection: close\n"
    head, body = exchange(agent, f"GET {path} HTTP/1.1\n{browser}\n")
    if path == "/healthcheck":
        assert body == '{"status":"ok"}'
    else:
        assert head.startswith("HTTP/1.1 401 ")
        assert list(json.loads(body)) == ["error"]
    preflight, _ = exchange(
        agent,
        f"OPTIONS {path} HTTP/1.1\n{browser}Access-Control-Request-Method: GET\n"
        "Access-Control-Request-Headers: authorization\nAccess-Control-Request-Private-Network: true\n\n",
    )
    assert preflight.startswith("HTTP/1.1 405 ")
    for headers in (head, preflight):
        assert "access-control" not in headers.lower()
        assert "set-cookie" not in headers.lower()
        assert "content-type: application/json" in headers.lower()


def test_the_address_that_counts_is_the_connection_s_and_not_one_that_a_header_claims(make_agent: MakeAgent) -> None:
    agent = make_agent(AGENT_ALLOW="127.0.0.2/32")
    agent.start().wait_ready()
    assert agent.get("/healthcheck", source="127.0.0.2")[0] == 200
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "True-Client-IP"):
        claim = "for=127.0.0.2" if header == "Forwarded" else "127.0.0.2"
        head, _ = exchange(agent, f"GET /healthcheck HTTP/1.1\nHost: a\n{header}: {claim}\nConnection: close\n\n")
        assert head.startswith("HTTP/1.1 403 ")


def test_a_token_counts_in_its_header_only_and_not_in_a_url_that_logs_and_proxies_see(agent: AgentDaemon) -> None:
    for query in ("token={}", "access_token={}", "authorization=Bearer%20{}", "since=1&token={}"):
        assert agent.get(f"/getmetrics?{query.format(TOKEN)}", token=None)[0] == 401


def test_a_setting_that_stands_twice_in_an_old_file_is_told_and_stops_no_daemon(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    """The first AGENT_ALLOW may be the one that somebody wrote to shut others out."""
    for daemon in (make_agent(), make_supervisor()):
        daemon.configure(AGENT_ALLOW="127.0.0.1/32\nAGENT_ALLOW=127.0.0.0/8")
        daemon.start().wait_ready()
        for _ in range(2):
            wait_for(partial(daemon.said, "warning: "))
            (told,) = (line for line in daemon.lines if "AGENT_ALLOW" in line)
            assert told.endswith("; the last one counts")
            daemon.lines.clear()
            daemon.signal(signal.SIGHUP)
            wait_for(partial(daemon.said, "settings reloaded"))


def ctl(supervisor: SupervisorDaemon, *arguments: str, **environ: str) -> str:
    """All that monitoringctl prints."""
    environ = {**os.environ, "CONTROL_SOCKET": str(supervisor.control), **environ}
    command = [sys.executable, "-m", "monitoring_supervisor.ctl", "--config", f"{supervisor.directory}/monitoring.env"]
    command = command[:3] if "COMP_WORDS" in environ else [*command, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environ, check=False)
    return ended.stdout + ended.stderr


def private_bytes(daemon: Daemon) -> bytes:
    """What everybody on the machine sees of its processes."""
    pid = daemon.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    names = [f"/proc/{one}/{name}" for one in (str(pid), *children) for name in ("cmdline", "environ", "comm")]
    return b"".join(Path(name).read_bytes() for name in names)


def test_the_tokens_stand_in_no_answer_no_log_no_command_line_and_no_file_of_the_daemons(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    debug = {"LOG_LEVEL": "debug"}
    agent, closed = make_agent(**debug), make_agent(**debug)
    agent.start().wait_ready()
    closed.start().wait_ready()
    (closed.directory / "token").write_text(f"{OTHER_TOKEN}\n", encoding="ascii")
    closed.signal(signal.SIGHUP)
    supervisor = make_supervisor(agent.name, closed.name, f"127.0.0.1:{free_port()}", **debug)
    supervisor.start()
    supervisor.wait_state(agent.name, "up")
    wait_for(lambda: (supervisor.agent(closed.name)["failure"] or {}).get("kind") == "unauthorised")
    said = b""
    for path in ("/healthcheck", "/getmetrics", "/getmetrics?since=1", "/getmetrics?since=x", "/metrics", "/nothing"):
        for token in (TOKEN, OTHER_TOKEN, TOKEN + "x", None):
            for method in ("GET", "POST", "TRACE", "OPTIONS"):
                _, headers, body = agent.get(path, token, method)
                said += repr(headers).encode() + body
    for command in ("status --json", f"show {agent.name} --json", f"probe {agent.name}", f"probe {closed.name}"):
        said += ctl(supervisor, *command.split()).encode()
    said += private_bytes(agent) + private_bytes(supervisor)
    for daemon in (supervisor, agent, closed):
        daemon.stop()
        said += "\n".join(daemon.lines).encode()
        files = [path for path in daemon.directory.iterdir() if path.name not in {"token", "notify", "monitoring.env"}]
        said += b"".join(path.read_bytes() for path in files if path.is_file())
    for token in (TOKEN, OTHER_TOKEN):
        assert token.encode() not in said
        assert token[:16].encode() not in said


def test_who_knows_the_token_leaves_no_core_dump_where_no_unit_forbids_it(
    make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = make_agent()
    supervisor = make_supervisor(agent.name)
    most = resource.RLIM_INFINITY
    for daemon in (agent, supervisor):
        daemon.before_start = lambda: resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        daemon.start()
    supervisor.wait_state(agent.name, "up")
    for pid in (agent.process.pid, agent.worker_pid(), supervisor.process.pid):
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (1, most)


def test_only_who_is_on_the_whitelist_is_ever_sent_the_token(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    """An agent that names others, as labels, as its own name or as a proxy, gets nobody asked."""
    other = make_rogue()
    report = {
        "schema": 1,
        "sequence": 1,
        "collected_at": 1.5,
        "host": {"hostname": other.name},
        "agent": {"started_at": 1.5, "supervisor": other.name},
        "whitelist": [other.name],
        "agents": {other.name: {}},
        "proxy": f"http://{other.name}",
    }
    answer = http_answer(json.dumps(report).encode("ascii"), headers=f"Alt-Svc: http/1.1=\"{other.name}\"\r\n")

    def behave(connection: socket.socket, path: str) -> bool:
        connection.sendall(answer if path.startswith("/getmetrics") else HEALTHY)
        return True

    agent = make_rogue(behave)
    supervisor = make_supervisor(agent.name)
    supervisor.start()
    supervisor.wait_state(agent.name, "up")
    wait_for(lambda: len(agent.paths) > 10)
    assert other.connections == 0
    assert list(supervisor.document()["agents"]) == [agent.name]
    assert all(f"Authorization: Bearer {TOKEN}".encode() in request for request in agent.requests)


COMMANDS = ("$(touch {})", "`touch {}`", ";touch {};", "a|touch {}", "a && touch {}", "a > {}")


@pytest.mark.parametrize("template", COMMANDS)
def test_a_command_in_the_settings_is_text_and_run_by_nobody(
    make_supervisor: MakeSupervisor, tmp_path: Path, template: str
) -> None:
    trap = tmp_path / "ran"
    supervisor = make_supervisor(HISTORY_FILE=f"{tmp_path}/{template.format('ran')} ${{HOME}} $HOME ~.db")
    supervisor.start().wait_ready()
    ctl(supervisor, "check-config")
    assert (tmp_path / f"{template.format('ran')} ${{HOME}} $HOME ~.db").exists()
    supervisor.stop()
    supervisor.configure(WHITELIST_AGENT=template.format(trap))
    assert supervisor.start().wait() == EX_CONFIG
    ctl(supervisor, "check-config")
    assert not trap.exists()
    assert not Path("ran").exists()


def calls_itself(name: str) -> Behaviour:
    host = {"hostname": name, name: name}
    report = {"schema": 1, "sequence": 1, "collected_at": 1.5, "host": host, name: {name: 1, "text": name}}
    answer = http_answer(json.dumps(report).encode("ascii"))

    def behave(connection: socket.socket, path: str) -> bool:
        connection.sendall(answer if path.startswith("/getmetrics") else HEALTHY)
        return True

    return behave


@pytest.mark.parametrize("template", ["$(touch {})", "`touch {}`", ";touch {};", "a|touch {}", "{{{{x}}}}\ntouch {}\n"])
def test_a_machine_that_calls_itself_a_command_gets_it_run_by_nobody(
    make_rogue: MakeRogue, make_supervisor: MakeSupervisor, tmp_path: Path, template: str
) -> None:
    """Not by the daemons, not by monitoringctl, and not by a shell on whose command line Tab would put it."""
    trap = tmp_path / "ran"
    name = template.format(trap)
    rogue = make_rogue(calls_itself(name))
    supervisor = make_supervisor(rogue.name)
    supervisor.start().wait_ready()
    wait_for(lambda: supervisor.agent(rogue.name)["report"])
    for command in (["status"], ["agents"], ["show", "127.0.0.1"], ["history", "127.0.0.1", f"{name[:2]}*"]):
        ctl(supervisor, *command)
    for words, offered in (("monitoringctl show ", rogue.name), (f"monitoringctl show {rogue.name} ", "host")):
        where = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        said = ctl(supervisor, _MONITORINGCTL_COMPLETE="bash_complete", **where)
        assert f"plain,{offered}\n" in said
        assert "touch" not in said
    assert not trap.exists()
