"""The settings that the agent obeys."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared import env, keys, tls
from monitoring_agent.shared.address import Address, IPNetwork


@dataclass(frozen=True)
class Settings:
    """What the agent needs of the settings file, read and checked, and the tokens themselves."""

    listen: tuple[Address, ...]
    allow: tuple[IPNetwork, ...]
    health_path: str
    metrics_path: str
    tokens: tuple[str, ...]
    tls: ssl.SSLContext | None
    tls_fingerprint: tuple[object, ...]
    tls_ends_at: float | None  # of TLS_CERT, in Unix seconds
    log_level: str
    doubts: tuple[str, ...]  # what is right, but hardly what was meant


def load(named: Path | None) -> Settings:
    """Read the settings file (see keys.load) and the token. Raises BadSettings with every mistake."""
    values = keys.load(named)
    files = tls.Files(values["TLS_CERT"], values["TLS_KEY"], values["TLS_CA"])
    fingerprint = tls.fingerprint(files)  # before they are read: a change meanwhile is seen by the next reload
    return Settings(
        listen=values["AGENT_LISTEN"],
        allow=values["AGENT_ALLOW"],
        health_path=values["HEALTHROOT"],
        metrics_path=values["METRICSROOT"],
        tokens=keys.read_tokens(values["TOKEN_FILE"]),
        tls=tls.serving(files),
        tls_fingerprint=fingerprint,
        tls_ends_at=tls.ends_at(files),
        log_level=values["LOG_LEVEL"],
        doubts=env.repeated(env.find_file(named)),
    )
