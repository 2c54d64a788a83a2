"""How one life of the agent tells the next why it ended."""

import os
from pathlib import Path

import pytest

from monitoring_agent import goodbye


def test_the_first_life_has_none_before(tmp_path: Path) -> None:
    assert goodbye.begin(tmp_path, "boot-1") is None


def test_a_planned_end_is_told_with_its_time_and_reason(tmp_path: Path) -> None:
    goodbye.begin(tmp_path, "boot-1")
    assert goodbye.end(tmp_path, "boot-1", 1000.0) == goodbye.SERVICE_STOPPED
    assert goodbye.begin(tmp_path, "boot-1") == {"end": "service_stopped", "ended_at": 1000.0}


def test_without_a_word_it_was_a_crash_of_the_agent_or_of_the_machine(tmp_path: Path) -> None:
    goodbye.begin(tmp_path, "boot-1")
    assert goodbye.begin(tmp_path, "boot-1") == {"end": "agent_crashed"}
    assert goodbye.begin(tmp_path, "boot-2") == {"end": "machine_crashed"}


@pytest.mark.parametrize(
    ("age_seconds", "reason"),
    [(0, "package_upgrade"), (290, "package_upgrade"), (310, "service_stopped"), (-310, "service_stopped")],
)
def test_a_mark_of_an_upgrade_counts_for_some_minutes(age_seconds: int, reason: str, tmp_path: Path) -> None:
    mark = tmp_path / "upgrade"
    mark.touch()
    os.utime(mark, (1000.0, 1000.0))
    assert goodbye.end(tmp_path, "boot-1", 1000.0 + age_seconds, mark) == reason


@pytest.mark.parametrize("content", ["", "[]", "{", '{"boot_id": "a", "more": 1}', "null"])
def test_a_file_that_tells_nothing_is_no_life(content: str, tmp_path: Path) -> None:
    (tmp_path / goodbye.FILE).write_text(content, encoding="ascii")
    assert goodbye.begin(tmp_path, "boot-1") is None
    assert goodbye.begin(tmp_path, "boot-1") == {"end": "agent_crashed"}
