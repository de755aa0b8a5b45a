"""The fleet's figures as metrics: from what ``status`` collects, for whoever reads it, and over HTTP.

The exporter reads Redis when somebody asks, at most once a second.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from worker.environment import clock
from worker.feedback.drift import State
from worker.monitoring import metrics
from worker.monitoring.endpoint import EndpointAnswer, Route
from worker.monitoring.metrics import Metric
from worker.monitoring.series import OTHER, Families, Family, LabelLimit, Labels, exposition, family_of, plain_text
from worker.monitoring.status import collect
from worker.settings.tree import Settings
from worker.wiring import inbox_of, spool_of

MODELS = 50
"""Most model versions of a project with series of their own: the newest ones."""

CAUSES = 50
STATES = ("delivered", "superseded", "sampled_out", "dead", "dropped", "waiting", "leased")
ENDS = ("delivered", "superseded", "sampled_out", "dropped")
"""Outcomes that are final; dead letters can be replayed, and are a gauge."""

AGREEMENT = {
    metrics.AGREEMENT: "value",
    metrics.AGREEMENT_LOW: "low",
    metrics.AGREEMENT_HIGH: "high",
    metrics.VERDICTS: "verdicts",
    metrics.AUDITS: "audits",
    metrics.OVERDUE: "overdue_audits",
}

Found = Mapping[str, Any]


class SeriesLimits:
    """Which names have a label of their own; kept from scrape to scrape, so that series do not move."""

    def __init__(self, projects: int) -> None:
        self.projects = LabelLimit(projects)
        self.causes = LabelLimit(CAUSES)

    def renew(self, found: Found) -> None:
        """Give places that are free to names that are new, projects with the most traffic first."""
        projects = found["projects"]
        self.projects.keep(projects)
        for project in sorted(projects, key=lambda name: (-projects[name]["received"], name)):
            self.projects.of(project)
        self.causes.keep(found["dead_letters"])
        for cause in found["dead_letters"]:
            self.causes.of(cause)


def families(found: Found, limits: SeriesLimits, drains: Mapping[str, float] | None = None) -> Iterator[Family]:
    """Every metric of the fleet.

    Args:
        found: what :func:`worker.monitoring.status.collect` found.
        limits: of labels.
        drains: by project, seconds until its backlog is gone, where a rate is known.
    """
    limits.renew(found)
    yield family_of(metrics.REDIS_UP, 1.0)
    yield from _totals(found)
    yield from _sources(found)
    yield from _projects(found, limits, drains)
    yield from _dead_letters(found, limits)
    yield from _pauses(found, limits)
    yield from _calls(found)
    yield from _memory(found)
    yield from quality_families(found["feedback"], limits)


def prometheus_text(found: Found, projects: int = 100) -> str:
    """The same in Prometheus' text format; drain times need two looks and are left out."""
    return plain_text(families(found, SeriesLimits(projects)))


def _totals(found: Found) -> Iterator[Family]:
    ledger = found["ledger"]
    yield family_of(metrics.RECEIVED, float(ledger["received"]))
    yield family_of(metrics.PREDICTIONS, {(state,): float(ledger[state]) for state in STATES})
    yield family_of(metrics.CONSERVATION, float(ledger["balance"]))
    yield family_of(metrics.REPLACED, float(found["replaced"] is not None))


def _sources(found: Found) -> Iterator[Family]:
    yield family_of(metrics.IN_THE_INBOX, float(found["in_the_inbox"]))
    yield family_of(metrics.SOURCE_BACKLOG, _by_name(found["backlogs"] | found["source_lags"]))
    yield family_of(metrics.SOURCE_LAG, {("inbox",): found["inbox_oldest_seconds"]})
    yield family_of(metrics.SOURCE_RECEIVED, _by_name(found["sources"]))
    yield family_of(metrics.LOGGED_EVENTS, _by_name(found["pairs"]))
    yield family_of(metrics.INTAKE_PAUSED, float(found["intake_paused"]))


def _by_name(counts: Mapping[str, int]) -> dict[Labels, float]:
    return {(name,): float(count) for name, count in counts.items()}


def _projects(found: Found, limits: SeriesLimits, drains: Mapping[str, float] | None) -> Iterator[Family]:
    projects = [(limits.projects.of(name), one) for name, one in found["projects"].items()]
    yield _summed(metrics.PROJECT_RECEIVED, [((label,), one["received"]) for label, one in projects])
    yield _summed(metrics.ENDED, [((label, end), one[end]) for label, one in projects for end in ENDS])
    lanes = [(label, str(lane), one) for label, one in projects for lane, size in enumerate(one["lanes"]) if size]
    yield _summed(
        metrics.WAITING,
        [
            ((label, lane), max(0, one["lanes"][int(lane)] - one["lanes_leased"][int(lane)]))
            for label, lane, one in lanes
        ],
    )
    yield _summed(metrics.LEASED, [((label, lane), one["lanes_leased"][int(lane)]) for label, lane, one in lanes])
    ages = [((label, lane), one["lanes_oldest_seconds"][int(lane)]) for label, lane, one in lanes]
    yield _greatest(metrics.OLDEST, ages)
    if drains is not None:
        yield _greatest(metrics.DRAIN, [((limits.projects.of(name),), seconds) for name, seconds in drains.items()])


def _dead_letters(found: Found, limits: SeriesLimits) -> Iterator[Family]:
    letters, ages = found["dead_letters"], found["dead_letters_oldest_seconds"]
    yield _summed(metrics.DEAD, [((limits.causes.of(cause),), count) for cause, count in letters.items()])
    yield _greatest(metrics.DEAD_OLDEST, [((limits.causes.of(cause),), age) for cause, age in ages.items()])
    yield family_of(metrics.EXPIRED, float(found["dead_letters_expired"]))
    yield family_of(metrics.ENDING, float(found["dead_letters_notice"] is not None))


def _pauses(found: Found, limits: SeriesLimits) -> Iterator[Family]:
    rows = []
    for pause in found["pauses"]:
        scope, _, name = pause["scope"].partition(":")
        project = limits.projects.of(name) if scope == "project" else ""
        rows.append(((scope, project, pause["kind"]), pause["seconds"]))
    yield family_of(metrics.PAUSED, float(len(rows)))
    yield _summed(metrics.PAUSES, [(labels, 1.0) for labels, _ in rows])
    yield _greatest(metrics.PAUSE_AGE, rows)


def _calls(found: Found) -> Iterator[Family]:
    budget = found["budget"]
    yield family_of(metrics.BUDGET_USED, float(budget["used"]) if budget else None)
    yield family_of(metrics.BUDGET_LIMIT, float(budget["limit"]) if budget else None)
    yield family_of(metrics.BUDGET_PENALTY, float(budget["penalised_for"]) if budget else None)
    rows = [((one["operation"], one["outcome"]), one) for one in found["calls"]]
    yield _summed(metrics.CALLS, [(labels, one["calls"]) for labels, one in rows])
    yield _summed(metrics.REPEATED, [(labels, one["repeats"]) for labels, one in rows])


def _memory(found: Found) -> Iterator[Family]:
    used, limit = found["memory"]["used"], found["memory"]["limit"]
    yield family_of(metrics.MEMORY_USED, float(used))
    yield family_of(metrics.MEMORY_LIMIT, float(limit) if limit else None)
    yield family_of(metrics.MEMORY_RATIO, used / limit if limit else None)


def quality_families(summaries: Mapping[str, Mapping[str, Any]], limits: SeriesLimits) -> Iterator[Family]:
    """Agreement, audits and drift by project and model version.

    They cannot be summed: of projects and model versions beyond the limits nothing is shown.
    """
    feedback = {name: one for name, one in summaries.items() if limits.projects.of(name) != OTHER}
    rows = [
        (project, model, row)
        for project, one in feedback.items()
        for model, row in list(one["models"].items())[-MODELS:]
    ]
    for metric, key in AGREEMENT.items():
        known = [((project, model), float(row[key])) for project, model, row in rows if row[key] is not None]
        yield _greatest(metric, known)
    yield family_of(
        metrics.DRIFT,
        {
            (project, model, detector): float(state == State.RAISED)
            for project, model, row in rows
            for detector, state in row["drift"].items()
        },
    )
    yield family_of(
        metrics.UNREAD,
        {
            (project, state): float(one.get("label_files", {}).get(state, 0))
            for project, one in feedback.items()
            for state in ("waiting", "unreadable")
        },
    )
    ages = [((project,), round(max(0.0, clock.now() - one["at"]), 1)) for project, one in feedback.items()]
    yield _greatest(metrics.REPORT_AGE, ages)
    models = sum(max(0, len(one["models"]) - MODELS) for one in feedback.values())
    left_out = {"project": limits.projects.left_out, "cause": limits.causes.left_out, "model": models}
    yield family_of(metrics.LEFT_OUT, {(label,): float(count) for label, count in left_out.items()})


def _summed(metric: Metric, rows: Sequence[tuple[Labels, float]]) -> Family:
    values: dict[Labels, float] = {}
    for labels, value in rows:
        values[labels] = values.get(labels, 0.0) + value
    return family_of(metric, values)


def _greatest(metric: Metric, rows: Sequence[tuple[Labels, float]]) -> Family:
    values: dict[Labels, float] = {}
    for labels, value in rows:
        values[labels] = max(values.get(labels, value), value)
    return family_of(metric, values, merge=max)


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
