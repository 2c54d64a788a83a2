"""All agents out of reach at once."""

from monitoring_supervisor.model import Failure, Kind, Move, Reason, Standing, State, Target
from monitoring_supervisor.outage import Outage

UP = Standing(State.UP, 1.0)
FAILURE = Failure(Kind.UNREACHABLE, "no route")
SUSPECT = Standing(State.SUSPECT, 2.0, failures=1, failure=FAILURE, failing_since=2.0)
DOWN = Standing(State.DOWN, 3.0, failures=3, failure=FAILURE, failing_since=2.0)
NAMES = ["a:1", "b:1", "c:1"]


def move(name: str, before: Standing, after: Standing, reason: Reason, at: float = 10.0) -> Move:
    return Move(Target(name, name, 1), before, after, reason, at)


def all_out(names: list[str]) -> tuple[Outage, list[str | None]]:
    outage = Outage()
    outage.watch(dict.fromkeys(names, UP))
    return outage, [outage.follow(move(name, UP, SUSPECT, Reason.FAILED_ONCE), len(names)) for name in names]


def test_the_last_one_that_fails_makes_it_an_outage_and_the_first_one_back_ends_it() -> None:
    outage, said = all_out(NAMES)
    assert said[:2] == [None, None]
    assert said[2] == "none of 3 agents can be reached; is it the network of this machine?"
    assert outage.since == 10.0
    assert outage.follow(move("b:1", SUSPECT, UP, Reason.RECOVERED), 3) is not None
    assert outage.since is None


def test_two_agents_may_fail_by_themselves() -> None:
    outage, said = all_out(NAMES[:2])
    assert said == [None, None]
    assert outage.since is None


def test_an_agent_that_answers_nonsense_is_reached() -> None:
    outage = Outage()
    nonsense = Standing(State.SUSPECT, 2.0, failures=1, failure=Failure(Kind.HTTP_STATUS, "500"), failing_since=2.0)
    outage.watch({"a:1": UP, "b:1": SUSPECT, "c:1": nonsense})
    assert outage.follow(move("a:1", UP, SUSPECT, Reason.FAILED_ONCE), 3) is None


def test_lines_of_an_outage_are_left_out_and_who_stays_away_is_named_once_afterwards() -> None:
    outage, _ = all_out(NAMES)
    for name in NAMES:
        assert outage.withholds(move(name, SUSPECT, DOWN, Reason.WENT_DOWN), f"{name} is down")
    outage.follow(move("a:1", DOWN, UP, Reason.CAME_BACK, 20.0), 3)
    assert outage.withholds(move("a:1", DOWN, UP, Reason.CAME_BACK), "a:1 is up")
    assert outage.stayed_away(24.0, 5.0) == []
    assert outage.withholds(move("b:1", DOWN, UP, Reason.CAME_BACK), "b:1 is up")
    assert outage.stayed_away(25.0, 5.0) == ["c:1 is down"]
    assert outage.stayed_away(26.0, 5.0) == []
    assert not outage.withholds(move("c:1", DOWN, UP, Reason.CAME_BACK), "c:1 is up")


def test_what_happens_without_an_outage_is_told() -> None:
    outage = Outage()
    outage.watch(dict.fromkeys(NAMES, UP))
    assert not outage.withholds(move("a:1", SUSPECT, DOWN, Reason.WENT_DOWN), "a:1 is down")
    assert not outage.withholds(move("a:1", DOWN, UP, Reason.CAME_BACK), "a:1 is up")
