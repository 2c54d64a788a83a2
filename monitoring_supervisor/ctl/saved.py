"""What the supervisor saved last, asked the same as itself. Read only when it does not run, for it needs much."""

import json
from pathlib import Path
from typing import Any

from monitoring_supervisor import views
from monitoring_supervisor.fleet import Fleet
from monitoring_supervisor.model import Policy
from monitoring_supervisor.store import snapshot


class Unreadable(Exception):
    """The file is there, and no saved state; the text says why."""


def answer(file: Path, request: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The answer (see views), and when that was saved, in Unix seconds. Raises OSError and Unreadable."""
    try:
        saved = snapshot.load(file)
    except snapshot.Damaged as error:
        raise Unreadable(str(error)) from None
    fleet = Fleet(Policy(), {})
    fleet.agents = saved.agents
    try:
        pieces = b"".join(views.answer(request, fleet, saved.supervisor, saved.written_at))
    except views.BadRequest as error:
        pieces = views.refusal(error.kind, str(error))
    return json.loads(pieces), saved.written_at
