"""When the snapshot is saved."""

import time
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
