"""No agent at all can be reached: more likely this machine's own network than all of them at once. Pure.

Then one line is said in place of one for each agent. Those that are still down some time after it is over are named.
"""

from monitoring_supervisor.model import Kind, Move, Reason, Standing, State

# Of fewer, all may well have failed by themselves.
MIN_AGENTS = 3
_UNREACHED = {Kind.REFUSED, Kind.UNREACHABLE, Kind.NAME_NOT_FOUND, Kind.TIMEOUT_CONNECT, Kind.TIMEOUT_ANSWER}
_GIVEN_UP = {Reason.WENT_DOWN, Reason.NEVER_ANSWERED}


class Outage:
    """`since` is when it began in Unix seconds, None if some agent can be reached."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._reached: set[str] = set()
        self._over_at = 0.0
        self._withheld: dict[str, str] = {}

    def watch(self, standings: dict[str, Standing]) -> None:
        """These are the agents that are watched."""
        self._reached = {name for name, standing in standings.items() if not _is_unreached(standing)}
        self._withheld = {name: line for name, line in self._withheld.items() if name in standings}

    def follow(self, move: Move, agents: int) -> str | None:
        """Take in a move of one of so many agents. Returns what is to be said if an outage begins or ends with it."""
        name = move.target.name
        if _is_unreached(move.after):
            self._reached.discard(name)
            if self.since is None and not self._reached and agents >= MIN_AGENTS:
                self.since = move.at
                return f"none of {agents} agents can be reached; is it the network of this machine?"
        else:
            self._reached.add(name)
            if self.since is not None:
                self.since, self._over_at = None, move.at
                return "agents can be reached again; those that stay away are named soon"
        return None

    def withholds(self, move: Move, line: str) -> bool:
        """Whether the line about this move is left out, as the one about all of them says enough."""
        name = move.target.name
        if self.since is not None and move.reason in _GIVEN_UP:
            self._withheld[name] = line
            return True
        return move.after.state is State.UP and self._withheld.pop(name, None) is not None

    def stayed_away(self, now: float, patience_seconds: float) -> list[str]:
        """The lines that were left out and are true still, so long after it was over. Each is returned once."""
        if not self._withheld or self.since is not None or 0 <= now - self._over_at < patience_seconds:
            return []
        lines, self._withheld = list(self._withheld.values()), {}
        return lines


def _is_unreached(standing: Standing) -> bool:
    failure = standing.failure
    return failure is not None and not standing.metrics_only and failure.kind in _UNREACHED
