"""TLS between the daemons, with a private authority."""

import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import pytest

from tests.integration.conftest import MakeAgent, MakeRogue, MakeSupervisor
from tests.integration.daemons import ROOT, TOKEN, AgentDaemon, wait_for
from tests.integration.rogues import Rogue
from tests.integration.test_trust import ctl, private_bytes

ASKS = b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n"
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """A private authority with its files in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.ca = directory / "ca.pem"
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        self._openssl("req", "-x509", *CURVE, "-subj", "/CN=fleet", *usage, "-keyout", "ca.key", "-out", "ca.pem")

    def settings(self, name: str, days: int = 30, san: str = "IP:127.0.0.1", ca: bool = True) -> dict[str, str]:
        """The settings of a machine with a new certificate."""
        usage = "keyUsage=critical,digitalSignature"
        extensions = (f"subjectAltName={san}", "basicConstraints=critical,CA:FALSE", usage)
        options = [part for extension in extensions for part in ("-addext", extension)]
        self._openssl("req", *CURVE, "-subj", f"/CN={name}", *options, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-copy_extensions", "copy", "-days", str(days), "-out", f"{name}.pem"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", *signed)
        files = {"TLS_CERT": self.directory / f"{name}.pem", "TLS_KEY": self.directory / f"{name}.key"}
        files["TLS_KEY"].chmod(0o600)
        return {key: str(path) for key, path in files.items()} | ({"TLS_CA": str(self.ca)} if ca else {})

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)


@pytest.fixture
def fleet(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def started(agent: AgentDaemon) -> AgentDaemon:
    agent.start()
    agent.wait_ready()
    return agent


def client(ca: Path, own: dict[str, str] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if own:
        context.load_cert_chain(own["TLS_CERT"], own["TLS_KEY"])
    return context


def get(agent: AgentDaemon, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", agent.port, timeout=10, context=context)
    try:
        connection.request("GET", "/getmetrics", headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_a_supervisor_and_an_agent_that_show_each_other_certificates_of_one_authority_work_together(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor"))
    supervisor.start()
    supervisor.wait_ready()
    supervisor.wait_state(agent.name, "up")


def test_an_agent_with_an_authority_serves_nobody_without_a_certificate_of_it(
    fleet: Authority, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    assert get(agent, client(fleet.ca, fleet.settings("friend"))) == 200
    stranger = Authority(tmp_path / "stranger").settings("stranger")
    for own in (None, stranger):
        with pytest.raises(OSError, match="certificate required|unknown ca|reset by peer|EOF|Broken pipe"):
            get(agent, client(fleet.ca, own))


def test_an_agent_without_an_authority_serves_whoever_has_the_token(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False)))
    assert get(agent, client(fleet.ca)) == 200


# What an administrator may have set for old programs: OpenSSL by itself would then speak what we do not.
OPENSSL_FOR_ALL_AGES = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = old
[old]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
"""


@pytest.fixture
def openssl_speaks_tls_1(fleet: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the daemons that are started from now on; an authority is only made as it should be without this."""
    assert fleet.ca.exists()
    (tmp_path / "openssl.cnf").write_text(OPENSSL_FOR_ALL_AGES, encoding="ascii")
    monkeypatch.setenv("OPENSSL_CONF", str(tmp_path / "openssl.cnf"))


def of_old(context: ssl.SSLContext) -> ssl.SSLContext:
    """One that speaks nothing newer than TLS 1.1."""
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.usefixtures("openssl_speaks_tls_1")
def test_tls_before_version_1_2_is_not_spoken(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False)))
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        get(agent, of_old(client(fleet.ca)))
    assert get(agent, client(fleet.ca)) == 200


@pytest.mark.usefixtures("openssl_speaks_tls_1")
def test_the_supervisor_does_not_speak_it_with_an_agent_either(
    fleet: Authority, make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    own = fleet.settings("agent")
    context = of_old(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(own["TLS_CERT"], own["TLS_KEY"])
    versions: list[str | None] = []

    def shakes_hands(connection: socket.socket) -> ssl.SSLSocket:
        shaken = context.wrap_socket(connection, server_side=True)
        versions.append(shaken.version())
        return shaken

    old = make_rogue()
    old.greet = shakes_hands
    supervisor = make_supervisor(f"https://{old.name}", **fleet.settings("supervisor"))
    supervisor.start()
    assert supervisor.wait_state(old.name, "down")["failure"]["kind"] == "tls"
    assert versions == []


def test_who_shows_a_certificate_for_another_name_is_asked_nothing_and_told_no_token(
    fleet: Authority, make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def agent(san: str) -> Rogue:
        own = fleet.settings(san.partition(":")[2], san=san)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own["TLS_CERT"], own["TLS_KEY"])
        rogue = make_rogue()
        rogue.greet = lambda connection: context.wrap_socket(connection, server_side=True)
        return rogue

    right, *wrong = (agent(san) for san in ("IP:127.0.0.1", "IP:127.0.0.9", "DNS:127.0.0.1", "DNS:localhost", "DNS:*"))
    # In time also where these agents, in threads of one process, have to wait for each other.
    settings = fleet.settings("supervisor") | {"REQUEST_TIMEOUT": "5"}
    supervisor = make_supervisor(*(f"https://{one.name}" for one in (right, *wrong)), **settings)
    supervisor.start()
    supervisor.wait_state(right.name, "up")
    for one in wrong:
        assert supervisor.wait_state(one.name, "down", 30)["failure"]["kind"] == "tls"
        assert one.connections
        assert one.requests == []
    assert right.requests


def test_an_agent_that_stalls_in_the_handshake_costs_the_others_nothing(
    fleet: Authority, make_agent: MakeAgent, make_rogue: MakeRogue, make_supervisor: MakeSupervisor
) -> None:
    def hears_and_stalls(connection: socket.socket) -> socket.socket:
        while connection.recv(4096):
            pass
        return connection

    def drips_a_record(connection: socket.socket) -> socket.socket:
        connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while True:
            connection.sendall(b"\x00")
            time.sleep(0.05)

    agent, stalling = started(make_agent(**fleet.settings("agent"))), [make_rogue(), make_rogue()]
    stalling[0].greet, stalling[1].greet = hears_and_stalls, drips_a_record
    names = [agent.name, *(one.name for one in stalling)]
    settings = fleet.settings("supervisor") | {"REQUEST_TIMEOUT": "2"}
    supervisor = make_supervisor(*(f"https://{name}" for name in names), **settings)
    supervisor.start()
    since = supervisor.wait_state(agent.name, "up")["since"]
    for one in stalling:
        assert supervisor.wait_state(one.name, "down", 30)["failure"]["kind"] == "timeout_connect"
    assert supervisor.agent(agent.name)["since"] == since


@pytest.mark.parametrize(
    ("records", "status"), [((ASKS * 2,), 400), ((ASKS, ASKS), 200), ((ASKS, ASKS[:5]), 200)], ids=str
)
def test_a_second_request_before_the_answer_ends_the_connection_over_tls_too(
    fleet: Authority, make_agent: MakeAgent, records: tuple[bytes, ...], status: int
) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False)))
    for _ in range(5):
        with (
            socket.create_connection(("127.0.0.1", agent.port), 10) as plain,
            client(fleet.ca).wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # all in one segment
            for record in records:
                sock.sendall(record)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            received = b""
            with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
                while part := sock.recv(4096):
                    received += part
        assert received.startswith(f"HTTP/1.1 {status} ".encode())
        assert received.count(b"HTTP/1.1 ") == 1
    assert get(agent, client(fleet.ca)) == 200


def test_clients_that_never_shake_hands_hold_up_nobody_and_are_dropped(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False)))
    silent = [socket.create_connection(("127.0.0.1", agent.port), 30) for _ in range(50)]
    assert get(agent, client(fleet.ca)) == 200
    for sock in silent:
        assert sock.recv(1) == b""
        sock.close()
    assert get(agent, client(fleet.ca)) == 200


def test_a_handshake_in_tiny_records_is_heard_a_piece_at_a_time(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    worker, own = agent.worker_pid(), fleet.settings("friend")
    hello = b"\x01" + (131_000).to_bytes(3, "big") + b"\x03\x03" + bytes(131_000)
    records = b"".join(b"\x16\x03\x01\x00\x01%c" % byte for byte in hello)
    floods = [socket.create_connection(("127.0.0.1", agent.port), 10) for _ in range(50)]
    sent = [0] * len(floods)
    for sock in floods:
        sock.setblocking(False)
    for _ in range(10):
        for number, sock in enumerate(floods):
            with contextlib.suppress(OSError):
                sent[number] += sock.send(records[sent[number] :])
        assert get(agent, client(fleet.ca, own)) == 200
    for sock in floods:
        sock.settimeout(10)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(records)
            assert sock.recv(1) == b""
        sock.close()
    assert agent.worker_pid() == worker


@pytest.mark.parametrize(
    "later", [{"AGENT_ALLOW": "127.0.0.9/32"}, {"TLS_CERT": "", "TLS_KEY": "", "TLS_CA": ""}, {"TLS_CA": "stranger"}]
)
def test_a_reload_that_lets_others_in_ends_connections_that_were_let_in_before(
    fleet: Authority, make_agent: MakeAgent, tmp_path: Path, later: dict[str, str]
) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    if later.get("TLS_CA") == "stranger":
        later = {"TLS_CA": str(Authority(tmp_path / "stranger").ca)}
    context = client(fleet.ca, fleet.settings("friend"))
    connection = http.client.HTTPSConnection("127.0.0.1", agent.port, timeout=10, context=context)
    headers = {"Authorization": f"Bearer {TOKEN}"}

    def ask() -> int:
        connection.request("GET", "/getmetrics", headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status

    assert [ask(), ask()] == [200, 200]
    connection.auto_open = 0  # the connection itself is what is tried
    agent.configure(**later)
    agent.signal(signal.SIGHUP)
    wait_for(lambda: agent.said("settings reloaded"))
    time.sleep(0.5)  # the arbiter says so, and the worker then does it
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, ssl.SSLError)):
        ask()


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_request_that_was_begun_before_a_reload_is_not_answered_to_who_is_no_longer_let_in(
    fleet: Authority, make_agent: MakeAgent, over_tls: bool
) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False) if over_tls else {}))
    with contextlib.ExitStack() as ends:
        begun, handshake = (
            ends.enter_context(socket.create_connection(("127.0.0.1", agent.port), 10)) for _ in range(2)
        )
        if over_tls:
            begun = ends.enter_context(client(fleet.ca).wrap_socket(begun, server_hostname="127.0.0.1"))
        begun.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n")
        handshake.sendall(b"\x16\x03\x01" if over_tls else b"G")
        time.sleep(0.3)
        agent.configure(AGENT_ALLOW="127.0.0.9/32")
        agent.signal(signal.SIGHUP)
        wait_for(lambda: agent.said("settings reloaded"))
        time.sleep(0.5)  # the arbiter says so, and the worker then does it
        for sock, rest in ((begun, b"\r\n"), (handshake, b"ET /healthcheck HTTP/1.1\r\n\r\n")):
            with contextlib.suppress(OSError):
                sock.sendall(rest)
                assert sock.recv(100) == b""


def test_a_head_that_comes_byte_by_byte_over_tls_is_put_together(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent", ca=False)))
    with (
        socket.create_connection(("127.0.0.1", agent.port), 10) as plain,
        client(fleet.ca).wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        for _ in range(2):
            for byte in b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n":
                sock.sendall(bytes([byte]))
            answer = b""
            while b"}" not in answer:
                answer += sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 OK")


def test_who_is_not_on_the_allow_list_is_refused_before_the_handshake(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent"), AGENT_ALLOW="127.0.0.2/32"))
    with socket.create_connection(("127.0.0.1", agent.port), 10) as sock:
        assert sock.recv(4096) == b"\x15\x03\x03\x00\x02\x02\x31"  # a fatal alert: access denied
    with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
        get(agent, client(fleet.ca, fleet.settings("friend")))


def test_who_speaks_plain_http_to_an_agent_with_tls_is_told(fleet: Authority, make_agent: MakeAgent) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    status, _, body = agent.get("/healthcheck")
    assert (status, "speaks https" in json.loads(body)["error"]) == (400, True)


def test_a_reload_takes_new_certificates_and_a_new_authority_on_both_sides_without_a_failed_check(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor"), REQUEST_TIMEOUT="5")
    supervisor.start()
    supervisor.wait_ready()
    since = supervisor.wait_state(agent.name, "up")["since"]
    worker, later = agent.worker_pid(), Authority(tmp_path / "later")
    both = tmp_path / "both.pem"
    both.write_bytes(fleet.ca.read_bytes() + later.ca.read_bytes())
    for daemon in (agent, supervisor):  # first both trust both, then each shows the new one
        daemon.configure(TLS_CA=str(both))
        daemon.signal(signal.SIGHUP)
        wait_for(partial(daemon.said, "settings reloaded"))
        daemon.lines.clear()
    for daemon, name in ((agent, "agent"), (supervisor, "supervisor")):
        daemon.configure(**later.settings(name) | {"TLS_CA": str(both)})
        daemon.signal(signal.SIGHUP)
        wait_for(partial(daemon.said, "settings reloaded"))
    for daemon in (agent, supervisor):  # and then nobody trusts the old one
        daemon.lines.clear()
        daemon.configure(TLS_CA=str(later.ca))
        daemon.signal(signal.SIGHUP)
        wait_for(partial(daemon.said, "settings reloaded"))
    wait_for(lambda: get(agent, client(later.ca, later.settings("friend"))) == 200)
    time.sleep(1)
    assert supervisor.agent(agent.name)["state"] == "up"
    assert supervisor.agent(agent.name)["since"] == since
    assert agent.worker_pid() == worker
    assert not supervisor.said("TLS")


def test_the_keys_stand_in_no_log_no_command_line_and_no_file_of_the_daemons(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    settings = [fleet.settings(name) | {"LOG_LEVEL": "debug"} for name in ("agent", "supervisor")]
    agent = started(make_agent(**settings[0]))
    supervisor = make_supervisor(f"https://{agent.name}", **settings[1])
    supervisor.start()
    supervisor.wait_state(agent.name, "up")
    said = ctl(supervisor, "probe", agent.name) + ctl(supervisor, "show", agent.name, "--json")
    seen = said.encode() + private_bytes(agent) + private_bytes(supervisor)
    for daemon in (agent, supervisor):
        daemon.configure(TLS_KEY=settings[0]["TLS_KEY"], TLS_CERT=settings[1]["TLS_CERT"])  # do not belong together
        daemon.signal(signal.SIGHUP)
        wait_for(partial(daemon.said, "not reloaded: "))
        daemon.stop()
        seen += "\n".join(daemon.lines).encode()
        seen += b"".join(path.read_bytes() for path in daemon.directory.iterdir() if path.is_file())
    for one in settings:
        key = Path(one["TLS_KEY"]).read_bytes().splitlines()[1:-1]
        assert len(key) == 3
        assert not [line for line in key if line in seen]


def test_a_reload_without_new_certificates_makes_no_connection_anew(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent(**fleet.settings("agent")))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor"))
    supervisor.start()
    supervisor.wait_state(agent.name, "up")

    def connections() -> set[str]:
        """By their own ports."""
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        fields = [line.split() for line in lines]
        return {own for _, own, other, state, *_ in fields if other.endswith(f":{agent.port:04X}") and state == "01"}

    before = connections()
    assert len(before) == 1
    supervisor.configure(INTERVAL_HEALTH_CHECK="0.4")
    supervisor.signal(signal.SIGHUP)
    wait_for(lambda: supervisor.said("settings reloaded"))
    polls = supervisor.document()["supervisor"]["polls_total"]
    wait_for(lambda: supervisor.document()["supervisor"]["polls_total"] > polls + 5)
    assert connections() == before


def test_a_certificate_that_ends_soon_is_told_in_time(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent(**fleet.settings("agent", days=6)))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor", days=60))
    supervisor.start()
    wait_for(lambda: supervisor.said(f"the certificate of {agent.name} ends on "))
    supervisor.wait_state(agent.name, "up")
    wait_for(lambda: agent.said("the certificate of this agent (TLS_CERT) ends on "))


def test_the_end_of_the_supervisor_s_own_certificate_is_told_although_no_agent_shows_it(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent(**fleet.settings("agent", days=60)))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor", days=6))
    supervisor.start()
    wait_for(lambda: supervisor.said("the certificate of this machine (TLS_CERT) ends on "))
    assert not supervisor.said(agent.name + " ends")
    assert not agent.said("ends on")


def test_after_a_reload_it_is_the_new_certificate_of_an_agent_whose_end_counts(
    fleet: Authority, make_agent: MakeAgent
) -> None:
    agent = started(make_agent(**fleet.settings("agent", days=60)))
    for days in (6, 60, 5):
        agent.lines.clear()
        agent.configure(**fleet.settings(f"agent-{days}", days=days))
        agent.signal(signal.SIGHUP)
        wait_for(lambda: agent.said("settings reloaded"))
        if days < 60:
            wait_for(lambda: agent.said("the certificate of this agent (TLS_CERT) ends on "))
        else:
            time.sleep(1)
            assert not agent.said("ends on")


@pytest.mark.parametrize(
    ("agents", "supervisors", "words"),
    [
        ({"san": "IP:127.0.0.9"}, {}, "IP address mismatch"),
        ({"days": 0}, {}, "certificate has expired"),
        ({}, {"TLS_CERT": "", "TLS_KEY": ""}, "the agent wants a certificate of this machine"),
        ({}, {"TLS_CA": ""}, "self-signed certificate in certificate chain"),
    ],
)
def test_the_supervisor_says_in_words_what_is_wrong_with_tls(
    fleet: Authority,
    make_agent: MakeAgent,
    make_supervisor: MakeSupervisor,
    agents: dict[str, object],
    supervisors: dict[str, str],
    words: str,
) -> None:
    agent = started(make_agent(**fleet.settings("agent", **agents)))  # type: ignore[arg-type]
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor") | supervisors)
    supervisor.start()
    supervisor.wait_ready()
    wait_for(lambda: words in json.dumps(supervisor.document()["agents"]), 20)


def test_the_supervisor_says_when_an_agent_on_the_whitelist_with_https_speaks_plain_http(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent())
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor"))
    supervisor.start()
    supervisor.wait_ready()
    wait_for(lambda: "does not speak TLS" in json.dumps(supervisor.document()["agents"]), 20)


@pytest.mark.parametrize(
    ("agents", "own", "step", "words", "remedy"),
    [
        ({}, {"TLS_CERT": "", "TLS_KEY": ""}, "TLS", "wants a certificate of this machine", "enroll --here"),
        ({}, {"TLS_CA": ""}, "TLS", "self-signed certificate in certificate chain", "TLS_CA is empty here"),
        ({"AGENT_ALLOW": "127.0.0.9/32"}, {}, "TLS", "not in the agent's AGENT_ALLOW", "add this machine's address"),
        ({"TLS_CERT": "", "TLS_KEY": "", "TLS_CA": ""}, {}, "TLS", "does not speak TLS", "set TLS_CERT and TLS_KEY"),
    ],
)
def test_a_probe_says_what_is_wrong_with_tls_and_what_to_do(
    fleet: Authority,
    make_agent: MakeAgent,
    make_supervisor: MakeSupervisor,
    agents: dict[str, str],
    own: dict[str, str],
    step: str,
    words: str,
    remedy: str,
) -> None:
    agent = started(make_agent(**fleet.settings("agent") | agents))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor") | own)
    supervisor.configure()
    config = str(supervisor.directory / "monitoring.env")
    command = [sys.executable, "-m", "monitoring_supervisor.ctl", "--config", config, "probe", agent.name, "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    (failed,) = [one for one in json.loads(ended.stdout)["steps"] if one["outcome"] == "failed"]
    assert failed["name"] == step
    assert words in failed["detail"]
    assert remedy in failed["remedy"]
    assert "https://" not in failed["remedy"], "nobody should be led to do without TLS"


def test_the_supervisor_says_over_tls_too_that_it_is_not_on_the_allow_list(
    fleet: Authority, make_agent: MakeAgent, make_supervisor: MakeSupervisor
) -> None:
    agent = started(make_agent(**fleet.settings("agent"), AGENT_ALLOW="127.0.0.9/32"))
    supervisor = make_supervisor(f"https://{agent.name}", **fleet.settings("supervisor"))
    supervisor.start()
    failure = supervisor.wait_state(agent.name, "down")["failure"]
    assert (failure["kind"], failure["detail"]) == (
        "unauthorised",
        "this machine's address is not in the agent's AGENT_ALLOW",
    )


def test_each_mistake_in_the_files_is_one_line_with_its_setting_and_status_78(
    fleet: Authority, make_agent: MakeAgent
) -> None:
    good, other = fleet.settings("agent"), fleet.settings("other")
    for wrong, words in (
        ({"TLS_KEY": ""}, "TLS_CERT and TLS_KEY belong together"),
        ({"TLS_KEY": other["TLS_KEY"]}, "agent.pem"),
        ({"TLS_CA": good["TLS_KEY"]}, "holds no certificate in PEM form"),
        ({"TLS_CERT": "/nowhere.pem"}, "TLS_CERT: /nowhere.pem cannot be read: No such file"),
    ):
        agent = make_agent(**good | wrong)
        assert agent.start().wait() == 78
        wait_for(partial(agent.said, words))
        assert len(agent.lines) == 1, agent.lines
    Path(good["TLS_KEY"]).chmod(0o644)
    agent = make_agent(**good)
    assert agent.start().wait() == 78
    wait_for(lambda: agent.said("is open to every user of this machine (mode 0644)"))
