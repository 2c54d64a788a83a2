"""Whether what an agent answered is an answer: status, JSON, and what a report must have. Pure."""

from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_supervisor.model import Failure, Kind, Question


def check(question: Question, status: int, body: bytes) -> Failure | None:
    """What is wrong with an answer, or None."""
    if status in {401, 403}:
        return Failure(Kind.UNAUTHORISED, f"HTTP status {status}{_reason(body)}")
    if status != 200:
        return Failure(Kind.HTTP_STATUS, f"HTTP status {status}{_reason(body)}")
    try:
        document = wire.decode(body)
    except wire.NotJson as error:
        return Failure(Kind.NOT_A_REPORT, printable(str(error), 200))
    if question is Question.HEALTH:
        good = document.get("status") == "ok"
        return None if good else Failure(Kind.NOT_A_REPORT, "the answer to the health check does not say 'ok'")
    return _check_report(document)


def _check_report(document: dict[str, object]) -> Failure | None:
    if document.get("schema") != wire.SCHEMA:
        return Failure(Kind.NOT_A_REPORT, f"not a report of schema {wire.SCHEMA}")
    for key in ("sequence", "collected_at"):
        if not isinstance(document.get(key), int | float):
            return Failure(Kind.NOT_A_REPORT, f"the report has no number {key!r}")
    return None


def _reason(body: bytes) -> str:
    """What an agent says about its refusal, as far as it says it in JSON."""
    try:
        document = wire.decode(body)
    except wire.NotJson:
        return ""
    text = document.get("reason") or document.get("error")
    return f": {printable(text, 200)}" if isinstance(text, str) else ""
