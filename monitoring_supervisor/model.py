"""The words of the supervisor: what it watches, what it heard, and what it thinks of it."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from monitoring_agent.shared.patch import Document


@dataclass(frozen=True, slots=True)
class Target:
    """An agent we watch. `name` is `address:port` as the whitelist means it, and identifies it everywhere."""

    name: str
    host: str
    port: int
    tls: bool = False
    labels: tuple[tuple[str, str], ...] = ()


class Question(Enum):
    """What an agent is asked."""

    HEALTH = "health check"
    METRICS = "collection of metrics"
    PAST = "what is missing of its past"

    # Members are keys of the schedule at every poll; Enum's own hash is computed in Python.
    __hash__ = object.__hash__


class Kind(StrEnum):
    """How a question can fail."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NAME_NOT_FOUND = "name_not_found"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_ANSWER = "timeout_answer"
    TLS = "tls"
    HTTP_STATUS = "http_status"
    TOO_LARGE = "too_large"
    NOT_A_REPORT = "not_a_report"
    UNAUTHORISED = "unauthorised"


# Failures of a collection of metrics after which the agent may well be healthy: it can be reached.
REACHED = frozenset({Kind.HTTP_STATUS, Kind.TOO_LARGE, Kind.NOT_A_REPORT, Kind.UNAUTHORISED, Kind.TIMEOUT_ANSWER})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question failed; `detail` is a clause for people, on one line."""

    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """One attempt to ask, good or bad; `body` is what came.

    `ours` says that the attempt failed for want of something of our own, and tells nothing of the agent.
    """

    target: Target
    question: Question
    failure: Failure | None = None
    body: bytes = b""
    ours: str | None = None


class State(StrEnum):
    """What we think of an agent."""

    NEW = "new"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Listing(StrEnum):
    """Which list an agent is on."""

    WHITE = "white"
    BLACK = "black"


@dataclass(frozen=True, slots=True)
class Standing:
    """What we think of an agent and what that rests on. Times are Unix seconds.

    `since` is when the state began; None for an agent that is down and was never seen.
    `metrics_only` says that `failure` is about the metrics alone: the agent can be reached.
    """

    state: State
    since: float | None
    failures: int = 0
    successes: int = 0
    failure: Failure | None = None
    failing_since: float | None = None
    metrics_only: bool = False

    @property
    def listing(self) -> Listing:
        """Down is the blacklist; everything else is watched."""
        return Listing.BLACK if self.state is State.DOWN else Listing.WHITE


class Reason(Enum):
    """What a judgement concluded."""

    NOTHING = "nothing changed"
    FIRST_ANSWER = "it answered for the first time"
    NEVER_ANSWERED = "it has not answered since it is watched"
    WENT_DOWN = "it stopped answering"
    FAILED_ONCE = "a check failed"
    RECOVERED = "it answers again, before it was given up"
    CAME_BACK = "it answers again"
    METRICS_UNUSABLE = "its metrics cannot be used, though it is healthy"
    METRICS_USABLE = "its metrics can be used again"


@dataclass(frozen=True, slots=True)
class Move:
    """A change of standing, with the reason; for the journal. One that went down has the report that came last."""

    target: Target
    before: Standing
    after: Standing
    reason: Reason
    at: float
    report: Document | None = None

    @property
    def changes_list(self) -> bool:
        """Whether the agent goes to the other list."""
        return self.before.listing is not self.after.listing


@dataclass(frozen=True, slots=True)
class Policy:
    """How many checks in a row decide."""

    blacklist_after: int = 3
    whitelist_after: int = 2


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long history is kept, in seconds of age by tier, and how large its file may become, in bytes."""

    reports_seconds: float = 48 * 3600.0
    minutes_seconds: float = 30 * 86400.0
    hours_seconds: float = 730 * 86400.0
    max_bytes: int = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often an agent is asked, in seconds; None is not at all.

    `recheck` wants the first health check one of these intervals from now, not at the agent's fixed offset.
    """

    health_seconds: float
    metrics_seconds: float | None
    recheck: bool = False
