"""Whether what an agent answered is an answer: status and JSON. Pure."""

from monitoring_agent.shared import wire
from monitoring_agent.shared.journal import printable
from monitoring_agent.shared.patch import Document
from monitoring_supervisor.model import Failure, Kind, Question


def read(question: Question, status: int, body: bytes) -> Document | Failure:
    """What an agent answered, or what is wrong with it."""
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
        return document if good else Failure(Kind.NOT_A_REPORT, "the answer to the health check does not say 'ok'")
    return document


def _reason(body: bytes) -> str:
    """What an agent says about its refusal, as far as it says it in JSON."""
    try:
        document = wire.decode(body)
    except wire.NotJson:
        return ""
    text = document.get("reason") or document.get("error")
    return f": {printable(text, 200)}" if isinstance(text, str) else ""
