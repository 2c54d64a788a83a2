"""From counters to rates: what rose between two samples, over the time that was measured between them."""

import functools
from typing import Any

Sample = dict[str, Any]

_NUMBER = (int, float)  # some hundred times a second, where int | float would be put together anew each time


def with_rates(previous: Sample, current: Sample, seconds: float) -> Sample:
    """The current sample, each counter in it followed by its rate since the previous one.

    `x_total` gives `x_per_second`; `x_seconds_total`, which counts time, gives `x_percent`, its share of the
    time between. A counter that fell (restarted, wrapped, or another device under the same name) or that has
    no predecessor has no rate: absent means unknown.
    """
    result: Sample = {}
    for key, value in current.items():
        before = previous.get(key)
        if isinstance(value, dict):
            result[key] = with_rates(before, value, seconds) if isinstance(before, dict) else value
            continue
        result[key] = value
        name = _rate_name(key)
        if not name or not isinstance(before, _NUMBER) or value < before or seconds <= 0:
            continue
        if value == before:
            result[name] = 0.0  # most counters of most devices, most of the time
        elif name.endswith("_percent"):
            result[name] = round((value - before) / seconds * 100, 2)
        else:
            result[name] = _rounded((value - before) / seconds)
    return result


@functools.lru_cache(maxsize=1024)
def _rate_name(key: str) -> str:
    """The name of the rate of this counter; empty if it is no counter."""
    if key.endswith("_seconds_total"):
        return f"{key[:-14]}_percent"
    return f"{key[:-6]}_per_second" if key.endswith("_total") else ""


def with_shares(previous: Sample, current: Sample) -> Sample:
    """The current sample, counters of time that add up to all the time, each followed by its share in per cent.

    Dividing by the sum keeps the shares of a processor within 100 although its counters move in steps of 10 ms.
    """
    risen: dict[str, float] = {}
    for key, value in current.items():
        before = previous.get(key)
        if before is not None and value >= before:
            risen[key] = value - before
    whole = sum(risen.values())
    result: Sample = {}
    for key, value in current.items():
        result[key] = value
        if whole > 0 and key in risen:
            result[_rate_name(key)] = round(risen[key] / whole * 100, 2)
    return result


def _rounded(rate: float) -> float:
    """As many digits as the measured time can vouch for; noise behind them would only be stored and sent."""
    return round(rate, 3 if rate < 10 else 2 if rate < 100 else 1 if rate < 1000 else 0)
