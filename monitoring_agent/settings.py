"""The settings that the agent obeys."""

from dataclasses import dataclass
from pathlib import Path

from monitoring_agent.shared import keys
from monitoring_agent.shared.address import Address, IPNetwork


@dataclass(frozen=True)
class Settings:
    """What the agent needs of the settings file, read and checked, and the tokens themselves."""

    listen: tuple[Address, ...]
    allow: tuple[IPNetwork, ...]
    health_path: str
    metrics_path: str
    tokens: tuple[str, ...]
    log_level: str


def load(named: Path | None) -> Settings:
    """Read the settings file (see keys.load) and the token. Raises BadSettings with every mistake."""
    values = keys.load(named)
    return Settings(
        listen=values["AGENT_LISTEN"],
        allow=values["AGENT_ALLOW"],
        health_path=values["HEALTHROOT"],
        metrics_path=values["METRICSROOT"],
        tokens=keys.read_tokens(values["TOKEN_FILE"]),
        log_level=values["LOG_LEVEL"],
    )
