"""What the benchmark is told, and how it divides its time."""

import math
from dataclasses import dataclass

# Many and short rather than few and long: what disturbs a shared machine lasts for seconds.
ROUNDS = 5
# The agent and node_exporter do some things only every 15 seconds: a shorter window would see them by luck.
AGENT_WINDOW_SECONDS = 15.0
INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """`seconds` is how long each side of each comparison is measured, in all rounds together."""

    seconds: float = 36.0
    agents: int = 1000

    @property
    def round_seconds(self) -> float:
        """How long a round of the supervisor's comparison is."""
        return self.seconds / ROUNDS

    @property
    def warm_up_seconds(self) -> float:
        """How long a side runs before its round: as long, within reason, as it is measured."""
        return min(5.0, self.round_seconds)

    @property
    def size_seconds(self) -> float:
        """How long the supervisor is measured with each size of the fleet."""
        return min(self.seconds, 60.0)

    @property
    def agent_window_seconds(self) -> float:
        """How long a window of the agent's comparison is."""
        return min(AGENT_WINDOW_SECONDS, self.seconds)

    @property
    def agent_windows(self) -> int:
        """How many windows in which the agent is asked."""
        return max(1, math.ceil(self.seconds / AGENT_WINDOW_SECONDS))
