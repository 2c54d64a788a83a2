"""The settings file: what is read, what is refused, and in which words."""

import logging
from pathlib import Path

import pytest

from monitoring_agent.shared import env, keys
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor import settings as supervisor_settings

# Each bad file beside the messages expected for it: the text of an error is part of the contract.
BAD_FILES = {
    "INTERVAL_METRICS_CHECK=fast": [
        "{file} line 1: INTERVAL_METRICS_CHECK: 'fast' is not a number of seconds from 0.1 to 86400"
    ],
    "INTERVAL_METRICS_CHECK=nan": [
        "{file} line 1: INTERVAL_METRICS_CHECK: 'nan' is not a number of seconds from 0.1 to 86400"
    ],
    "INTERVAL_METRICS_CHECK=1_0": [
        "{file} line 1: INTERVAL_METRICS_CHECK: '1_0' is not a number of seconds from 0.1 to 86400"
    ],
    "LOG_LEVEL='info' # quiet": ["{file} line 1: a comment needs a line of its own"],
    "# a comment\n\nREQUEST_TIMEOUT=0": [
        "{file} line 3: REQUEST_TIMEOUT: '0' is not a number of seconds from 0.1 to 60"
    ],
    "BLACKLIST_AFTER=0": ["{file} line 1: BLACKLIST_AFTER: '0' is not a whole number from 1 to 1000"],
    "BLACKLIST_AFTER=2.5": ["{file} line 1: BLACKLIST_AFTER: '2.5' is not a whole number from 1 to 1000"],
    "AGENT_LISTEN=10.0.0.1": ["{file} line 1: AGENT_LISTEN: '10.0.0.1' has no port; write 10.0.0.1:5000"],
    "AGENT_LISTEN=": ["{file} line 1: AGENT_LISTEN: is empty; write for example 127.0.0.1:5000"],
    "AGENT_LISTEN=web:5000": [
        "{file} line 1: AGENT_LISTEN: 'web:5000' does not start with an IP address; write for example 0.0.0.0:5000 for"
        " all"
    ],
    "AGENT_ALLOW=10.0.0.1/24": [
        "{file} line 1: AGENT_ALLOW: '10.0.0.1/24' is an address inside a network; write 10.0.0.0/24"
    ],
    "AGENT_ALLOW=::ffff:10.0.0.0/104": [
        "{file} line 1: AGENT_ALLOW: '::ffff:10.0.0.0/104' is an IPv4 network in the form of IPv6; write 10.0.0.0/8"
    ],
    "AGENT_ALLOW=office": ["{file} line 1: AGENT_ALLOW: 'office' is not a network; write for example 10.0.0.0/24"],
    "WHITELIST_AGENT=10.0.0.1:70000": [
        "{file} line 1: WHITELIST_AGENT: '10.0.0.1:70000' has the port '70000'; a port is a number from 1 to 65535"
    ],
    "WHITELIST_AGENT=ftp://a": [
        "{file} line 1: WHITELIST_AGENT: 'ftp://a' starts with 'ftp'; only http and https are spoken"
    ],
    "HEALTHROOT=/a?b": [
        "{file} line 1: HEALTHROOT: '/a?b' is not a path of letters, digits and - _ . ~ such as healthcheck"
    ],
    "METRICSROOT=/metrics/": [
        "{file} line 1: METRICSROOT: at '/metrics/' the agent answers Prometheus; choose another path"
    ],
    "HEALTHROOT=same\nMETRICSROOT=/same/": ["HEALTHROOT and METRICSROOT are both '/same'; they must differ"],
    "LOG_LEVEL=loud": ["{file} line 1: LOG_LEVEL: 'loud' is not one of debug, info, warning, error"],
    "METRICS_FILE=/var/": ["{file} line 1: METRICS_FILE: '/var/' does not name a file"],
    "INTERVAL_METRIC_CHECK=1": [
        "{file} line 1: INTERVAL_METRIC_CHECK is not a setting; did you mean INTERVAL_METRICS_CHECK?"
    ],
    "COLOUR=blue": ["{file} line 1: COLOUR is not a setting"],
    "export LOG_LEVEL=info": ["{file} line 1: leave out 'export'; write KEY=value"],
    "LOG_LEVEL=info # quiet": ["{file} line 1: a comment needs a line of its own"],
    "LOG_LEVEL = info": ["{file} line 1: not readable; write KEY=value"],
    "LOG_LEVEL": ["{file} line 1: not readable; write KEY=value"],
    "LOG_LEVEL='info": ["{file} line 1: not readable; write KEY=value"],
    "; LOG_LEVEL=info": ["{file} line 1: not readable; write KEY=value"],
    'METRICS_FILE="a\\nb"': ["{file} line 1: backslashes are not supported"],
    "LOG_LEVEL=loud\nBLACKLIST_AFTER=none\nCOLOUR=blue": [
        "{file} line 3: COLOUR is not a setting",
        "{file} line 2: BLACKLIST_AFTER: 'none' is not a whole number from 1 to 1000",
        "{file} line 1: LOG_LEVEL: 'loud' is not one of debug, info, warning, error",
    ],
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "monitoring.env"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_wrong_setting_is_refused_with_place_reason_and_remedy(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadSettings) as caught:
        keys.load(path, {})
    assert caught.value.mistakes == [message.format(file=path) for message in BAD_FILES[text]]


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    values = keys.load(write(tmp_path, ""), {})
    assert values["INTERVAL_METRICS_CHECK"] == 1
    assert values["INTERVAL_HEALTH_CHECK"] == 3
    assert values["HEALTHROOT"] == "/healthcheck"
    assert [at.host for at in values["WHITELIST_AGENT"]] == ["127.0.0.1"]
    assert [(at.host, at.port) for at in values["AGENT_LISTEN"]] == [("127.0.0.1", 5000)]


def test_of_a_key_that_stands_there_twice_the_last_one_counts_and_all_its_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.env"
    path.write_text("LOG_LEVEL=debug\n#LOG_LEVEL=info\nAGENT_PORT=1\n\nLOG_LEVEL=error\nLOG_LEVEL=info\n", "ascii")
    assert keys.load(path, {})["LOG_LEVEL"] == "info"
    assert env.repeated(path) == (f"{path}: LOG_LEVEL stands in lines 1, 5 and 6; the last one counts",)
    path.write_text("LOG_LEVEL=debug\nAGENT_PORT=1\n", "ascii")
    assert env.repeated(path) == env.repeated(None) == ()


def test_quoted_values_and_values_with_signs_are_read_as_systemd_would(tmp_path: Path) -> None:
    text = "METRICS_FILE='two words'\nHEALTHROOT=\"a\"\nMETRICSROOT=m#\nTOKEN_FILE=/a${b}\nLOG_LEVEL=\tdebug\n"
    path = write(tmp_path, text.replace("METRICSROOT=m#\n", ""))
    values = keys.load(path, {})
    assert values["METRICS_FILE"] == Path("two words")
    assert values["HEALTHROOT"] == "/a"
    assert values["TOKEN_FILE"] == Path("/a${b}")
    assert env.read_file(write(tmp_path, "K=a#b"))["K"].text == "a#b"


def test_the_environment_overrides_the_file_and_is_named_as_the_place_of_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, "LOG_LEVEL=debug\n")
    assert keys.load(path, {"LOG_LEVEL": "error", "PATH": "/bin"})["LOG_LEVEL"] == "error"
    with pytest.raises(BadSettings, match="environment variable LOG_LEVEL: LOG_LEVEL: 'loud'"):
        keys.load(path, {"LOG_LEVEL": "loud"})


def test_a_named_file_that_is_missing_is_a_mistake_and_not_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read: No such file"):
        keys.load(tmp_path / "missing", {})


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"LOG_LEVEL=\xe9")
    with pytest.raises(BadSettings, match="not UTF-8 at byte 10"):
        keys.load(path, {})


def test_without_a_named_file_the_env_file_of_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("BLACKLIST_AFTER=7\n", encoding="utf-8")
    assert keys.load(None, {})["BLACKLIST_AFTER"] == 7


def test_dotenv_does_not_repeat_our_mistakes_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(BadSettings):
        keys.load(write(tmp_path, "LOG_LEVEL='info"), {})
    assert not caplog.records


def token_file(directory: Path, content: str, mode: int = 0o640) -> Path:
    path = directory / "token"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


ONE, OTHER, THIRD = "0123456789abcdef", "fedcba9876543210", "x" * 20


@pytest.mark.parametrize(
    "content",
    ["", "short", "two words here, long enough", f"{ONE}\nshort\n", f"{ONE}\n{OTHER}\n{THIRD}\n", "é" * 20],
)
def test_a_token_file_without_one_or_two_good_lines_is_refused_with_the_command_that_makes_one(
    content: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match="make one with: "):
        keys.read_tokens(token_file(tmp_path, content))


def test_a_missing_token_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"token does not exist; make one with: .*sha256sum"):
        keys.read_tokens(tmp_path / "token")


def test_a_token_is_read_without_its_newline(tmp_path: Path) -> None:
    assert keys.read_tokens(token_file(tmp_path, f"{ONE}\n")) == (ONE,)


def test_of_two_tokens_the_supervisor_sends_the_first(tmp_path: Path) -> None:
    path = token_file(tmp_path, f"{ONE}\n{OTHER}\n")
    assert keys.read_tokens(path) == (ONE, OTHER)
    assert supervisor_settings.load(write(tmp_path, f"TOKEN_FILE={path}")).token == ONE


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o642, 0o641])
def test_a_token_file_that_others_can_use_is_refused_with_the_remedy_and_without_the_token(
    mode: int, tmp_path: Path
) -> None:
    path = token_file(tmp_path, ONE, mode)
    with pytest.raises(BadSettings, match=f"mode {mode:04o}.; close it with: chmod o= {path}") as refused:
        keys.read_tokens(path)
    assert len(refused.value.mistakes) == 1
    assert ONE not in str(refused.value)
