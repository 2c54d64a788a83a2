"""Follows the settings and the whitelist's files: reads them again when that is wanted, or when a file changed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from monitoring_agent.shared.env import BadSettings
from monitoring_agent.shared.systemd import Notifier
from monitoring_supervisor import settings as supervisor_settings
from monitoring_supervisor import targets
from monitoring_supervisor.model import Target
from monitoring_supervisor.settings import Settings

log = logging.getLogger("monitoring_supervisor")

LOOK_SECONDS = 0.5


class Following:
    """`take` is told of settings that were read again, with what is to be watched by them, and `watch` of the latter
    alone when only a file of the whitelist changed. `describe` says how things are, for systemd.

    Files are read in a thread: they may lie on a dead file server.
    """

    def __init__(
        self,
        config: Path | None,
        settings: Settings,
        take: Callable[[Settings, dict[str, Target]], None],
        watch: Callable[[dict[str, Target]], None],
        notifier: Notifier,
        describe: Callable[[], str],
    ) -> None:
        self._config = config
        self._settings = settings
        self._take = take
        self._watch = watch
        self._notifier = notifier
        self._describe = describe
        self._fingerprint = targets.fingerprint(settings.whitelist_file)
        self._wants_reload = asyncio.Event()
        self._reloads: list[asyncio.Future[list[str]]] = []  # who waits to hear what came of it

    def want_reload(self) -> None:
        """Have the settings read again soon."""
        self._wants_reload.set()

    async def reload(self) -> list[str]:
        """Have them read again, and return the mistakes in them."""
        outcome: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._reloads.append(outcome)
        self.want_reload()
        return await outcome

    async def run(self) -> None:
        """Reload when that is wanted, and look twice a second whether a whitelist file changed.

        A file that just changed may be half written; it is read when it has stayed the same from one look to the next.
        """
        seen = self._fingerprint
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wants_reload.wait(), LOOK_SECONDS)
            if self._wants_reload.is_set():
                self._wants_reload.clear()
                waiting, self._reloads = self._reloads, []
                mistakes = await self._reload()
                for future in waiting:
                    if not future.done():
                        future.set_result(mistakes)
                seen = self._fingerprint
                continue
            before, seen = seen, await asyncio.to_thread(targets.fingerprint, self._settings.whitelist_file)
            if seen == before and seen != self._fingerprint:
                self._fingerprint = seen
                await self._read_whitelist_file()

    async def _reload(self) -> list[str]:
        """Take the new settings if they are right, or else return the mistakes."""
        self._notifier.reloading()
        try:
            settings = await asyncio.to_thread(supervisor_settings.load, self._config)
            fingerprint = await asyncio.to_thread(targets.fingerprint, settings.whitelist_file)
            watched = await asyncio.to_thread(_targets, settings)
            _require_same_places(self._settings, settings)
        except BadSettings as error:
            for mistake in error.mistakes:
                log.error("not reloaded: %s", mistake)
            return error.mistakes
        else:
            self._settings, self._fingerprint = settings, fingerprint
            self._take(settings, watched)
            for doubt in settings.doubts:
                log.warning("%s", doubt)
            log.info("settings reloaded; watching %d agents", len(watched))
            return []
        finally:
            self._notifier.ready(self._describe())

    async def _read_whitelist_file(self) -> None:
        try:
            watched = await asyncio.to_thread(_targets, self._settings)
        except BadSettings as error:
            for mistake in error.mistakes:
                log.error("the agents stay as they were: %s", mistake)
            return
        self._watch(watched)
        log.info("%s changed; watching %d agents", self._settings.whitelist_file, len(watched))


def _require_same_places(before: Settings, after: Settings) -> None:
    """Raise BadSettings unless the files and the socket that are open are still those that are wanted."""
    if after.metrics_file != before.metrics_file:
        raise BadSettings(["METRICS_FILE: a restart is needed to save elsewhere"])
    if after.history_file != before.history_file:
        raise BadSettings(["HISTORY_FILE: a restart is needed to keep it elsewhere"])
    if after.control_socket != before.control_socket:
        raise BadSettings(["CONTROL_SOCKET: a restart is needed to listen elsewhere"])


def _targets(settings: Settings) -> dict[str, Target]:
    return targets.all_targets(settings.whitelist, settings.whitelist_file, settings.agent_port)
