"""Tables in a terminal: as wide as it is, with what matters whole."""

import pytest

from monitoring_supervisor.ctl import agents, history, status, tables, text
from monitoring_supervisor.ctl.tables import Column

COLUMNS = (
    Column("AGENT"),
    Column("MACHINE", shrinks=True, optional=True),
    Column("FOR", right=True),
    Column("WHY", wraps=True),
)
ROWS = [
    ["10.0.0.5:5000", "a-machine-with-a-long-name", "5m12s", "connection refused, nothing listens at the port"],
    ["10.0.0.6:5000", "b", "3s", "no connection within the time limit"],
]


def test_a_table_without_a_terminal_is_as_wide_as_it_needs_to_be() -> None:
    lines = tables.table(COLUMNS, ROWS, None)
    assert lines == [
        "AGENT          MACHINE                       FOR  WHY",
        "10.0.0.5:5000  a-machine-with-a-long-name  5m12s  connection refused, nothing listens at the port",
        "10.0.0.6:5000  b                              3s  no connection within the time limit",
    ]


@pytest.mark.parametrize("width", [120, 80, 70, 60, 50])
def test_a_table_is_no_wider_than_the_terminal_and_reasons_are_still_whole(width: int) -> None:
    lines = tables.table(COLUMNS, ROWS, width)
    assert max(map(text.cells, lines)) <= width
    assert all(any(line.startswith(row[0]) for line in lines) for row in ROWS)
    words = " ".join(" ".join(lines).split())
    for word in ("refused,", "nothing", "listens", "limit"):
        assert word in words


def test_a_column_with_nothing_in_it_is_left_out() -> None:
    lines = tables.table(COLUMNS, [["10.0.0.5:5000", "-", "3s", "no"]], 80)
    assert lines[0] == "AGENT          FOR  WHY"


def test_wide_letters_take_the_room_that_they_take_in_a_terminal() -> None:
    columns = (Column("MACHINE", shrinks=True), Column("X"))
    lines = tables.table(columns, [["日本語日本語日本語", "x"], ["e\u0301", "x"]], 14)
    assert lines[1].endswith("…  x")
    assert [text.cells(line) for line in lines[1:]] == [text.cells(lines[0])] * 2


OWN_TABLES = {"status": status.COLUMNS, "agents": agents.COLUMNS, "events": history.EVENTS}
CELLS = {
    "AGENT": ["10.0.0.5:5000", "a-part." * 20 + "org:5000", "[2001:db8::ffff:ffff:ffff:ffff]:5000"],
    "MACHINE": ["日本" * 20, "e\u0301" * 50, "-"],
    "STATE": ["up", "suspect", "new"],
    "WHY": ["", "connection refused, nothing listens at the port", "理由がとても長い" * 20],
    "TIME": ["2026-11-24 09:32:30"] * 3,
    "LOAD": ["0.5", "100 000 000 000 000", "-"],
    "LABELS": ["", "データ=" + "ベース" * 20, "rack=7"],
}


@pytest.mark.parametrize("name", OWN_TABLES)
def test_the_tables_of_monitoringctl_fit_every_terminal_and_only_machines_and_labels_are_cut(name: str) -> None:
    columns = OWN_TABLES[name]
    rows = [list(row) for row in zip(*(CELLS.get(one.title, ["12m05s", "99%", "-"]) for one in columns), strict=True)]
    for width in range(20, 250):
        lines = tables.table(columns, rows, width)
        assert max(map(text.cells, lines)) <= width, width
        cut = sum(line.count("…") for line in lines)
        # Of two machines and two labels; below that titles too.
        assert cut <= 4 or width < 40, (width, lines)
    assert tables.table(columns, rows, 600) == tables.table(columns, rows, None)


def test_what_can_be_spared_goes_before_an_address_is_torn_apart() -> None:
    row = ["10.0.0.5:5000", "web-1", "down", "09:32:30", "5m12s", "connection refused, nothing listens"]

    def titles(width: int) -> list[str]:
        lines = tables.table(status.COLUMNS, [row], width)
        assert any(line.startswith(row[0]) for line in lines)
        return lines[0].split()

    assert titles(80) == ["AGENT", "MACHINE", "STATE", "SINCE", "FOR", "WHY"]
    assert titles(60) == ["AGENT", "MACHINE", "STATE", "FOR", "WHY"]
    assert titles(48) == ["AGENT", "STATE", "FOR", "WHY"]
    assert titles(36) == ["AGENT", "STATE", "WHY"]


@pytest.mark.parametrize(
    ("said", "room", "lines"),
    [
        ("", 5, ("",)),
        ("a bc def", 5, ("a bc", "def")),
        ("abcdefg hi", 5, ("abcde", "fg hi")),
        ("日本語日本語", 5, ("日本", "語日", "本語")),
        ("a 日本 語", 5, ("a", "日本", "語")),
        ("e\u0301e\u0301e\u0301", 2, ("e\u0301e\u0301", "e\u0301")),
        ("日本", 1, ("日", "本")),
    ],
)
def test_text_goes_on_below_by_the_room_that_letters_take(said: str, room: int, lines: tuple[str, ...]) -> None:
    assert tables.wrapped(said, room) == lines
