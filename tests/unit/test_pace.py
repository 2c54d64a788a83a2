"""When the snapshot is saved."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from monitoring_supervisor.store.pace import DISK_BYTES_PER_SECOND, Pace
from monitoring_supervisor.store.snapshot import Writer


def writes(
    tmp_path: Path, size: int, seconds: float, round_seconds: float, hurry_at: float | None = None
) -> list[float]:
    """At which times a document of this size is rendered to be saved, looked at four times a second."""
    now = 0.0
    pace = Pace(Writer(tmp_path / "metrics_data.json"), clock=lambda: now)
    rendered: list[float] = []

    def render() -> list[bytes]:
        rendered.append(now)
        return [b"x" * size]

    while now < seconds:
        if now == hurry_at:
            pace.hurry()
        pace.save(render, round_seconds)
        while pace.writer.busy_since is not None:
            time.sleep(0.001)
        now += 0.25
    return rendered


def test_a_small_document_is_saved_after_every_round(tmp_path: Path) -> None:
    assert writes(tmp_path, 1000, 5, 1.0) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_large_one_costs_the_disk_no_more_than_its_share(tmp_path: Path) -> None:
    rendered = writes(tmp_path, 10 * DISK_BYTES_PER_SECOND, 60, 1.0)
    assert rendered == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_a_move_is_saved_within_a_second_all_the_same(tmp_path: Path) -> None:
    rendered = writes(tmp_path, 10 * DISK_BYTES_PER_SECOND, 12, 1.0, hurry_at=4.0)
    assert rendered == [0.0, 4.0]


def test_a_long_round_does_not_delay_a_move(tmp_path: Path) -> None:
    assert writes(tmp_path, 1000, 30, 3600.0, hurry_at=7.0) == [0.0, 7.0]


def test_moves_without_end_do_not_have_a_large_document_written_all_the_time(tmp_path: Path) -> None:
    now = 0.0
    pace = Pace(Writer(tmp_path / "metrics_data.json"), clock=lambda: now)
    rendered: list[float] = []

    def render() -> Iterator[bytes]:
        rendered.append(now)
        return _slowly(10 * DISK_BYTES_PER_SECOND, 0.5)

    while now < 7.0:
        pace.hurry()
        pace.save(render, 1.0)
        while pace.writer.busy_since is not None:
            time.sleep(0.001)
        now += 0.25
    assert len(rendered) > 1
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(rendered))


def _slowly(size: int, seconds: float) -> Iterator[bytes]:
    time.sleep(seconds)
    yield b"x" * size
