"""The agents that are watched, and what is known of each."""

from monitoring_agent.shared import wire
from monitoring_supervisor.fleet import Fleet
from monitoring_supervisor.model import Failure, Kind, Listing, Policy, Question, Scrape, State, Target
from tests.unit.test_latest import ForEver

A, B, C = (Target(f"{name}:5000", name, 5000) for name in "abc")
REPORT = {"schema": 1, "sequence": 7, "collected_at": 5.5}


def watching(*targets: Target) -> Fleet:
    fleet = Fleet(Policy(), {})
    fleet.watch({target.name: target for target in targets}, 1000.0)
    return fleet


def test_who_is_still_watched_keeps_everything() -> None:
    fleet = watching(A, B)
    fleet.hear(Scrape(A, Question.METRICS, body=wire.encode(REPORT)), 1001.0)
    before = fleet.agents[A.name]
    ended, came = fleet.watch({target.name: target for target in (A, C)}, 1002.0)
    assert ended == [B.name]
    assert [agent.target for agent in came] == [C]
    assert fleet.agents[A.name] is before
    assert (before.standing.state, before.latest.document) == (State.UP, REPORT)


def test_new_labels_need_no_new_connection_and_another_scheme_does() -> None:
    fleet = watching(A)
    fleet.hear(Scrape(A, Question.HEALTH), 1001.0)
    labelled = Target(A.name, A.host, A.port, labels=(("role", "db"),))
    assert fleet.watch({A.name: labelled}, 1002.0) == ([], [])
    assert fleet.agents[A.name].target == labelled
    encrypted = Target(A.name, A.host, A.port, tls=True)
    ended, came = fleet.watch({A.name: encrypted}, 1003.0)
    assert (ended, [agent.target for agent in came]) == ([A.name], [encrypted])
    assert fleet.agents[A.name].standing.state is State.UP


def test_a_failed_collection_keeps_the_last_report_and_its_time() -> None:
    fleet = watching(A)
    fleet.hear(Scrape(A, Question.METRICS, body=wire.encode(REPORT)), 1001.0)
    move = fleet.hear(Scrape(A, Question.METRICS, Failure(Kind.REFUSED, "")), 1002.0)
    assert move is not None
    assert not move.changes_list
    agent = fleet.agents[A.name]
    assert (agent.latest.document, agent.last_metrics, agent.last_health) == (REPORT, 1001.0, None)


def test_a_move_has_the_last_report_where_the_agent_went_down_and_else_costs_nothing() -> None:
    fleet = watching(A)
    fleet.hear(Scrape(A, Question.METRICS, body=wire.encode(REPORT)), 1001.0)
    failure = Failure(Kind.REFUSED, "")
    moves = [fleet.hear(Scrape(A, Question.HEALTH, failure), 1002.0 + number) for number in range(3)]
    assert [move.report for move in moves if move is not None] == [None, None, REPORT]


def test_large_answers_of_all_agents_make_each_of_them_rest() -> None:
    large = ForEver()
    fleet = Fleet(Policy(), {}, large)
    fleet.watch({target.name: target for target in (A, B)}, 1000.0)
    for name in ("once", "again"):
        body = wire.encode({**REPORT, "more": {f"{name} {key}": key for key in range(10_000)}})
        for target in (A, B):
            fleet.hear(Scrape(target, Question.METRICS, body=body), 1001.0)
    assert len(large.took) == 2  # the first one of each; the others were not read
    for target in (A, B):
        agent = fleet.agents[target.name]
        assert agent.latest.document is not None
        assert "once 0" in agent.latest.document["more"]
        assert agent.standing.failure is not None
        assert agent.standing.failure.kind is Kind.NOT_A_REPORT


def test_lists_and_counts_follow_the_standings() -> None:
    fleet = watching(B, A, C)
    fleet.hear(Scrape(C, Question.HEALTH), 1001.0)
    moves = [fleet.hear(Scrape(A, Question.HEALTH, Failure(Kind.REFUSED, "")), 1001.0) for _ in range(3)]
    assert moves[-1] is not None
    assert moves[-1].changes_list
    assert fleet.names(Listing.WHITE) == [B.name, C.name]
    assert fleet.names(Listing.BLACK) == [A.name]
    assert fleet.counts() == {State.NEW: 1, State.UP: 1, State.SUSPECT: 0, State.DOWN: 1}
    assert not fleet.all_asked()
    fleet.hear(Scrape(B, Question.HEALTH), 1001.0)
    assert fleet.all_asked()


def test_who_is_off_the_whitelist_for_a_moment_goes_on_from_there() -> None:
    fleet = watching(A, B)
    fleet.hear(Scrape(A, Question.METRICS, body=wire.encode(REPORT)), 1001.0)
    fleet.watch({}, 1002.0)
    fleet.watch({B.name: B}, 1003.0)
    _, came = fleet.watch({A.name: A}, 1010.0)
    assert (came[0].standing.state, came[0].latest.document) == (State.UP, REPORT)
    fleet.watch({}, 1020.0)
    _, came = fleet.watch({A.name: A}, 2000.0)
    assert came[0].standing.state is State.NEW


def test_what_fails_for_want_of_something_of_our_own_is_no_evidence() -> None:
    fleet = watching(A)
    for _ in range(10):
        assert fleet.hear(Scrape(A, Question.METRICS, ours="Too many open files"), 1001.0) is None
    assert fleet.agents[A.name].standing.state is State.NEW


def test_a_clock_that_is_set_an_hour_forward_or_back_moves_nobody_and_counts_no_check_twice() -> None:
    fleet = watching(A, B)
    refused = Failure(Kind.REFUSED, "")
    fleet.hear(Scrape(A, Question.HEALTH), 1001.0)
    fleet.hear(Scrape(B, Question.HEALTH), 1001.0)
    standing = fleet.agents[A.name].standing
    states = []
    for now in (1002.0, 4603.0, 1004.0):
        assert fleet.hear(Scrape(A, Question.HEALTH), now) is None
        fleet.hear(Scrape(B, Question.HEALTH, refused), now)
        states.append(fleet.agents[B.name].standing.state)
    assert fleet.agents[A.name].standing is standing
    assert fleet.agents[A.name].last_health == 1004.0
    assert states == [State.SUSPECT, State.SUSPECT, State.DOWN]
