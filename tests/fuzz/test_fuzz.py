"""The same bytes on each run, a second or two for each target: seeds that are cut, joined and changed a little."""

import logging
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, FuzzTarget

# A change: where, as a share of all; how much is taken away; and what is put in its place.
Edit = tuple[float, int, bytes]


def edits(target: FuzzTarget) -> st.SearchStrategy[list[Edit]]:
    put_in = st.sampled_from([*target.words, b"", b"0", b"\n"]) | st.binary(max_size=8)
    return st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), put_in), max_size=6)


def edited(seed: bytes, changes: list[Edit]) -> bytes:
    for where, removed, put_in in changes:
        at = round(where * len(seed))
        seed = seed[:at] + put_in + seed[at + removed :]
    return seed


def inputs(target: FuzzTarget) -> st.SearchStrategy[bytes]:
    seed = st.sampled_from(target.seeds)
    return st.builds(edited, seed | st.builds(bytes.__add__, seed, seed), edits(target)) | st.binary(max_size=100)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_bytes_are_refused_or_understood(target: FuzzTarget) -> None:
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quick = settings(
                max_examples=1000,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            quick(given(inputs(target))(target.run))()
    finally:
        logging.disable(logging.NOTSET)
