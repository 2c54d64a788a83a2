"""Which machine answers under which name."""

from typing import Any

import pytest

from monitoring_supervisor.machines import Machines


def of(machine: str) -> dict[str, Any]:
    return {"host": {"machine_id": machine}}


def test_a_name_that_becomes_another_machine_is_told_once() -> None:
    machines = Machines()
    assert machines.hear("web-1:5000", of("a")) == []
    assert machines.hear("web-1:5000", of("a")) == []
    (line,) = machines.hear("web-1:5000", of("b"))
    assert line.startswith("web-1:5000 is another machine than before")
    assert machines.hear("web-1:5000", of("b")) == []


def test_two_names_for_one_machine_are_told_once_with_both() -> None:
    machines = Machines()
    assert machines.hear("web-1:5000", of("a")) == []
    (line,) = machines.hear("10.0.0.1:5000", of("a"))
    assert line.startswith("10.0.0.1:5000 and web-1:5000 are one machine")
    assert machines.hear("10.0.0.1:5000", of("a")) == []
    assert machines.hear("web-1:5000", of("a")) == []


def test_what_was_known_before_a_restart_is_not_told_again_and_a_change_since_is() -> None:
    machines = Machines()
    machines.know("web-1:5000", of("a"))
    machines.know("10.0.0.1:5000", of("a"))
    assert machines.hear("web-1:5000", of("a")) == []
    assert len(machines.hear("web-1:5000", of("b"))) == 1


def test_a_name_that_is_watched_no_more_is_no_second_name() -> None:
    machines = Machines()
    machines.hear("web-1:5000", of("a"))
    machines.keep({"10.0.0.1:5000"})
    assert machines.hear("10.0.0.1:5000", of("a")) == []


@pytest.mark.parametrize("report", [None, {}, {"host": 3}, {"host": {}}, {"host": {"machine_id": 7}}])
def test_a_report_without_an_identity_says_nothing(report: dict[str, Any] | None) -> None:
    machines = Machines()
    machines.know("web-1:5000", of("a"))
    assert machines.hear("web-1:5000", report) == []


def test_an_agent_that_is_another_machine_each_time_does_not_fill_the_journal() -> None:
    machines = Machines()
    lines = [line for number in range(1000) for line in machines.hear("web-1:5000", of(str(number)))]
    assert len(lines) == 5
    assert lines[-1] == "web-1:5000 says again and again that it is another machine; no more is told of that"
    assert machines.hear("10.0.0.1:5000", of("999")) == [
        "10.0.0.1:5000 and web-1:5000 are one machine; it is asked, and counted, once for each name"
    ]
