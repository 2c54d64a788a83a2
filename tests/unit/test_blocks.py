"""How history is written down."""

import zlib

import pytest

from monitoring_supervisor.store import blocks
from monitoring_supervisor.store.blocks import Damaged, Points

FIRST = blocks.single(60.0, {"cpu.busy_percent": [1, 2.5, 4], "cpu.count": 2, "disks.sda.reads_total": 10})
SECOND = blocks.single(120.0, {"cpu.busy_percent": 3, "cpu.count": 2, "disks.sda.reads_total": 15, "new": 1})


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"a":1}', b'{"a":2}', b"{}"],
        [b"{}"],
        [b"{}", b"{}"],
        [b'{"a":"say \\"x\\" or \\\\"}', b'{"":""}'],
        [b'""'],
        [b'a""', b'"b"'],
        [b""],
    ],
)
def test_lines_come_back_as_they_were(lines: list[bytes]) -> None:
    assert blocks.unpack(blocks.pack(lines)) == lines
    before = b'{"a":{"b":1},"c":"d"}'
    assert blocks.unpack(blocks.pack(lines, before), before) == lines
    assert blocks.unpack(blocks.pack(lines, b"1"), b"2") == lines  # without a key there is nothing to know


def test_keys_of_the_line_before_cost_nothing() -> None:
    line = b"{" + b",".join(b'"key_%x":1' % (number * 7919**3 % 2**40) for number in range(100)) + b"}"
    assert len(blocks.pack([line], line)) < len(blocks.pack([line])) / 5


@pytest.mark.parametrize("before", [b"", b'{"other":1}'])
def test_without_the_line_before_a_block_cannot_be_read(before: bytes) -> None:
    with pytest.raises(blocks.Damaged):
        blocks.unpack(blocks.pack([b'{"a":1}'], b'{"a":2}'), before)


def test_points_are_joined_in_order_of_time_and_what_never_moved_is_one_value() -> None:
    joined = blocks.joined([SECOND, FIRST])
    assert joined == Points(
        [60.0, 120.0],
        {
            "cpu.busy_percent": [[1, 2.5, 4], 3],
            "cpu.count": 2,
            "disks.sda.reads_total": [10, 15],
            "new": [None, 1],
        },
    )
    assert joined.series("cpu.busy_percent") == [(60.0, [1, 2.5, 4]), (120.0, 3)]
    assert joined.series("cpu.count") == [(60.0, 2), (120.0, 2)]
    assert joined.series("new") == [(120.0, 1)]
    assert joined.series("nothing") == []


def test_a_sum_has_the_least_the_mean_and_the_greatest_and_the_last_count() -> None:
    assert blocks.summed_up(blocks.joined([FIRST, SECOND])) == {
        "cpu.busy_percent": [1, 2.75, 4],
        "cpu.count": 2,
        "disks.sda.reads_total": 15,
        "new": 1,
    }


@pytest.mark.parametrize("path", ["cpu.busy_percent", "cpu.count", "disks.sda.reads_total", "new", "x", 'odd "\n:,'])
def test_one_column_is_read_as_from_all(path: str) -> None:
    joined = blocks.joined([FIRST, SECOND, blocks.single(180.0, {'odd "\n:,': [1, 2, 3], "cpu": 5})])
    body = blocks.pack_points(joined)
    assert blocks.unpack_points(body) == joined
    assert blocks.unpack_points(body, [path]).series(path) == joined.series(path)


@pytest.mark.parametrize("body", [b"", b"x", zlib.compress(b"x"), blocks.pack_points(FIRST)[:-5]])
def test_what_is_damaged_is_said(body: bytes) -> None:
    with pytest.raises(Damaged):
        blocks.unpack_points(body)
    with pytest.raises(Damaged):
        blocks.unpack_points(body, ["cpu.count"])


def test_a_damaged_block_is_said() -> None:
    with pytest.raises(Damaged):
        blocks.unpack(blocks.pack([b"{}" * 100])[:-8])
