"""An agent whose metrics can be used now and not the next moment does not fill the journal. Pure."""

from collections import deque

from monitoring_supervisor.model import Move, Reason

# So many lines within so many seconds say enough. That an agent is down, or up again, is always said.
MAX_LINES, WINDOW_SECONDS = 10, 600.0
_ABOUT_METRICS = {Reason.METRICS_UNUSABLE, Reason.METRICS_USABLE}


class Calm:
    """When lines about the metrics of each agent were said."""

    def __init__(self) -> None:
        self._said: dict[str, deque[float]] = {}

    def keep(self, names: set[str]) -> None:
        """Forget all agents but these."""
        self._said = {name: said for name, said in self._said.items() if name in names}

    def calmed(self, move: Move, line: str | None) -> str | None:
        """The line about this move, or nothing if there were too many of that kind; the last one says so."""
        if line is None or move.reason not in _ABOUT_METRICS:
            return line
        said = self._said.setdefault(move.target.name, deque(maxlen=MAX_LINES))
        if len(said) == MAX_LINES and 0 <= move.at - said[0] < WINDOW_SECONDS:
            return None
        said.append(move.at)
        if len(said) == MAX_LINES and move.at - said[0] < WINDOW_SECONDS:
            return f"{line}; this comes and goes, and is not told each time"
        return line
