"""`monitoringctl enroll`: what it makes is what two daemons need, and no more than that."""

import os
import pty
import ssl
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.integration.conftest import MakeAgent, MakeSupervisor
from tests.integration.daemons import ROOT, TOKEN
from tests.integration.test_tls import client, get, started


class Operator:
    """Root on the machine that watches, whose settings lie in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        (directory / "token").write_text(f"{TOKEN}\n", encoding="ascii")
        (directory / "token").chmod(0o600)
        (directory / "monitoring.env").write_text(f"TOKEN_FILE={directory}/token\n", encoding="ascii")

    def command(self, *arguments: str) -> list[str]:
        config = str(self.directory / "monitoring.env")
        return [sys.executable, "-m", "monitoring_supervisor.ctl", "--config", config, "enroll", *arguments]

    def attempt(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        environ = {**os.environ, **environ}
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, env=environ, check=False)

    def here(self) -> dict[str, str]:
        """The settings of this machine after it enrolled itself."""
        ended = self.attempt("--here")
        assert ended.returncode == 0, ended.stderr
        return tls_settings(self.directory)

    def unpacked(self, directory: Path, *arguments: str) -> dict[str, str]:
        """The settings of another machine, after its archive was unpacked in this directory by tar."""
        ended = self.attempt(*arguments)
        assert (ended.returncode, ended.stderr) == (0, b"")
        directory.mkdir()
        subprocess.run(["tar", "-x", "--no-same-owner", "-C", directory], input=ended.stdout, check=True)
        return tls_settings(directory) | {"TOKEN_FILE": str(directory / "token")}


def tls_settings(directory: Path) -> dict[str, str]:
    files = (("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem"), ("TLS_CA", "ca.pem"))
    return {key: str(directory / "tls" / name) for key, name in files}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "monitoring")


def test_an_agent_and_a_supervisor_that_were_enrolled_trust_each_other(
    operator: Operator, make_agent: MakeAgent, make_supervisor: MakeSupervisor, tmp_path: Path
) -> None:
    agent = started(make_agent(**operator.unpacked(tmp_path / "agent", "127.0.0.1", "web-1.example.org")))
    supervisor = make_supervisor(f"https://{agent.name}", **operator.here())
    supervisor.start()
    supervisor.wait_state(agent.name, "up")
    assert (tmp_path / "agent/token").read_text(encoding="ascii") == f"{TOKEN}\n"


def test_with_an_agent_s_certificate_nobody_can_ask_another_agent(
    operator: Operator, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = started(make_agent(**operator.unpacked(tmp_path / "agent", "127.0.0.1")))
    ca = operator.directory / "ca/ca.pem"
    assert get(agent, client(ca, operator.here())) == 200
    assert get(agent, client(ca, operator.unpacked(tmp_path / "watches", "127.0.0.9", "--supervisor"))) == 200
    stolen = operator.unpacked(tmp_path / "stolen", "127.0.0.2")
    with pytest.raises(OSError, match="unsupported certificate|reset by peer|EOF|Broken pipe"):
        get(agent, client(ca, stolen))


def test_secrets_are_for_root_and_the_daemons_alone_also_in_the_archive(operator: Operator, tmp_path: Path) -> None:
    made = operator.attempt("10.0.0.5")
    assert made.returncode == 0
    archive = tmp_path / "enrolled.tar"
    archive.write_bytes(made.stdout)
    with tarfile.open(archive) as opened:
        found = {one.name: f"{one.mode:04o} {one.uname}:{one.gname}" for one in opened}
    assert found == {
        "tls": "0755 root:root",
        "tls/cert.pem": "0644 root:root",
        "tls/key.pem": "0640 root:_monitoring",
        "tls/ca.pem": "0644 root:root",
        "token": "0640 root:_monitoring",
    }
    operator.here()
    modes = {one.name: f"{one.stat().st_mode & 0o777:04o}" for one in operator.directory.glob("*/*")}
    assert modes == {"cert.pem": "0644", "key.pem": "0640", "ca.pem": "0644", "ca.key": "0600"}
    assert (operator.directory / "ca").stat().st_mode & 0o777 == 0o700


def test_under_a_narrow_umask_the_daemons_find_their_files_all_the_same(operator: Operator) -> None:
    before = os.umask(0o077)
    try:
        operator.here()
    finally:
        os.umask(before)
    assert (operator.directory / "tls").stat().st_mode & 0o777 == 0o755
    assert (operator.directory / "tls/cert.pem").stat().st_mode & 0o777 == 0o644


def test_the_archive_is_without_the_token_where_that_is_wanted(operator: Operator, tmp_path: Path) -> None:
    operator.unpacked(tmp_path / "made", "10.0.0.5", "--no-token")
    assert sorted(one.name for one in (tmp_path / "made").glob("**/*.*")) == ["ca.pem", "cert.pem", "key.pem"]
    assert not (tmp_path / "made/token").exists()


def test_an_archive_that_nobody_takes_is_told_as_that(operator: Operator) -> None:
    command = " ".join(operator.command("10.0.0.5"))
    ended = subprocess.run(["bash", "-c", f"{command} | true"], cwd=ROOT, capture_output=True, check=False)
    assert b"Traceback" not in ended.stderr
    assert ended.stderr in {b"", b"Error: nobody takes the archive; did the command behind the pipe fail?\n"}


def test_an_authority_without_its_key_is_told_with_the_file(operator: Operator) -> None:
    operator.here()
    (operator.directory / "ca/ca.key").unlink()
    ended = operator.attempt("10.0.0.5")
    assert ended.returncode == 1
    assert ended.stderr == f"Error: {operator.directory}/ca/ca.key: No such file or directory\n".encode()


def test_the_authority_stays_the_same_and_every_certificate_is_new(operator: Operator, tmp_path: Path) -> None:
    first = operator.unpacked(tmp_path / "first", "10.0.0.5")
    second = operator.unpacked(tmp_path / "second", "10.0.0.5")
    assert Path(first["TLS_CA"]).read_bytes() == Path(second["TLS_CA"]).read_bytes()
    assert Path(first["TLS_KEY"]).read_bytes() != Path(second["TLS_KEY"]).read_bytes()


def test_a_certificate_is_for_the_names_and_the_days_that_were_given(operator: Operator, tmp_path: Path) -> None:
    made = operator.unpacked(tmp_path / "made", "db-1.example.org", "10.0.0.5", "2001:db8::7", "--days", "30")
    look = ["openssl", "x509", "-in", made["TLS_CERT"], "-noout", "-ext", "subjectAltName", "-dates"]
    text = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    assert "DNS:db-1.example.org, IP Address:10.0.0.5, IP Address:2001:DB8:0:0:0:0:0:7" in text
    ends = {line.partition("=")[0]: ssl.cert_time_to_seconds(line.partition("=")[2]) for line in text.splitlines()[-2:]}
    assert ends["notAfter"] - ends["notBefore"] == 30 * 86400


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), b"a HOST is missing, or --here"),
        (("a,b",), b"'a,b' is neither an IP address nor a host name"),
        (("a\n",), b"'a\\n' is neither an IP address nor a host name"),
        (("fe80::1%eth0",), b"names an interface, which no certificate can"),
        (("10.0.0.5", "--days", "0"), b"0 is not in the range"),
    ],
)
def test_what_is_no_host_makes_no_certificate(operator: Operator, arguments: tuple[str, ...], words: bytes) -> None:
    ended = operator.attempt(*arguments)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert words in ended.stderr
    assert not (operator.directory / "ca").exists()


def test_without_openssl_it_says_what_to_install_and_leaves_nothing_behind(operator: Operator) -> None:
    ended = operator.attempt("10.0.0.5", PATH="/nonexistent")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"Error: openssl is missing; as root: apt install openssl\n"
    assert sorted(one.name for one in operator.directory.iterdir()) == ["monitoring.env", "token"]


def test_a_key_is_not_written_to_a_terminal(operator: Operator) -> None:
    leader, terminal = pty.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(terminal, "wb") as screen:
        command = operator.command("10.0.0.5")
        ended = subprocess.run(command, cwd=ROOT, stdout=screen, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 2
    assert b"monitoringctl enroll 10.0.0.5 | ssh root@10.0.0.5 tar -x -C" in ended.stderr
