"""How long history is kept and how large it becomes: settings of a real supervisor, seen in its database."""

import random
import signal
import time
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

from monitoring_agent.shared import wire
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Move, Reason, Retention, Standing, State, Target
from monitoring_supervisor.store import upkeep
from monitoring_supervisor.store.database import Database
from monitoring_supervisor.store.history import CHAIN_REPORTS, History
from monitoring_supervisor.store.reading import Reader
from tests.fleet.process import Fleet
from tests.integration.conftest import MakeRogue, MakeSupervisor
from tests.integration.daemons import SupervisorDaemon, wait_for

HOUR, DAY = 3600.0, 86400.0
SLOW_SECONDS = 300.0  # this test may take so long, and what it looks at gets older meanwhile
OLD = "10.0.0.1:5000"  # an agent of which there is only history


def remember(path: Path, moments: list[float], filling: Callable[[], str] = str) -> None:
    """History of an agent that said a report at each of these moments, as a supervisor of then would have left it."""
    latest = Latest()
    # Hours are put together when a day is over; and what waits to be written has its limit.
    for _, some in groupby(enumerate(moments, 1), key=lambda one: (one[1] // DAY, one[0] // 1000)):
        _remember_some(path, list(some), latest, filling)


def _remember_some(path: Path, moments: list[tuple[int, float]], latest: Latest, filling: Callable[[], str]) -> None:
    now = moments[0][1]
    history = History(path, Retention(1e12, 1e12, 1e12, 10**15), 1, lambda: now, lambda: now)
    for sequence, now in moments:
        report = {"schema": 1, "sequence": sequence, "collected_at": now, "load": {"load_1m": sequence / 7}}
        body = wire.encode({**report, "filling": filling()})
        latest.take(body)
        history.record(OLD, latest, body, now)
        history.beat(now)
        if sequence % 60 == 0:
            before, after = (State.UP, State.DOWN) if sequence % 120 else (State.DOWN, State.UP)
            target = Target(OLD, OLD, 5000)
            history.note(Move(target, Standing(before, 0.0), Standing(after, now), Reason.NOTHING, now))
    assert history.close(60.0)
    database = Database(path)
    for _ in upkeep.put_together(database, now):
        pass
    database.close()


def ages(supervisor: SupervisorDaemon, now: float) -> dict[str, list[float]]:
    """How old in seconds what is stored of the agent is, from the oldest on, as a reader of each tier finds it."""
    with Reader(supervisor.directory / "history.db") as reader:
        tiers = {
            "reports": [at for at, _ in reader.reports(OLD, 0, now)],
            "minutes": [at for at, _ in reader.series(OLD, ["load.load_1m"], 0, now, 60)["load.load_1m"]],
            "hours": [at for at, _ in reader.series(OLD, ["load.load_1m"], 0, now, 3600)["load.load_1m"]],
            "events": [event.at for event in reader.events(OLD, 0, now)],
        }
    return {name: [now - at for at in moments] for name, moments in tiers.items()}


def test_each_tier_goes_at_the_age_that_its_setting_says_also_after_a_reload(
    make_supervisor: MakeSupervisor, make_rogue: MakeRogue
) -> None:
    agent = make_rogue()
    supervisor = make_supervisor(
        agent.name, HISTORY_REPORTS_HOURS="3", HISTORY_MINUTES_DAYS="4", HISTORY_HOURS_DAYS="5"
    )
    now = time.time()
    # A minute apart for six days, and a second apart for the last five hours.
    first = [now - 6 * DAY + minute * 60 for minute in range(int((6 * DAY - 5 * HOUR) / 60))]
    remember(supervisor.directory / "history.db", [*first, *(now - 5 * HOUR + second for second in range(5 * 3600))])
    # Deleted is a chain of reports when its first one is too old, an hour of minutes and a day of hours when all is.
    goes_early, goes_late = {"reports": CHAIN_REPORTS}, {"minutes": HOUR, "hours": DAY}
    before = ages(supervisor, now)
    assert min(moments[0] for moments in before.values()) > 5.9 * DAY

    limits = {"reports": 3 * HOUR, "minutes": 4 * DAY, "hours": 5 * DAY, "events": 5 * DAY}

    def is_kept() -> bool:
        """Whether of each tier there is what is younger than its limit, and nothing else."""
        left = ages(supervisor, now)
        for tier, limit in limits.items():
            wanted = {age for age in before[tier] if age < limit - goes_early.get(tier, 0) - SLOW_SECONDS}
            if left[tier][0] > limit + goes_late.get(tier, 0) or not wanted <= set(left[tier]):
                return False
        return True

    supervisor.start().wait_ready()
    wait_for(is_kept, 30)
    for setting, value, shorter in (
        ("HISTORY_REPORTS_HOURS", "1", {"reports": HOUR}),
        ("HISTORY_MINUTES_DAYS", "2", {"minutes": 2 * DAY}),
        ("HISTORY_HOURS_DAYS", "3", {"hours": 3 * DAY, "events": 3 * DAY}),
    ):
        before = ages(supervisor, now)
        limits |= shorter
        supervisor.configure(**{setting: value})
        supervisor.signal(signal.SIGHUP)
        wait_for(is_kept, 30)
    assert not supervisor.said("Traceback")


def test_the_budget_wins_over_ages_and_the_disk_has_its_space_again_while_polling_goes_on(
    make_supervisor: MakeSupervisor,
) -> None:
    chance = random.Random(7)
    with Fleet(20, network="127.31.0.0/16") as fleet:
        supervisor = make_supervisor(*fleet.names, HISTORY_MAX_GIGABYTES="1", REQUEST_TIMEOUT="5")
        history = supervisor.directory / "history.db"
        now = time.time()
        remember(history, [now - 3000 + second for second in range(3000)], lambda: chance.randbytes(16000).hex())

        def stored_bytes() -> int:
            return sum(file.stat().st_size for file in supervisor.directory.glob("history.db*"))

        def told(name: str) -> int:
            with Reader(history) as reader:
                return sum(1 for _ in reader.reports(name, 0, time.time() + HOUR))

        before = stored_bytes()
        assert before > 50_000_000
        supervisor.start().wait_ready()
        wait_for(lambda: all(told(name) for name in fleet.names), 30)
        assert told(OLD) == 3000
        since = {name: told(name) for name in fleet.names}
        supervisor.configure(HISTORY_MAX_GIGABYTES="0.012")
        began = time.monotonic()
        supervisor.signal(signal.SIGHUP)
        wait_for(lambda: stored_bytes() < 12_000_000, 60)
        took = time.monotonic() - began
        asked = [one["asked"]["/getmetrics"] for one in fleet.statement()["agents"].values()]
        assert supervisor.process.poll() is None
        # It went in many small pieces, and no agent had to wait for more than a few of them.
        assert took > 3
        gaps = [later - at for times in asked for at, later in pairwise(times) if at > began - 1]
        assert max(gaps) < took / 3
        # The one with far too much lost what it had; the others nothing, and they go on.
        assert told(OLD) < 1000
        assert all(told(name) >= since[name] for name in fleet.names)
        wait_for(lambda: all(told(name) > since[name] for name in fleet.names), 30)
        assert not supervisor.said("Traceback")
