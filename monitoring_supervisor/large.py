"""What large answers of the agents may cost: the polls of all others wait while one is taken apart. Pure.

To take apart a megabyte with everything new in it takes a fifth of a second and more. An agent that sends it once must
be heard; one that sends it again and again, and a whole group of them, must not stop the others from being asked.
"""

# So many times as long as its answer took, no other large one of the same agent is looked at.
REST = 20
# Nor before all that were looked at have been made up for, so many times as long as they took together: they have a
# quarter of the time. So much time lies by for a fleet whose agents all send their first report.
REST_TOGETHER, SAVED_SECONDS = 4, 10.0


class LargeAnswers:
    """The large answers of all agents. Times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._made_up_at = float("-inf")

    def rest(self, now: float, took_seconds: float) -> float:
        """Until when the agent rests whose answer took so long."""
        self._made_up_at = max(self._made_up_at, now - SAVED_SECONDS) + REST_TOGETHER * took_seconds
        return max(now + REST * took_seconds, self._made_up_at)
