"""Whose entries go first for want of room: those of an agent that holds far more than the others do.

Otherwise one that has too much to say would push out the history of all, since what is oldest is theirs.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from monitoring_supervisor.store.database import Database, Known

# So many times what the others hold in the mean, when the room is full, is too much. With less, machines that only do
# more than others would be left with a shorter past than those.
TIMES_THE_OTHERS = 4
# Whoever had too much loses of it down to this share of the limit, so that its oldest entries are seldom looked for.
LEFT = 0.75
# It loses it when so much of the room is left: before there is none, its oldest blocks are to be found.
RESERVE = 0.02
# They are a list that begins with the newest: so many are gone through at once, and so many of the oldest noted.
WALKED_AT_ONCE = 2000
NOTED = 10_000


class Shares:
    """Finds who holds too much, and deletes of it. A call does a little; what it remembers is of one database."""

    def __init__(self) -> None:
        self._agent: Known | None = None
        self._walk: Iterator[tuple[int, float]] | None = None
        self._oldest: deque[int] = deque(maxlen=NOTED)  # of the agent's blocks, newest first

    def free(self, database: Database, room: int) -> None:
        """Delete some of who holds too much, while so many bytes are used that there is hardly any room left.

        That is nothing if nobody does, or while the oldest blocks are still looked for.
        """
        full = (1 - RESERVE) * room
        excess = database.size() - full
        if excess <= 0:
            return
        limit = _limit(database, room)
        if self._agent is not None and self._agent.bytes <= LEFT * limit:
            self._agent = None
        if self._agent is None:
            self._agent = _largest(database, limit)
            self._walk = None
            self._oldest.clear()
        agent = self._agent
        if agent is None:
            return
        while excess > 0 and agent.bytes > LEFT * limit and self._knows_oldest(database, agent):
            if not self._oldest:
                found = _delete_points(database, agent, min(excess, agent.bytes - LEFT * limit))
                # If there is nothing, what was counted beside that is gone already.
                agent.bytes = max(0, agent.bytes - found) if found else 0
                return
            agent.bytes = max(0, agent.bytes - self._delete_oldest(database, agent))
            excess = database.size() - full

    def _knows_oldest(self, database: Database, agent: Known) -> bool:
        """Whether the agent's oldest blocks are noted, or there are none; if not, go on looking for them."""
        if self._oldest and self._walk is None:
            return True
        self._walk = self._walk or database.listed("blocks", agent, agent.block)
        found = [number for number, _ in islice(self._walk, WALKED_AT_ONCE)]
        self._oldest.extend(found)
        if len(found) < WALKED_AT_ONCE:
            self._walk = None
        return self._walk is None

    def _delete_oldest(self, database: Database, agent: Known) -> int:
        """Delete the oldest block that was noted. Returns how many bytes that were: none if it was gone already."""
        where = (self._oldest.pop(), agent.id)
        select = "SELECT length(body) FROM blocks WHERE id = ? AND agent = ?"
        row = database.connection.execute(select, where).fetchone()
        database.connection.execute("DELETE FROM blocks WHERE id = ? AND agent = ?", where)
        return row[0] if row else 0


def _limit(database: Database, room: int) -> float:
    holders = sum(known.bytes > 0 for known in database.known.values())
    return room * TIMES_THE_OTHERS / (TIMES_THE_OTHERS + max(holders, 1) - 1)


def _largest(database: Database, limit: float) -> Known | None:
    largest = max(database.known.values(), key=lambda known: known.bytes, default=None)
    return largest if largest and largest.bytes > limit else None


def _delete_points(database: Database, agent: Known, excess: float) -> int:
    """Of one that has no blocks left: its hours of minutes, then its hours, then the minutes of this hour."""
    freed = 0
    for table in ("minutes", "hours"):
        rows = database.connection.execute(
            f"SELECT rowid, length(body) FROM {table} WHERE agent = ? ORDER BY began", (agent.id,)
        ).fetchmany(WALKED_AT_ONCE)
        freed += _delete_some(database, table, rows, excess - freed)
    numbers = [number for number, _ in database.listed("recent", agent, agent.minute)]
    select = "SELECT id, length(body) FROM recent WHERE id = ?"
    recent = [database.connection.execute(select, (number,)).fetchone() for number in reversed(numbers)]
    return freed + _delete_some(database, "recent", recent, excess - freed)


def _delete_some(database: Database, table: str, rows: Iterable[tuple[int, int]], excess: float) -> int:
    """Delete of these rows, number and bytes of each, as many as that takes. Returns how many bytes those had."""
    freed = 0
    for number, length in rows:
        if freed >= excess:
            break
        database.connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))
        freed += length
    return freed
