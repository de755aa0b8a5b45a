"""The fleet's figures over HTTP, read from Redis when somebody asks, at most once a second."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from worker.environment import clock
from worker.monitoring import metrics
from worker.monitoring.endpoint import EndpointAnswer, Route
from worker.monitoring.fleet import ENDS, SeriesLimits, families
from worker.monitoring.series import Families, Family, exposition, family_of
from worker.monitoring.status import collect
from worker.settings.tree import Settings
from worker.wiring import inbox_of, spool_of

logger = logging.getLogger(__name__)

AGE_SECONDS = 1.0
"""Whoever asks again so soon is given the same figures."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What came and what ended in a project lately, in predictions a second, and how long its backlog will last."""

    received: float
    ended: float
    drain_seconds: float


class Rates:
    """What ended lately in each project, and how long its backlog will last at that rate.

    Args:
        window: seconds that the rate looks back.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._seen: deque[tuple[float, dict[str, tuple[int, int]]]] = deque()

    def drains(self, projects: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, float]:
        """Seconds until each project's backlog is gone; nothing where there was no earlier look."""
        return {name: rate.drain_seconds for name, rate in self.measure(projects, now).items()}

    def measure(self, projects: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, Rate]:
        """The rate of each project since the earliest look of the window; nothing where there was none."""
        counts = {
            name: (one["received"], sum(one[end] for end in ENDS) + one["dead"]) for name, one in projects.items()
        }
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._window:
            self._seen.popleft()
        earlier = self._seen[0] if self._seen else None
        self._seen.append((now, counts))
        if earlier is None or now <= earlier[0]:
            return {}
        return {
            name: _rate(one, counts[name], earlier[1].get(name), now - earlier[0]) for name, one in projects.items()
        }


def _rate(one: Mapping[str, Any], now: tuple[int, int], before: tuple[int, int] | None, seconds: float) -> Rate:
    backlog = one["waiting"] + one["leased"]
    received, ended = ((count - known) / seconds for count, known in zip(now, before or (0, 0), strict=True))
    if backlog <= 0:
        return Rate(received, ended, 0.0)
    return Rate(received, ended, backlog / ended if ended > 0 else float("inf"))


class MetricsExporter:
    """Collects the fleet's figures.

    Args:
        settings: of the fleet.
        window: seconds that rates look back.
    """

    def __init__(self, settings: Settings, window: float) -> None:
        self._settings = settings
        self._spool = spool_of(settings)
        self._inbox = inbox_of(settings)
        self._limits = SeriesLimits(settings.http.max_projects)
        self._rates = Rates(window)
        self._guard = threading.Lock()
        self._collected = float("-inf")
        self._families: list[Family] = []
        self.trouble = ""
        """Why the last look found nothing, empty when it found something."""

    def families(self) -> Iterator[Family]:
        """The figures now; that Redis is away is one of them, and then the only one."""
        with self._guard:
            if clock.monotonic() - self._collected >= AGE_SECONDS:
                self._look()
                self._collected = clock.monotonic()
            yield from self._families

    def routes(self) -> dict[str, Route]:
        """``/metrics``, ``/livez`` and ``/readyz`` of the exporter itself."""
        registry = CollectorRegistry()
        registry.register(Families(self.families))
        return {
            "/metrics": lambda accept: EndpointAnswer(HTTPStatus.OK, *exposition(registry, accept)),
            "/livez": lambda _: _plain_text(HTTPStatus.OK, "live"),
            "/readyz": lambda _: self._ready(),
        }

    def _look(self) -> None:
        try:
            found = collect(self._settings, self._spool, self._inbox)
        except (redis.RedisError, OSError) as error:
            self._families = [family_of(metrics.REDIS_UP, 0.0)]
            self._log_change(f"{type(error).__name__}: {error}"[:200])
            return
        drains = self._rates.drains(found["projects"], clock.monotonic())
        self._families = list(families(found, self._limits, drains))
        self._log_change("")

    def _ready(self) -> EndpointAnswer:
        list(self.families())
        if self.trouble:
            return _plain_text(HTTPStatus.SERVICE_UNAVAILABLE, f"Redis cannot be asked: {self.trouble}")
        return _plain_text(HTTPStatus.OK, "ready")

    def _log_change(self, trouble: str) -> None:
        if trouble and not self.trouble:
            logger.warning("no statistics: %s", trouble, extra={"action": "figures_wait"})
        elif self.trouble and not trouble:
            logger.info("statistics are back", extra={"action": "figures_resumed"})
        self.trouble = trouble


def _plain_text(status: HTTPStatus, message: str) -> EndpointAnswer:
    return EndpointAnswer(status, "text/plain; charset=utf-8", f"{message}\n".encode())
