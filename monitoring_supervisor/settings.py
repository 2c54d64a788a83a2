"""The settings that the supervisor obeys."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared import env, keys, tls
from monitoring_agent.shared.address import Address
from monitoring_supervisor.model import Policy, Retention


@dataclass(frozen=True)
class Settings:
    """What the supervisor needs of the settings file, read and checked, and the token itself."""

    whitelist: tuple[Address, ...]
    whitelist_file: str
    agent_port: int
    health_seconds: float
    metrics_seconds: float
    health_path: str
    metrics_path: str
    timeout_seconds: float
    policy: Policy
    metrics_file: Path
    history_file: Path | None
    retention: Retention
    control_socket: Path
    token: str
    tls_files: tls.Files
    tls: ssl.SSLContext | None  # None is the system's, made when it is needed
    tls_fingerprint: tuple[object, ...]
    tls_ends_at: float | None  # of TLS_CERT, in Unix seconds
    log_level: str
    doubts: tuple[str, ...]  # what is right, but hardly what was meant


def load(named: Path | None) -> Settings:
    """Read the settings file (see keys.load) and the token. Raises BadSettings with every mistake."""
    values = keys.load(named)
    files = tls.Files(values["TLS_CERT"], values["TLS_KEY"], values["TLS_CA"])
    fingerprint = tls.fingerprint(files)  # before they are read: a change meanwhile is seen by the next reload
    # systemd names the directory that it made for the unit (StateDirectory= in systemd.exec(5)).
    state_directory = Path(os.environ.get("STATE_DIRECTORY", keys.DEFAULT_STATE_DIRECTORY))
    return Settings(
        whitelist=values["WHITELIST_AGENT"],
        whitelist_file=values["WHITELIST_FILE"],
        agent_port=values["AGENT_PORT"],
        health_seconds=values["INTERVAL_HEALTH_CHECK"],
        metrics_seconds=values["INTERVAL_METRICS_CHECK"],
        health_path=values["HEALTHROOT"],
        metrics_path=values["METRICSROOT"],
        timeout_seconds=values["REQUEST_TIMEOUT"],
        policy=Policy(values["BLACKLIST_AFTER"], values["WHITELIST_AFTER"]),
        metrics_file=state_directory / values["METRICS_FILE"],
        history_file=state_directory / values["HISTORY_FILE"] if values["HISTORY_FILE"] else None,
        retention=Retention(
            reports_seconds=values["HISTORY_REPORTS_HOURS"] * 3600,
            minutes_seconds=values["HISTORY_MINUTES_DAYS"] * 86400,
            hours_seconds=values["HISTORY_HOURS_DAYS"] * 86400,
            max_bytes=int(values["HISTORY_MAX_GIGABYTES"] * 1e9),
        ),
        control_socket=values["CONTROL_SOCKET"],
        token=keys.read_tokens(values["TOKEN_FILE"])[0],
        tls_files=files,
        tls=tls.asking(files) if files.cert or files.key or files.ca else None,
        tls_fingerprint=fingerprint,
        tls_ends_at=tls.ends_at(files),
        log_level=values["LOG_LEVEL"],
        doubts=env.repeated(env.find_file(named)),
    )
