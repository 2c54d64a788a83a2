"""The Flask application: answers with what the sampler already made ready, to those who may ask."""

import re
import ssl
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, HTTPException

from monitoring_agent import exposition, since
from monitoring_agent.access import Access
from monitoring_agent.recall import Report
from monitoring_agent.sampler import Sampler
from monitoring_agent.shared import wire

# A sampler that missed this many beats has stopped.
STALE_SECONDS = 5.0


class Service:
    """What the endpoints speak for. The sampler comes after the fork; `access` and `tls` may be exchanged.

    `terms` are what a connection was let in under: with other ones it has to be made anew.
    """

    def __init__(
        self, access: Access, clock: Callable[[], float] = time.monotonic, tls: ssl.SSLContext | None = None
    ) -> None:
        self.access = access
        self.tls = tls
        self.terms: tuple[object, ...] = ()
        self.sampler: Sampler | None = None
        self.previous: dict[str, Any] | None = None  # how the agent's life before this one ended
        self._clock = clock

    def newest(self) -> Report | None:
        """The newest report of the running sampler."""
        return self.sampler.recall.newest() if self.sampler else None

    def trouble(self) -> str | None:
        """Why the agent is not healthy, or None."""
        report = self.newest()
        if report is None:
            return "no sample has been taken yet"
        age = self._clock() - report.sampled
        return f"the last sample was taken {age:.0f} s ago" if age > STALE_SECONDS else None


def create_app(service: Service, health_path: str, metrics_path: str) -> Flask:
    """The application with its two endpoints at these paths."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # it would answer with a redirect

    @app.get(health_path, provide_automatic_options=False)
    def healthcheck() -> Response:
        knows_more = _authorised(service, required=False)
        trouble = service.trouble()
        answer: dict[str, Any] = {"status": "failing" if trouble else "ok"}
        if trouble:
            answer["reason"] = trouble
        newest = service.newest()
        if knows_more and newest is not None:
            answer |= {"sequence": newest.sequence, "version": wire.VERSION}
            if service.previous is not None:
                answer["previous"] = service.previous
        return _json(answer, 503 if trouble else 200)

    @app.get(metrics_path, provide_automatic_options=False)
    def getmetrics() -> Response:
        _authorised(service, required=True)
        newest = service.newest()
        if newest is None:
            return _json({"error": "no sample has been taken yet"}, 503)
        return Response(_reports(service.sampler, newest), content_type="application/json")

    @app.get("/metrics", provide_automatic_options=False)
    def metrics() -> Response:
        _authorised(service, required=True)
        sampler = service.sampler
        if sampler is None:
            return _json({"error": "no sample has been taken yet"}, 503)
        text = exposition.render(sampler.samples(), sampler.health())
        return Response(text, content_type=exposition.CONTENT_TYPE)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = _json({"error": error.description}, error.code or 500)
        for name, value in error.get_headers():
            if name not in {"Content-Type", "Content-Length"}:
                response.headers[name] = value
        return response

    return app


def _reports(sampler: Sampler | None, newest: Report) -> bytes:
    """The newest report, or what the query asks of the memory. Raises BadRequest."""
    try:
        query = request.args
    except UnicodeDecodeError:  # later versions of werkzeug do not expect that anybody sends such bytes
        raise BadRequest("the query is not UTF-8") from None
    if not query:
        return newest.body
    assert sampler
    recall = sampler.recall
    if "since" in query:
        return since.whole(recall, _number("since"))
    step = _number("step") if "step" in query else 1
    # A sequence of another life means nothing in this one.
    is_known = query.get("life", str(sampler.life)) == str(sampler.life)
    if "layout" in query and "past" not in query:
        held = _number("changes") if is_known and "changes" in query else -1
        return since.moves(recall, held, max(1, step), _layout())
    if "changes" in query:
        return since.changes(recall, _number("changes") if is_known else -1, max(1, step))
    if "past" in query:
        first = _number("past") if is_known else newest.sequence
        return since.past(recall, first, max(1, step), by_numbers="layout" in query)
    return newest.body


def _number(name: str) -> int:
    """A parameter of the query. Raises BadRequest unless it is the sequence of a report, or could be."""
    text = request.args[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRequest(f"{name}={text[:40]!r} is not the sequence of a report")
    return int(text)


def _layout() -> tuple[int, int]:
    """Which layout the asker knows, and how many of its numbers. Raises BadRequest."""
    text = request.args["layout"]
    found = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", text)
    if found is None:
        raise BadRequest(f"layout={text[:40]!r} is not a layout and how many of its numbers are known, such as 1-640")
    return int(found[1]), int(found[2])


class _Unauthorised(HTTPException):
    code = 401

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [("WWW-Authenticate", "Bearer")]


def _authorised(service: Service, *, required: bool) -> bool:
    """Whether the request carries the token. A wrong one is refused even where none is required."""
    authorization = request.headers.get("Authorization")
    if authorization is None:
        if required:
            raise _Unauthorised("the token is missing; send it as 'Authorization: Bearer TOKEN'")
        return False
    if not service.access.has_token(authorization):
        raise _Unauthorised("the token is not the one in this agent's TOKEN_FILE")
    return True


def _json(document: dict[str, Any], status: int) -> Response:
    return Response(wire.encode(document), status=status, content_type="application/json")
