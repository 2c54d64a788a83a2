"""What monitoringctl writes: names that cannot steer a terminal, numbers as people say them."""

from typing import Any

import pytest

from monitoring_supervisor.ctl import show, text, units
from monitoring_supervisor.spoken import natural


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("web-1", "web-1"),
        ("Zürich", "Zürich"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_would_steer_the_terminal_is_escaped(name: str, shown: str) -> None:
    assert text.safe(name) == shown


def test_nothing_is_coloured_when_the_output_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert text.coloured("down", "red", bold=True) == "down"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0s"),
        (59.9, "59s"),
        (312, "5m12s"),
        (3600, "1h00m"),
        (7 * 3600 + 300, "7h05m"),
        (3 * 86400 + 4 * 3600, "3d04h"),
        (412 * 86400, "412d"),
    ],
)
def test_a_length_of_time_takes_six_letters(seconds: float, said: str) -> None:
    assert units.span(seconds) == said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("used_bytes", 475312128, "453 MiB"),
        ("size_bytes", 1023 * 1024**3, "0.999 TiB"),
        ("size_bytes", 12, "12 B"),
        ("received_bytes_per_second", 61500.0, "60.1 KiB/s"),
        ("received_bytes_total", 1024, "1 KiB"),
        ("paged_in_kibibytes_total", 2048, "2 MiB"),
        ("used_percent", 71.4, "71.4 %"),
        ("temperature_celsius", 41.5, "41.5 °C"),
        ("frequency_hertz", 3400000000, "3.4 GHz"),
        ("duration_seconds", 0.0002, "200 µs"),
        ("duration_seconds", 0.25, "250 ms"),
        ("uptime_seconds", 3717.94, "1 h 1 min"),
        ("offset_seconds", -200.0, "-3 min 20 s"),
        ("processes_total", 1234567, "1 234 567"),
        ("context_switches_per_second", 1078.25, "1078.25 /s"),
        ("load_1m", 0.06, "0.06"),
        ("booted_at", 1e300, "1e+300"),
        ("booted_at", 1e15, "1 000 000 000 000 000"),
        ("used_bytes", 10**400, "1000000000000000000…"),
        ("ok", True, "yes"),
        ("state", "hung\x07", "hung\\x07"),
        ("reboot_required_by", [], "none"),
    ],
)
def test_a_value_is_said_in_the_unit_of_its_name(key: str, value: object, said: str) -> None:
    assert units.worded(key, value) == said


def test_names_are_in_the_order_of_people() -> None:
    names = ["10.0.0.10:5000", "10.0.0.9:5000", "db-2:5000", "db-11:5000", "[::1]:5000"]
    assert sorted(names, key=natural) == ["10.0.0.9:5000", "10.0.0.10:5000", "[::1]:5000", "db-2:5000", "db-11:5000"]


def test_processes_that_use_most_are_shown_a_line_each_the_greediest_first() -> None:
    top = {
        "4711": {"name": "nginx", "user": "www-data", "cpu_percent": 9.5},
        "12": {"name": "evil\x1b[2J", "user": "root", "cpu_percent": 101.0},
    }
    assert list(show._tree({"processes": {"top_cpu": top}}, everything=False)) == [
        "processes", "  top_cpu", "    101 %    12  root      evil\\x1b[2J", "    9.5 %  4711  www-data  nginx"
    ]  # fmt: skip


@pytest.mark.parametrize("odd", [{}, {"1": 7}, {"1": {"name": "a"}}, {"1": {"a": 1, "b": 2}}, {"1": {"x": {"y": 1}}}])
def test_what_only_looks_like_processes_is_shown_like_everything_else(odd: dict[str, Any]) -> None:
    assert show._ranking(odd) is None
    assert "  top_cpu" in list(show._tree({"processes": {"top_cpu": odd}}, everything=True))
