"""All agents that are watched, and what is known of each. Applies the judgements; no I/O."""

from dataclasses import dataclass, field

from monitoring_supervisor.large import LargeAnswers
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.model import (
    Failure,
    Kind,
    Listing,
    Move,
    Policy,
    Question,
    Reason,
    Scrape,
    Standing,
    State,
    Target,
)
from monitoring_supervisor.roster import judge

# For how long an agent that was taken off the whitelist is not forgotten.
REMEMBERED_SECONDS = 600.0


@dataclass(slots=True)
class Agent:
    """One agent. Times are Unix seconds of the last good answer."""

    target: Target
    standing: Standing
    last_health: float | None = None
    last_metrics: float | None = None
    latest: Latest = field(default_factory=Latest)
    asked: bool = False


class Fleet:
    """The agents by name, in the order of their names.

    `known` are agents as they were before a restart: one that is watched again goes on from there. So does one that
    was taken off the whitelist for a short time, as happens while the file is written anew.
    """

    def __init__(self, policy: Policy, known: dict[str, Agent], large: LargeAnswers | None = None) -> None:
        self.policy = policy
        self.agents: dict[str, Agent] = {}
        self._large = large or LargeAnswers()
        self._known: dict[str, tuple[Agent, float]] = {name: (agent, float("inf")) for name, agent in known.items()}

    def watch(self, targets: dict[str, Target], now: float) -> tuple[list[str], list[Agent]]:
        """Make these the targets. Returns the names whose connections are to end, and the agents that need one.

        An agent that stays keeps its standing and, unless it is to be reached another way, its connection.
        """
        before = self.agents
        end = [name for name, agent in before.items() if name not in targets or targets[name].tls != agent.target.tls]
        known = {name: agent for name, (agent, until) in self._known.items() if until > now}
        self.agents = {}
        for name, target in sorted(targets.items()):
            agent = before.get(name) or known.get(name) or Agent(target, Standing(State.NEW, now))
            agent.target = target
            self.agents[name] = agent
        self._known = {
            name: (agent, now + REMEMBERED_SECONDS) for name, agent in before.items() if name not in targets
        } | {name: one for name, one in self._known.items() if name not in targets and now < one[1] < float("inf")}
        ended = set(end)
        return end, [agent for name, agent in self.agents.items() if name not in before or name in ended]

    def hear(self, scrape: Scrape, now: float) -> Move | None:
        """Take in one attempt. Returns a move if the standing changed in any way."""
        agent = self.agents[scrape.target.name]
        agent.asked = True
        if scrape.ours is not None:
            return None
        failure = scrape.failure or _take(agent, scrape, self._large, now)
        before = agent.standing
        agent.standing, reason = judge(before, scrape.question, failure, self.policy, now)
        if agent.standing is before:
            return None
        # To put a report together takes time, with thousands of agents that fail at once as with one that is huge.
        report = agent.latest.document if reason is Reason.WENT_DOWN else None
        return Move(agent.target, before, agent.standing, reason, now, report)

    def names(self, listing: Listing) -> list[str]:
        """The names on this list, sorted."""
        return [name for name, agent in self.agents.items() if agent.standing.listing is listing]

    def counts(self) -> dict[State, int]:
        """How many agents there are of each state."""
        states = [agent.standing.state for agent in self.agents.values()]
        return {state: states.count(state) for state in State}

    def all_asked(self) -> bool:
        """Whether every agent has answered or failed at least once."""
        return all(agent.asked for agent in self.agents.values())


def _take(agent: Agent, scrape: Scrape, large: LargeAnswers, now: float) -> Failure | None:
    """Take in a good answer, unless it is of no use after all."""
    if scrape.question is Question.HEALTH:
        agent.last_health = now
        return None
    try:
        agent.latest.take(scrape.body, large)
    except Unusable as error:
        return Failure(Kind.NOT_A_REPORT, str(error))
    agent.last_metrics = now
    return None
