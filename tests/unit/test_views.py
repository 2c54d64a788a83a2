"""What the control socket answers about a fleet, in slices."""

import json
from typing import Any

import pytest

from monitoring_supervisor import views
from monitoring_supervisor.fleet import Agent, Fleet
from monitoring_supervisor.latest import Latest
from monitoring_supervisor.model import Failure, Kind, Policy, Standing, State, Target

NOW = 2000.0
STANDINGS = {
    "up": Standing(State.UP, 1000.0),
    "new": Standing(State.NEW, 1000.0),
    "down": Standing(State.DOWN, 1900.0, 3, 0, Failure(Kind.REFUSED, "connection refused"), 1890.0),
}


def report(name: str, **sections: Any) -> dict[str, Any]:
    return {"schema": 1, "sequence": 1, "collected_at": 1.0, "host": {"hostname": name}, **sections}


def agent(number: int, state: str = "up", **sections: Any) -> Agent:
    target = Target(f"10.0.0.{number}:5000", f"10.0.0.{number}", 5000)
    return Agent(target, STANDINGS[state], latest=Latest(report(f"host-{number}", **sections)))


def fleet(*agents: Agent) -> Fleet:
    made = Fleet(Policy(), {})
    made.agents = {one.target.name: one for one in agents}
    return made


def answer(of: Fleet, **request: Any) -> Any:
    return json.loads(b"".join(views.answer(request, of, {"version": "1"}, NOW)))


def test_every_answer_is_one_line_however_many_agents_there_are() -> None:
    many = fleet(*(agent(number) for number in range(views.SLICE_AGENTS * 3 + 7)))
    for request in ({"ask": "agents"}, {"ask": "status"}, {"ask": "top", "by": "cpu", "limit": 5}, {"ask": "names"}):
        text = b"".join(views.answer(request, many, {}, NOW))
        assert text.count(b"\n") == 1
        assert text.endswith(b"\n")
    assert len(answer(many, ask="agents")["agents"]) == len(many.agents)


def test_no_piece_of_an_answer_is_more_than_a_slice() -> None:
    many = fleet(*(agent(number) for number in range(views.SLICE_AGENTS * 3)))
    for request in ({"ask": "agents"}, {"ask": "status"}, {"ask": "top", "by": "cpu", "limit": 5}, {"ask": "names"}):
        assert len(list(views.answer(request, many, {}, NOW))) >= 3


def test_an_agent_that_was_taken_off_while_the_answer_is_given_does_no_harm() -> None:
    shrinking = fleet(*(agent(number) for number in range(views.SLICE_AGENTS * 2)))
    pieces = views.answer({"ask": "agents"}, shrinking, {}, NOW)
    first = next(pieces)
    shrinking.agents = {}
    json.loads(first + b"".join(pieces))


@pytest.mark.parametrize(
    ("by", "first"),
    [("cpu", 2), ("memory", 3), ("load", 3), ("disk", 2), ("in", 2), ("out", 3), ("name", 1), ("state", 4)],
)
def test_top_has_first_what_is_sorted_by(by: str, first: int) -> None:
    def used(cpu: float, memory: float, load: float, disk: float, received: float, sent: float) -> dict[str, Any]:
        return {
            "cpu": {"busy_percent": cpu},
            "memory": {"used_percent": memory},
            "load": {"load_1m": load},
            "filesystems": {"/": {"used_percent": disk}},
            "network": {"eth0": {"received_bytes_per_second": received, "sent_bytes_per_second": sent}},
        }

    busy = fleet(
        agent(1),
        agent(2, **used(90, 1, 1, 80, 9e6, 1)),
        agent(3, **used(10, 99, 7, 5, 1, 9e6)),
        agent(4, "down", **used(100, 100, 100, 100, 9e9, 9e9)),
    )
    assert next(iter(answer(busy, ask="top", by=by, limit=1)["agents"])) == f"10.0.0.{first}:5000"


def test_equals_are_in_the_order_of_their_names_as_people_count() -> None:
    names = list(answer(fleet(agent(10), agent(9), agent(100)), ask="top", by="state", limit=3)["agents"])
    assert names == ["10.0.0.9:5000", "10.0.0.10:5000", "10.0.0.100:5000"]


def test_vitals_are_what_the_report_says_and_nothing_where_it_says_nonsense() -> None:
    network = {"lo": {"received_bytes_per_second": 9e9, "sent_bytes_per_second": 9e9}, "eth0": 5, "eth1": {}}
    odd = agent(1, cpu={"busy_percent": True}, memory=[], load={"load_1m": 10**400}, network=network, filesystems="no")
    assert answer(fleet(odd), ask="agents")["agents"]["10.0.0.1:5000"]["vitals"] == {}
    disks = {"/": {"used_percent": 20}, "/srv\x1b": {"used_percent": 93.5}, "/nfs": {"state": "hung"}}
    full = agent(2, filesystems=disks)
    vitals = answer(fleet(full), ask="agents")["agents"]["10.0.0.2:5000"]["vitals"]
    assert vitals == {"disk_percent": 93.5, "disk": "/srv\\x1b", "hung": 1}


def test_a_name_that_two_machines_have_is_not_guessed_at() -> None:
    twins = fleet(agent(1), agent(2))
    twins.agents["10.0.0.2:5000"].latest = Latest(report("host-1"))
    with pytest.raises(views.BadRequest, match=r"may be 10\.0\.0\.1:5000, 10\.0\.0\.2:5000") as caught:
        answer(twins, ask="agent", name="host-1")
    assert caught.value.kind == "ambiguous"
    assert list(answer(twins, ask="agent", name="10.0.0.2")["agents"]) == ["10.0.0.2:5000"]


@pytest.mark.parametrize("state", [[], {}, 1, True, "UP"])
def test_a_state_that_is_none_is_refused_in_words(state: object) -> None:
    with pytest.raises(views.BadRequest, match="'state' is none of new, up, suspect, down"):
        answer(fleet(agent(1)), ask="agents", state=state)
