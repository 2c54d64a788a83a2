"""The course of a number: points put together, and drawn in one line. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from monitoring_supervisor.minutes import Point

BARS = "▁▂▃▄▅▆▇█"
NOTHING = "·"

Series = Sequence[tuple[float, Point]]


def least(point: Point) -> float:
    """The least value of a point."""
    return point[0] if isinstance(point, list) else point


def mean(point: Point) -> float:
    """The mean of a point, or its one value."""
    return point[1] if isinstance(point, list) else point


def greatest(point: Point) -> float:
    """The greatest value of a point."""
    return point[2] if isinstance(point, list) else point


def put_together(points: Sequence[Point], *, counter: bool = False) -> Point:
    """One point for several: of a counter the last value."""
    if counter:
        return points[-1]
    together = [min(map(least, points)), sum(map(mean, points)) / len(points), max(map(greatest, points))]
    return together if together[0] != together[2] else together[0]


def grouped(series: Series, step: float, *, counter: bool = False) -> list[tuple[float, Point]]:
    """A point for each step that has any."""
    steps: dict[float, list[Point]] = defaultdict(list)
    for at, point in series:
        steps[at // step * step].append(point)
    return [(at, put_together(points, counter=counter)) for at, points in sorted(steps.items())]


def sparkline(series: Series, since: float, until: float, width: int) -> str:
    """The course from `since` to `until` in so many letters, the greatest value of each; a dot where nothing is."""
    if not series or width < 1 or until <= since:
        return ""
    places: dict[int, float] = {}
    for at, point in series:
        place = min(width - 1, max(0, int((at - since) / (until - since) * width)))
        places[place] = max(places.get(place, greatest(point)), greatest(point))
    low, high = min(places.values()), max(places.values())
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        BARS[round((places[place] - low) * scale)] if place in places else NOTHING for place in range(width)
    )
