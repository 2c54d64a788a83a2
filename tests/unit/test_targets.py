"""From the settings and the whitelist files to the agents we watch."""

from pathlib import Path

import pytest

from monitoring_agent.shared.address import expand
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor.model import Target
from monitoring_supervisor.targets import all_targets, fingerprint


def test_agents_of_settings_and_files_are_watched_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "rack1.list").write_text("# rack 1\n10.0.0.1 role=db rack=1 # the big one\n\nhttps://web:443\n")
    (tmp_path / "rack2.list").write_text("[::1]:81\n10.0.0.0/30\n")
    watched = all_targets(expand("10.0.0.9"), f"{tmp_path}/*.list", 5000)
    assert watched == {
        "10.0.0.9:5000": Target("10.0.0.9:5000", "10.0.0.9", 5000),
        "10.0.0.1:5000": Target("10.0.0.1:5000", "10.0.0.1", 5000),
        "10.0.0.2:5000": Target("10.0.0.2:5000", "10.0.0.2", 5000),
        "web:443": Target("web:443", "web", 443, tls=True),
        "[::1]:81": Target("[::1]:81", "::1", 81),
    }


def test_labels_belong_to_the_agent_of_their_line(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("10.0.0.1 role=db rack=1\n")
    watched = all_targets((), str(tmp_path / "agents"), 5000)
    assert watched["10.0.0.1:5000"].labels == (("rack", "1"), ("role", "db"))


def test_every_bad_line_is_named_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "agents"
    path.write_text("10.0.0.1\n10.0.0.999\n10.0.0.2 db\n10.0.0.0/4\n")
    with pytest.raises(BadSettings) as caught:
        all_targets((), str(path), 5000)
    assert caught.value.mistakes == [
        f"{path} line 2: '10.0.0.999' is neither an IP address nor a host name",
        f"{path} line 3: 'db' is not a label; write key=value",
        f"{path} line 4: '10.0.0.0/4' is an address inside a network; write 0.0.0.0/4",
    ]


def test_a_file_that_is_missing_is_a_mistake_and_a_glob_without_files_is_not(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="WHITELIST_FILE: .*agents cannot be read"):
        all_targets((), str(tmp_path / "agents"), 5000)
    assert all_targets((), str(tmp_path / "*.list"), 5000) == {}


def test_the_fingerprint_changes_with_content_and_with_files(tmp_path: Path) -> None:
    pattern = f"{tmp_path}/*.list"
    assert fingerprint("") == ()
    first = fingerprint(pattern)
    (tmp_path / "a.list").write_text("10.0.0.1\n")
    second = fingerprint(pattern)
    assert fingerprint(pattern) == second
    (tmp_path / "new").write_text("10.0.0.2\n")
    (tmp_path / "new").replace(tmp_path / "a.list")
    assert len({first, second, fingerprint(pattern)}) == 3
