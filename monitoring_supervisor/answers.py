"""Whether what an agent answered is an answer. Pure."""

from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_supervisor.model import Failure, Kind, Question


def judge(question: Question, status: int, body: bytes) -> Failure | None:
    """What is wrong with an answer. A report is looked into later (see latest.py)."""
    if status in {401, 403}:
        return Failure(Kind.UNAUTHORISED, f"HTTP status {status}{_reason(body)}")
    if status != 200:
        return Failure(Kind.HTTP_STATUS, f"HTTP status {status}{_reason(body)}")
    if question is not Question.HEALTH:
        return None
    try:
        document = wire.decode(body)
    except wire.NotJson as error:
        return Failure(Kind.NOT_A_REPORT, printable(str(error), 200))
    if document.get("status") != "ok":
        return Failure(Kind.NOT_A_REPORT, "the answer to the health check does not say 'ok'")
    return None


def _reason(body: bytes) -> str:
    """What an agent says about its refusal, as far as it says it in JSON."""
    try:
        document = wire.decode(body)
    except wire.NotJson:
        return ""
    text = document.get("reason") or document.get("error")
    return f": {printable(text, 200)}" if isinstance(text, str) else ""
