"""monitoringctl beside a real supervisor, as an operator uses it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitoring_supervisor import control
from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import ROOT, SupervisorDaemon, free_port, wait_for
from tests.integration.rogues import drips, http_answer, is_silent, says, says_of_metrics
from tests.integration.terminal import Terminal

CTL = [sys.executable, "-m", "monitoring_supervisor.ctl"]


def environ(supervisor: SupervisorDaemon) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in supervisor.settings and key != "NO_COLOR"}
    return {**kept, "STATE_DIRECTORY": str(supervisor.directory), "LC_ALL": "C.UTF-8"}


def ctl(supervisor: SupervisorDaemon, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CTL, "--config", str(supervisor.directory / "monitoring.env"), *arguments],
        cwd=ROOT,
        env={**environ(supervisor), **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def terminal(
    supervisor: SupervisorDaemon, *arguments: str, columns: int = 80, term: str = "xterm", **variables: str
) -> Terminal:
    command = [*CTL, "--config", str(supervisor.directory / "monitoring.env"), *arguments]
    return Terminal(command, {**environ(supervisor), **variables}, ROOT, columns, 24, term)


Started = Callable[..., SupervisorDaemon]


@pytest.fixture
def started(make_supervisor: MakeSupervisor) -> Started:
    """A supervisor that has made up its mind about each of these agents."""

    def start(*agents: str, **settings: str) -> SupervisorDaemon:
        supervisor = make_supervisor(*agents, **settings)
        supervisor.start().wait_ready()
        for name in agents:
            wait_for(lambda name=name: supervisor.agent(name)["state"] != "new")  # type: ignore[misc]
        return supervisor

    return start


def test_status_says_that_all_is_well_in_one_line(started: Started, make_rogue: MakeRogue) -> None:
    ended = ctl(started(make_rogue().name), "status")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 agent: 1 up\n", "")


def test_status_tells_who_is_down_and_why_and_ends_with_1(started: Started, make_rogue: MakeRogue) -> None:
    gone = f"127.0.0.1:{free_port()}"
    supervisor = started(make_rogue().name, gone)
    ended = ctl(supervisor, "status")
    assert ended.returncode == 1
    first, _, title, row = ended.stdout.splitlines()
    assert first == "2 agents: 1 up, 1 down"
    assert title.split() == ["AGENT", "STATE", "SINCE", "FOR", "WHY"]
    assert row.startswith(f"{gone}  down   never seen")
    assert row.endswith("connection refused, nothing listens at the port")
    # Of one that is down no more checks are counted, whatever still fails.
    assert re.search(r"^  Failing: since 20\d\d-", ctl(supervisor, "show", gone).stdout, re.M)


def test_a_suspect_is_not_well_and_nobody_is_nobody_of_whom_it_can_be_told(
    started: Started, make_rogue: MakeRogue
) -> None:
    suspect = make_rogue(says_of_metrics(http_answer(b"{}"))).name
    supervisor = started(suspect)
    supervisor.wait_state(suspect, "suspect")
    ended = ctl(supervisor, "status")
    assert ended.returncode == 1
    assert "its metrics: not a report of schema 1" in ended.stdout
    nobody = ctl(started(), "status")
    assert nobody.returncode == 2
    assert nobody.stdout.startswith("0 agents: 0 up\nName some to watch")


def test_with_the_supervisor_stopped_the_saved_state_is_told_with_its_age_and_status_ends_with_2(
    started: Started, make_rogue: MakeRogue
) -> None:
    up, gone = make_rogue().name, f"127.0.0.1:{free_port()}"
    supervisor = started(up, gone)
    before = ctl(supervisor, "agents").stdout.splitlines()
    supervisor.stop()
    ended = ctl(supervisor, "status")
    assert ended.returncode == 2
    assert "The supervisor does not run" in ended.stderr
    assert " old, from " in ended.stderr
    assert ended.stdout.startswith("2 agents: 1 up, 1 down\n")
    assert [line.split()[0] for line in ctl(supervisor, "agents").stdout.splitlines()] == [
        line.split()[0] for line in before
    ]
    assert "0.50" in ctl(supervisor, "show", up).stdout
    told = json.loads(ctl(supervisor, "status", "--json").stdout)
    assert told["live"] is False
    assert list(told["agents"]) == [gone]


def test_without_supervisor_and_saved_state_the_remedy_is_told(make_supervisor: MakeSupervisor) -> None:
    supervisor = make_supervisor()
    supervisor.configure()
    for arguments in (["status"], ["agents"], ["show", "a"]):
        ended = ctl(supervisor, *arguments)
        assert ended.returncode == 2
        assert "Start it with: systemctl enable --now monitoring-supervisor" in ended.stderr
        assert ended.stdout == ""


def test_a_supervisor_that_does_not_answer_is_not_waited_for_for_ever(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name)
    supervisor.signal(signal.SIGSTOP)
    ended = ctl(supervisor, "status")
    supervisor.signal(signal.SIGCONT)
    assert ended.returncode == 2
    assert "it may be stuck" in ended.stderr
    assert ended.stdout == "1 agent: 1 up\n"


def test_something_else_at_the_socket_is_told_apart_from_a_supervisor(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name)
    supervisor.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(supervisor.control))
        listener.listen()

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP\n")

        threading.Thread(target=greet, daemon=True).start()
        ended = ctl(supervisor, "status")
    assert ended.returncode == 2
    assert "is no supervisor" in ended.stderr
    assert ended.stdout == "1 agent: 1 up\n"


def test_agents_are_listed_by_state_and_label(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue, tmp_path: Path
) -> None:
    db, web = make_rogue().name, make_rogue().name
    (tmp_path / "agents").write_text(f"{db} role=db rack=7\n{web} role=web rack=7\n", encoding="ascii")
    supervisor = make_supervisor(WHITELIST_FILE=str(tmp_path / "agents"))
    supervisor.start().wait_ready()
    supervisor.wait_state(db, "up")
    supervisor.wait_state(web, "up")
    assert len(ctl(supervisor, "agents").stdout.splitlines()) == 3
    title, row = ctl(supervisor, "agents", "--label", "role=db", "--state", "up").stdout.splitlines()
    assert title.split()[-1] == "LABELS"
    assert row.split()[0] == db
    assert row.endswith("rack=7 role=db")
    nobody = ctl(supervisor, "agents", "--label", "role=mail")
    assert (nobody.returncode, nobody.stdout, nobody.stderr) == (0, "", "No agent is so.\n")
    assert "write it as key=value" in ctl(supervisor, "agents", "--label", "role").stderr
    assert set(json.loads(ctl(supervisor, "agents", "--json").stdout)["agents"]) == {db, web}


def test_show_tells_all_of_one_agent_in_words_and_as_json(started: Started, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = started(agent.name)
    wait_for(lambda: supervisor.agent(agent.name)["report"])
    shown = ctl(supervisor, "show", agent.name).stdout
    assert shown.startswith(f"{agent.name}\n")
    assert "    State: up since 20" in shown
    assert "\nmemory\n  used_bytes " in shown
    assert "MiB" in shown or "GiB" in shown
    only = ctl(supervisor, "show", "127.0.0.1", "load").stdout
    assert only.splitlines()[0] == "load"
    for copied in (f"https://{agent.name}", "http://127.0.0.1/"):  # from the whitelist
        assert ctl(supervisor, "show", copied, "load").stdout.splitlines()[0] == "load"
    told = json.loads(ctl(supervisor, "show", agent.name, "--json").stdout)
    assert told["name"] == agent.name
    assert told["report"]["host"]["hostname"] == told["hostname"]
    assert "did you mean memory?" in ctl(supervisor, "show", agent.name, "memry").stderr


def test_a_name_that_nobody_has_is_answered_with_the_nearest(started: Started, make_rogue: MakeRogue) -> None:
    name = make_rogue().name
    supervisor = started(name)
    ended = ctl(supervisor, "show", name[:-1])
    assert ended.returncode == 2
    assert f"did you mean {name}?" in ended.stderr
    assert "no command 'statsu'; did you mean status?" in ctl(supervisor, "statsu").stderr


def test_reload_applies_the_settings_or_lists_the_mistakes_and_ends_with_78(
    started: Started, make_rogue: MakeRogue
) -> None:
    first, second = make_rogue().name, make_rogue().name
    supervisor = started(first)
    supervisor.configure(WHITELIST_AGENT=f"{first},{second}")
    ended = ctl(supervisor, "reload")
    assert (ended.returncode, ended.stdout) == (0, "Reloaded; 2 agents are watched.\n")
    supervisor.configure(LOG_LEVEL="loud")
    ended = ctl(supervisor, "reload")
    assert ended.returncode == 78
    assert "'loud' is not one of debug, info, warning, error" in ended.stderr
    supervisor.stop()
    assert "the supervisor does not run" in ctl(supervisor, "reload").stderr


def test_when_too_many_ask_at_once_that_is_told(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name)
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(control.MAX_CONNECTIONS)]
    try:
        for sock in sockets:
            sock.connect(str(supervisor.control))
        for command in ("status", "reload"):
            ended = ctl(supervisor, command)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert "others are asking already; try again" in ended.stderr
    finally:
        for sock in sockets:
            sock.close()


def test_check_config_says_what_the_daemons_would_say(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    supervisor = make_supervisor("10.0.0.1", "10.0.0.2")
    supervisor.configure()
    file = supervisor.directory / "monitoring.env"
    ended = ctl(supervisor, "check-config", str(file))
    assert (ended.returncode, ended.stdout) == (0, f"{file} is right; it names 2 agents\n")
    assert ctl(supervisor, "check-config").stdout == ended.stdout, "without a file it is that of --config"
    with file.open("a", encoding="ascii") as opened:
        opened.write("AGENT_PORT=5001\nAGENT_PORT=5002\n")
    ended = ctl(supervisor, "check-config", str(file))
    assert (ended.returncode, ended.stdout) == (0, f"{file} is right; it names 2 agents\n")
    line = len(supervisor.settings) + 1
    assert ended.stderr == f"Warning: {file}: AGENT_PORT stands in lines {line} and {line + 1}; the last one counts\n"
    (tmp_path / "wrong.env").write_text("LOG_LEVEL=loud\nCOLOUR=blue\nTOKEN_FILE=/nowhere\n", encoding="ascii")
    ended = ctl(supervisor, "check-config", str(tmp_path / "wrong.env"))
    assert ended.returncode == 78
    assert "line 1: LOG_LEVEL: 'loud' is not one of" in ended.stderr
    assert "line 2: COLOUR is not a setting" in ended.stderr


def probed(supervisor: SupervisorDaemon, host: str) -> tuple[int, dict[str, Any]]:
    ended = ctl(supervisor, "probe", host, "--json")
    told = json.loads(ended.stdout)
    return ended.returncode, {step["name"]: step for step in told["steps"]}


def test_a_probe_of_an_agent_that_is_well_takes_all_steps(started: Started, make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.start().wait_ready()
    supervisor = started(agent.name)
    code, steps = probed(supervisor, agent.name)
    assert code == 0
    assert list(steps) == ["name", "TCP", "TLS", "allow-list", "token", "health", "report"]
    assert {name: step["outcome"] for name, step in steps.items() if name != "TLS"} == dict.fromkeys(
        ["name", "TCP", "allow-list", "token", "health", "report"], "ok"
    )
    assert steps["TLS"]["outcome"] == "skipped"
    shown = ctl(supervisor, "probe", agent.name)
    assert "ok      token       the token is accepted" in shown.stdout


def test_a_probe_says_which_step_fails_and_what_to_do(
    started: Started, make_agent: MakeAgent, make_rogue: MakeRogue
) -> None:
    stranger, other = make_agent(AGENT_ALLOW="10.0.0.0/8"), make_agent()
    for agent in (stranger, other):
        agent.start().wait_ready()
    (other.directory / "token").write_text("another-token-of-32-letters-here\n", encoding="ascii")
    other.signal(signal.SIGHUP)
    broken = http_answer(b'{"error":"sampling has stopped"}', "503 SERVICE UNAVAILABLE")
    cases = {
        "nowhere.invalid": ("name", "has no address", "/etc/hosts"),
        f"127.0.0.1:{free_port()}": ("TCP", "connection refused", "AGENT_LISTEN"),
        f"https://{make_rogue(says(b'no TLS here')).name}": ("TLS", "not done within", "an agent with TLS_CERT"),
        stranger.name: ("allow-list", "403", "AGENT_ALLOW"),
        other.name: ("token", "401", "/etc/monitoring/token"),
        make_rogue(says(broken)).name: ("health", "sampling has stopped", "journalctl"),
        make_rogue(says_of_metrics(http_answer(b"[]"))).name: ("report", "not an object", "Is it monitoring-agent"),
        make_rogue(is_silent).name: ("allow-list", "not done within", "overloaded"),
        make_rogue(drips).name: ("allow-list", "not done within", "overloaded"),
    }
    supervisor = started(*(host for host in cases if host.startswith("127.")))
    for host, (failing, text, remedy) in cases.items():
        wait_for(lambda host=host, failing=failing: probed(supervisor, host)[1][failing]["outcome"] == "failed")  # type: ignore[misc]
        code, steps = probed(supervisor, host)
        assert code == 1
        assert text in steps[failing]["detail"]
        assert remedy in steps[failing]["remedy"]
        assert [name for name, step in steps.items() if step["outcome"] == "failed"] == [failing]
        shown = ctl(supervisor, "probe", host).stdout
        assert "FAILED" in shown


def test_a_probe_sends_the_token_to_nobody_who_is_not_on_the_whitelist(started: Started, make_rogue: MakeRogue) -> None:
    listed, other = make_rogue(), make_rogue()
    supervisor = started(listed.name)
    code, steps = probed(supervisor, other.name)
    assert code == 0
    assert {name for name, step in steps.items() if step["outcome"] == "skipped"} == {"TLS", "token", "report"}
    assert "--send-token" in steps["token"]["detail"]
    assert other.requests
    assert not [request for request in other.requests if b"authorization" in request.lower()]
    assert "token       the token is accepted" in ctl(supervisor, "probe", other.name, "--send-token").stdout


def test_colours_are_for_terminals_and_not_where_no_color_is_set(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name, f"127.0.0.1:{free_port()}")
    assert "\x1b" not in ctl(supervisor, "status").stdout
    with terminal(supervisor, "status") as coloured, terminal(supervisor, "status", NO_COLOR="1") as plain:
        assert (coloured.wait(), plain.wait()) == (1, 1)
    assert "\x1b[31m" in coloured.output
    assert "\x1b" not in plain.output
    assert "down" in plain.output


def test_a_table_fits_the_terminal(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name, f"127.0.0.1:{free_port()}")
    with terminal(supervisor, "status", columns=50, NO_COLOR="1") as narrow:
        narrow.wait()
    lines = narrow.output.splitlines()
    assert len(lines) > 5, "the reason goes on in the next line"
    assert max(map(len, lines)) <= 50


def test_what_is_longer_than_the_terminal_is_paged_unless_it_shall_not_be(
    make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    port = free_port()
    gone = [f"127.0.5.{number}:{port}" for number in range(1, 31)]
    supervisor = make_supervisor(*gone)
    supervisor.start().wait_ready()
    wait_for(lambda: len(supervisor.document()["blacklist"]) == 30)
    # Without arguments: Debian 13's click takes a PAGER with some for a program that there is not.
    pager = str(tmp_path / "pager")
    Path(pager).write_text("#!/bin/sh\nexec sed s/^/paged:/\n", encoding="ascii")
    Path(pager).chmod(0o755)
    for command in ("status", "agents"):
        with terminal(supervisor, command, columns=120, PAGER=pager) as long:
            long.wait()
        assert len(re.findall(r"paged:.*127\.0\.5\.", long.output)) == 30
        with (
            terminal(supervisor, command, "--no-pager", columns=120, PAGER=pager) as wanted,
            terminal(supervisor, "agents", "--state", "up", columns=120, PAGER=pager) as short,
        ):
            wanted.wait()
            short.wait()
        assert "paged:" not in wanted.output + short.output
        assert wanted.output.count("127.0.5.") == 30
    assert ctl(supervisor, "status", PAGER=pager).stdout.count("paged:") == 0


def test_top_shows_the_fleet_live_and_ends_cleanly(started: Started, make_rogue: MakeRogue) -> None:
    agent = make_rogue()
    supervisor = started(agent.name)
    with terminal(supervisor, "top", "--interval", "0.5") as top:
        top.wait_shown("1 agent: 1 up")
        top.wait_shown("AGENT")
        agent.close()
        agent.behave = lambda connection, path: False
        top.wait_on_screen("0 up, 1 down")
        top.press("n")
        top.wait_on_screen("AGENT")
        top.resize(60, 10)
        top.wait_on_screen("AGENT")
        top.press("q")
        assert top.wait() == 0
    assert "\x1b[?1049l" in top.output, "the screen is as it was before"
    assert "Traceback" not in top.output


def test_top_has_no_colours_where_no_color_is_set(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(f"127.0.0.1:{free_port()}")
    with terminal(supervisor, "top") as coloured, terminal(supervisor, "top", NO_COLOR="1") as plain:
        for one in (coloured, plain):
            one.wait_on_screen("connection refused")
            one.press("q")
            assert one.wait() == 0
    assert "\x1b[31m" in coloured.output
    assert not re.search(r"\x1b\[(3[0-8]|4[0-8])m", plain.output)


def test_top_ends_with_ctrl_c_as_with_q_and_waits_for_a_supervisor_that_went_away(
    started: Started, make_rogue: MakeRogue
) -> None:
    supervisor = started(make_rogue().name)
    with terminal(supervisor, "top", "--interval", "0.5") as top:
        top.wait_shown("1 agent: 1 up")
        supervisor.stop()
        top.wait_on_screen("does not answer")
        supervisor.notifications.clear()
        supervisor.start().wait_ready()
        top.wait_on_screen("1 agent: 1 up")
        top.press("\x03")
        assert top.wait() == 0
    assert "Traceback" not in top.output
    assert "Aborted" not in top.output


def test_top_without_a_terminal_says_what_to_use_instead(started: Started, make_rogue: MakeRogue) -> None:
    ended = ctl(started(make_rogue().name), "top")
    assert ended.returncode == 2
    assert "top needs a terminal" in ended.stderr


def test_a_closed_pipe_is_no_trouble(started: Started, make_rogue: MakeRogue) -> None:
    supervisor = started(make_rogue().name)
    command = [*CTL, "--config", str(supervisor.directory / "monitoring.env"), "show", "127.0.0.1", "--all"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(
            command, cwd=ROOT, env=environ(supervisor), stdout=closed, stderr=subprocess.PIPE, timeout=30, check=False
        )
    assert ended.stderr == b""


def test_bash_completes_commands_and_the_names_of_agents(
    started: Started, make_rogue: MakeRogue, tmp_path: Path
) -> None:
    name = make_rogue().name
    supervisor = started(name)
    program = tmp_path / "monitoringctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m monitoring_supervisor.ctl "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = ["bash", "--norc", "--noprofile", "-i"]
    own = {**environ(supervisor), "PATH": path, "CONTROL_SOCKET": str(supervisor.control), "PS1": "ready> "}
    with Terminal(command, own, ROOT, 80, 24) as bash:
        bash.press(f". {ROOT}/debian/bash-completion/monitoringctl; bind 'set enable-bracketed-paste off'\n")
        bash.press("monitoringctl stat\t--json\n")
        bash.wait_shown("monitoringctl status --json")
        bash.wait_shown('"counts": {')
        # Up to the port the names are alike; what stands behind the colon comes in too.
        bash.press("monitoringctl show 127.0.0.1:\t load\n")
        bash.wait_shown(f"monitoringctl show {name}")
        bash.wait_shown("load_1m")
        bash.press(f"monitoringctl history {name} load.load_\t--since 1m\n")
        bash.wait_shown(f"history {name} load.load_1m --since 1m")
        bash.press("exit\n")
        bash.wait()
