"""What fuzzing found once (see tests/fuzz) stays mended."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, FuzzTarget, cases


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_bytes_as_they_should_be_are_understood(target: FuzzTarget) -> None:
    for seed in target.seeds:
        target.run(seed)


@pytest.mark.parametrize(
    ("target", "path"),
    [pytest.param(target, path, id=f"{target.name}-{path.name[:20]}") for target in TARGETS for path in cases(target)],
)
def test_what_was_found_once_is_mended(target: FuzzTarget, path: Path) -> None:
    target.run(path.read_bytes())
