"""White and black: the judgement of an agent by its answers. Pure: no clock, no I/O.

Health checks and collections of metrics both count. An answer of whatever kind shows that an agent can be reached,
so metrics that cannot be used never blacklist an agent whose health checks are good: it would be down and up in turn
for ever. It stays `suspect`, with the failure, until its metrics are good again.
"""

from dataclasses import replace

from monitoring_supervisor.model import REACHED, Failure, Policy, Question, Reason, Rhythm, Standing, State

RECHECK_SECONDS = 1.0

Judgement = tuple[Standing, Reason]


def judge(standing: Standing, question: Question, failure: Failure | None, policy: Policy, now: float) -> Judgement:
    """What to think of an agent after one more answer (`failure` None) or failure, at `now` in Unix seconds."""
    if failure is None:
        return _judge_good(standing, question, policy, now)
    if standing.state is State.DOWN:
        if standing.failure == failure and standing.successes == 0:
            return standing, Reason.NOTHING
        since = standing.failing_since if _same_kind(standing, failure) else now
        return replace(standing, successes=0, failure=failure, failing_since=since), Reason.NOTHING
    return _judge_bad(standing, question, failure, policy, now)


def _judge_good(standing: Standing, question: Question, policy: Policy, now: float) -> Judgement:
    if standing.state is State.UP:
        return standing, Reason.NOTHING
    up = Standing(State.UP, now)
    if standing.state is State.NEW:
        return up, Reason.FIRST_ANSWER
    if standing.state is State.SUSPECT:
        if not standing.metrics_only:
            return up, Reason.RECOVERED
        if question is Question.HEALTH:
            return standing, Reason.NOTHING
        was_announced = standing.failures >= policy.blacklist_after
        return up, Reason.METRICS_USABLE if was_announced else Reason.RECOVERED
    if standing.successes + 1 >= policy.whitelist_after:
        return up, Reason.CAME_BACK
    return replace(standing, successes=standing.successes + 1), Reason.NOTHING


def _judge_bad(standing: Standing, question: Question, failure: Failure, policy: Policy, now: float) -> Judgement:
    metrics_only = question is Question.METRICS and failure.kind in REACHED
    goes_on = standing.failures > 0 and standing.metrics_only == metrics_only
    worse = Standing(
        state=State.NEW if standing.state is State.NEW and not metrics_only else State.SUSPECT,
        since=standing.since if standing.state in {State.SUSPECT, State.NEW} else now,
        failures=standing.failures + 1 if goes_on else 1,
        failure=failure,
        failing_since=standing.failing_since if goes_on and _same_kind(standing, failure) else now,
        metrics_only=metrics_only,
    )
    if worse.failures >= policy.blacklist_after and not metrics_only:
        if standing.state is State.NEW:
            return replace(worse, state=State.DOWN, since=None), Reason.NEVER_ANSWERED
        return replace(worse, state=State.DOWN, since=now), Reason.WENT_DOWN
    if worse.failures == policy.blacklist_after:
        return worse, Reason.METRICS_UNUSABLE
    return worse, Reason.FAILED_ONCE if worse.failures == 1 else Reason.NOTHING


def _same_kind(standing: Standing, failure: Failure) -> bool:
    return standing.failure is not None and standing.failure.kind is failure.kind


def rhythm(standing: Standing, health_seconds: float, metrics_seconds: float) -> Rhythm:
    """How often to ask an agent of this standing, if an agent in good standing is asked this often.

    A suspect is checked again after a second, and every second. If it cannot be reached it is asked nothing else, so
    that the checks in a row that blacklist it never come at once. One that is down has health checks only.
    """
    if standing.state is State.DOWN:
        return Rhythm(health_seconds, None)
    if standing.state is State.SUSPECT:
        recheck_seconds = min(health_seconds, RECHECK_SECONDS)
        return Rhythm(recheck_seconds, metrics_seconds if standing.metrics_only else None, recheck=True)
    return Rhythm(health_seconds, metrics_seconds)
