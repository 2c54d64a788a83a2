"""Whose certificate ends soon: said early, and in one line, since a fleet is often enrolled on one day. Pure."""

import time
from collections.abc import Mapping

from monitoring_agent.shared import certificate

# How the supervisor's own certificate is called among those of agents.
OWN = "this machine (TLS_CERT)"
MAX_NAMED = 3


class Certificates:
    """What was said of each agent's certificate already."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, int]] = {}  # when it ends, and how many of certificate.SOON_DAYS were told

    def look(self, ends: Mapping[str, float], now: float) -> str | None:
        """Take in when the certificates of these agents end, in Unix seconds. Returns what is new to be said of it."""
        news: list[str] = []
        for name, ends_at in ends.items():
            stage = certificate.stage(ends_at, now)
            if stage > self._stage(name, ends_at):
                news.append(name)
            self._said[name] = (ends_at, stage)
        for name in self._said.keys() - ends.keys():
            del self._said[name]
        if not news:
            return None
        news.sort(key=lambda name: (ends[name], name))
        first = time.strftime("%Y-%m-%d", time.localtime(ends[news[0]]))
        named = ", ".join(news[:MAX_NAMED]) + (f" and {len(news) - MAX_NAMED} more" if news[MAX_NAMED:] else "")
        whose = f"the certificate of {named} ends" if len(news) == 1 else f"the certificates of {named} end"
        return f"{whose} on {first}{' or soon after' if news[1:] else ''}; make new ones with monitoringctl enroll"

    def _stage(self, name: str, ends_at: float) -> int:
        before, stage = self._said.get(name, (ends_at, 0))
        return stage if before == ends_at else 0
