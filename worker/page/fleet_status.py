"""The fleet's status for the page: what ``status`` collects, at most once a second, and the rates since earlier."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import redis

from worker.environment import clock
from worker.monitoring.exporter import Rate, Rates
from worker.monitoring.roster import Presence
from worker.monitoring.status import collect
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.wiring import inbox_of

logger = logging.getLogger(__name__)

AGE_SECONDS = 1.0
WINDOW_SECONDS = 300.0
WATCH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found, the rate of each project as far as it is known, and when (seconds since the epoch)."""

    found: dict[str, Any]
    rates: dict[str, Rate]
    at: float


class FleetStatus:
    """Looks at the fleet; threads share it.

    Args:
        settings: of the fleet.
        spool: to ask.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._inbox = inbox_of(settings)
        self._rates = Rates(WINDOW_SECONDS)
        self._guard = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._looked = float("-inf")

    def snapshot(self) -> Snapshot:
        """The figures, at most a second old. Raises redis.RedisError."""
        with self._guard:
            if self._snapshot is None or clock.monotonic() - self._looked > AGE_SECONDS:
                found = collect(self._settings, self._spool, self._inbox)
                self._looked = clock.monotonic()
                self._snapshot = Snapshot(found, self._rates.measure(found["projects"], self._looked), clock.now())
            return self._snapshot

    def watch(self, stop: threading.Event, presence: Presence) -> None:
        """Look now and then although nobody asks, so that rates are known when somebody does; until stopped."""
        while True:
            try:
                presence.tick()
                self.snapshot()
            except (redis.RedisError, OSError) as error:
                logger.debug("not looked: %s", error, extra={"action": "figures_wait"})
            if clock.wait(stop, WATCH_SECONDS):
                presence.end()
                return
