"""Asks one agent from here, step by step: the first step that fails says what is wrong, and what to do about it."""

import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from monitoring_agent.shared import wire
from monitoring_agent.shared.address import join
from monitoring_agent.shared.journal import printable
from monitoring_supervisor import answers, vitals
from monitoring_supervisor.agent_client import NOT_ALLOWED, is_not_allowed, why_no_tls
from monitoring_supervisor.latest import Latest, Unusable
from monitoring_supervisor.model import Question, Target
from monitoring_supervisor.settings import Settings

MAX_LETTERS = 300
NAME, TCP, TLS, ALLOWED, TOKEN, HEALTH, REPORT = "name", "TCP", "TLS", "allow-list", "token", "health", "report"
STEPS = (NAME, TCP, TLS, ALLOWED, TOKEN, HEALTH, REPORT)


NO_TLS = "not used: the address does not begin with https://"
NO_TOKEN = "not tried: it is not on the whitelist, and the token goes to nobody else; --send-token sends it"
ALLOW = (
    "On the agent's machine: add this machine's address, as the step TCP shows it, to AGENT_ALLOW;"
    " then systemctl reload monitoring-agent."
)


@dataclass(frozen=True)
class Step:
    """One step and what came of it: `ok`, `failed` with a remedy, or `skipped`."""

    name: str
    outcome: str
    detail: str
    remedy: str = ""
    seconds: float | None = None


class Failed(Exception):
    """A step failed; the text says how."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


class _TooLong(Exception):
    """The time for the step is over."""


class Probe:
    """One agent that is asked. `steps` goes as far as it gets, and skips the rest, and the token if it is not sent."""

    def __init__(self, target: Target, settings: Settings, *, sends_token: bool) -> None:
        self._target = target
        self._sends_token = sends_token
        self._settings = settings
        self._addresses: list[str] = []
        self._health: tuple[int, bytes] = (0, b"")
        self._metrics: tuple[int, bytes] = (0, b"")
        self._actions: dict[str, Callable[[], str | None]] = {
            NAME: self._resolve,
            TCP: self._connect,
            TLS: self._shake_hands,
            ALLOWED: self._ask_to_be_let_in,
            TOKEN: self._show_the_token,
            HEALTH: self._read_health,
            REPORT: self._read_report,
        }

    def steps(self) -> Iterator[Step]:
        """Each step as soon as it is done."""
        failed = ""
        for name in STEPS:
            if failed:
                yield Step(name, "skipped", f"not tried, because the step {failed} failed")
                continue
            began = time.monotonic()
            try:
                with _at_most(self._settings.timeout_seconds):
                    detail = self._actions[name]()
            except Failed as error:
                failed = name
                yield Step(name, "failed", str(error), error.remedy, time.monotonic() - began)
            except _TooLong:
                failed = name
                yield Step(name, "failed", *_too_long(name, self._settings.timeout_seconds), time.monotonic() - began)
            else:
                if detail is None:
                    yield Step(name, "skipped", NO_TLS if name == TLS else NO_TOKEN)
                else:
                    yield Step(name, "ok", detail, "", time.monotonic() - began)

    @property
    def _where(self) -> str:
        return join(self._target.host, self._target.port)

    def _resolve(self) -> str:
        host = self._target.host
        try:
            found = socket.getaddrinfo(host, self._target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Failed(
                f"{host} has no address: {getattr(error, 'strerror', None) or error}",
                f"Look at: getent hosts {host}. Mend DNS or /etc/hosts, or put the address itself on the whitelist.",
            ) from None
        self._addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        return f"{host} is an address" if self._addresses == [host] else f"{host} is {', '.join(self._addresses)}"

    def _connect(self) -> str:
        last: OSError | None = None
        for address in self._addresses:
            try:
                with socket.create_connection((address, self._target.port)) as sock:
                    own = sock.getsockname()[0]
                return f"connected to {join(address, self._target.port)}, from {own}"
            except ConnectionRefusedError as error:
                last = error
            except OSError as error:
                last = last or error
        assert last is not None
        if isinstance(last, ConnectionRefusedError):
            raise Failed(
                "connection refused, nothing listens at the port",
                "On the agent's machine: systemctl status monitoring-agent, and ss -ltn. As delivered the agent listens"
                f" on 127.0.0.1 alone; AGENT_LISTEN must name {self._where}.",
            )
        raise Failed(last.strerror or str(last), f"Is there a route to it? Try: ip route get {self._target.host}.")

    def _shake_hands(self) -> str | None:
        if not self._target.tls:
            return None
        context = self._settings.tls or ssl.create_default_context()
        try:
            with (
                socket.create_connection((self._addresses[0], self._target.port)) as sock,
                context.wrap_socket(sock, server_hostname=self._target.host) as secured,
            ):
                # In TLS 1.3 the agent looks at our certificate when we are done, and says so with its first answer.
                secured.sendall(f"GET {self._settings.health_path} HTTP/1.1\r\nHost: a\r\n\r\n".encode("ascii"))
                secured.recv(1)
                until = time.strftime("%Y-%m-%d", time.localtime(_valid_until(secured)))
                return f"{secured.version()}, the certificate is valid for {self._target.host} until {until}"
        except ssl.SSLError as error:
            raise self._no_tls(error) from None
        except OSError as error:
            raise Failed(f"no TLS: {error.strerror or error}", self._remedy(0)) from None

    def _no_tls(self, error: ssl.SSLError) -> Failed:
        if is_not_allowed(error):
            return Failed(NOT_ALLOWED, ALLOW)
        text = why_no_tls(error) or error.reason or str(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            ca = self._settings.tls_files.ca
            whom = f"TLS_CA here is {ca}" if ca else "TLS_CA is empty here, so that the system's authorities count"
            remedy = f"{whom}. Make the agent a certificate for this name: monitoringctl enroll {self._target.host}."
            return Failed(text, remedy)
        if "certificate" in text:
            return Failed(text, "Make one: monitoringctl enroll --here; then set TLS_CERT and TLS_KEY.")
        return Failed(text, "On the agent's machine: set TLS_CERT and TLS_KEY; then systemctl reload monitoring-agent.")

    def _ask_to_be_let_in(self) -> str:
        self._health = self._get(self._settings.health_path, with_token=False)
        status, body = self._health
        if status == 403:
            raise Failed(f"HTTP status 403{_said(body)}", ALLOW)
        if status == 400:
            raise Failed(f"HTTP status 400{_said(body)}", self._remedy(status))
        return "this machine may ask"

    def _show_the_token(self) -> str | None:
        if not self._sends_token:
            return None
        self._metrics = self._get(self._settings.metrics_path, with_token=True)
        status, body = self._metrics
        if status == 401:
            raise Failed(
                f"HTTP status 401{_said(body)}",
                "The two machines have different tokens. Copy this machine's /etc/monitoring/token to the agent's, and"
                " there: systemctl reload monitoring-agent.",
            )
        return "the token is accepted"

    def _read_health(self) -> str:
        status, body = self._health
        failure = answers.judge(Question.HEALTH, status, body)
        if failure:
            raise Failed(failure.detail, self._remedy(status))
        return "the agent says that it is well"

    def _read_report(self) -> str | None:
        if not self._sends_token:
            return None
        status, body = self._metrics
        failure = answers.judge(Question.METRICS, status, body)
        if failure:
            raise Failed(failure.detail, self._remedy(status))
        try:
            latest = Latest()
            latest.take(body)
        except Unusable as error:
            raise Failed(str(error), self._remedy(status)) from None
        broken = [name for name, one in _collectors(latest.document) if not one.get("ok")]
        trouble = f"; without {printable(', '.join(broken), 100)}, which failed" if broken else ""
        host = vitals.hostname(latest.document) or "a machine without a name"
        return f"{len(body)} bytes from {host}{trouble}"

    def _remedy(self, status: int) -> str:
        if status == 404:
            return "HEALTHROOT and METRICSROOT must be the same here and there; or something else answers at this port."
        if status in {500, 503}:
            return "On the agent's machine: journalctl -u monitoring-agent -n 20."
        return "Is it monitoring-agent that answers at this port, and of the same version?"

    def _get(self, path: str, *, with_token: bool) -> tuple[int, bytes]:
        """Status and body of one answer, whatever it says."""
        url = f"{'https' if self._target.tls else 'http'}://{self._where}{path}"
        headers = {"Accept": "application/json"}
        if with_token:
            headers["Authorization"] = wire.bearer(self._settings.token)
        with requests.Session() as session:
            session.trust_env = False  # the supervisor goes through no proxy either
            files = self._settings.tls_files
            session.verify = str(files.ca) if files.ca else True
            session.cert = (str(files.cert), str(files.key)) if files.cert else None
            try:
                with session.get(url, headers=headers, allow_redirects=False, stream=True) as response:
                    body = b""
                    for part in response.iter_content(65536):
                        body += part
                        if len(body) > wire.MAX_BODY_BYTES:
                            text = f"the answer is larger than {wire.MAX_BODY_BYTES} bytes"
                            raise Failed(text, self._remedy(response.status_code))
                    return response.status_code, body
            except requests.RequestException as error:
                reason = printable(str(error), MAX_LETTERS)
                raise Failed(f"no HTTP answer: {reason}", self._remedy(0)) from None


def _valid_until(secured: ssl.SSLSocket) -> float:
    """In Unix seconds."""
    return ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Give up after so long in total; time limits of sockets and of requests begin anew with each byte."""

    def give_up(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(step: str, seconds: float) -> tuple[str, str]:
    text = f"not done within {seconds:g} s (REQUEST_TIMEOUT)"
    match step:
        case "name":
            return text, "The name server does not answer; see /etc/resolv.conf."
        case "TCP":
            return text, "A firewall drops the packets, or the machine is off. Try: ping; nft list ruleset."
        case "TLS":
            return text, "Does an agent with TLS_CERT listen at this port? On its machine: ss -ltnp."
    return text, "The agent is stuck, or its machine overloaded. There: uptime, and journalctl -u monitoring-agent."


def _said(body: bytes) -> str:
    try:
        text = wire.decode(body).get("error")
    except wire.NotJson:
        return ""
    return f": {printable(text, MAX_LETTERS)}" if isinstance(text, str) else ""


def _collectors(report: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    collectors = (report or {}).get("collectors")
    found = collectors.items() if isinstance(collectors, dict) else ()
    return [(name, one) for name, one in found if isinstance(one, dict)]
