"""What one worker says of itself over HTTP: whether it lives, whether it can work, and what it has counted of its work.

Probes answer two questions: would it help to start this worker anew, and can it work now.
"""

from __future__ import annotations

import json
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from worker import __version__
from worker.delivery import AdaptiveLimit, Pause
from worker.environment import clock
from worker.kili import CallRecord
from worker.monitoring import metrics
from worker.monitoring.endpoint import Endpoint, EndpointAnswer, Route
from worker.monitoring.progress import Activity, Progress
from worker.monitoring.series import Counter, Families, Family, LabelLimit, MetricHistogram, exposition, family_of
from worker.settings.groups import Address
from worker.spool import Admission, Arrival, Dead, Leased, Outcome, Settlement

PAUSES_EVERY = 1.0
STALE_SECONDS = 30.0
"""So old may be what the main loop last said of itself."""

ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Reason:
    """What keeps a worker from working: the part concerned, and words for a person."""

    part: str
    reason: str


class Probes:
    """Liveness and readiness of one worker. Answering asks nobody: neither Redis nor Kili nor the broker.

    Args:
        progress: of this worker.
        pauses: reads what is paused; called from the main loop.
        worker: its name in the fleet.
        stop: set when it drains.
    """

    def __init__(
        self, progress: Progress, pauses: Callable[[], Sequence[Pause]], worker: str, stop: threading.Event
    ) -> None:
        self._progress = progress
        self._read_pauses = pauses
        self._worker = worker
        self._stop = stop
        self._troubles: Mapping[str, str] = {"start": "the worker has just started"}
        self._pauses: Sequence[Pause] = ()
        self._beaten = clock.monotonic()
        self._next_pauses = float("-inf")

    def beat(self, troubles: Mapping[str, str]) -> None:
        """Called by the main loop: what is wrong, by part; empty words are no trouble."""
        self._troubles = {part: message for part, message in troubles.items() if message}
        self._beaten = clock.monotonic()
        if self._beaten >= self._next_pauses and not self._troubles:
            self._next_pauses = self._beaten + PAUSES_EVERY
            try:
                self._pauses = self._read_pauses()
            except redis.RedisError as error:
                self._troubles = {"delivery": f"{type(error).__name__}: {error}"[:200]}

    def live(self) -> EndpointAnswer:
        """200 while the worker makes progress; a worker that drains is given its time."""
        stuck = [] if self._stop.is_set() else self._progress.stuck()
        body = {
            "live": not stuck,
            "worker": self._worker,
            "limit_seconds": self._progress.limit,
            "last_done_seconds": {name: round(age, 1) for name, age in self._progress.ages().items()},
            "stuck": [asdict(one) | {"seconds": round(one.seconds, 1)} for one in stuck],
        }
        return _answer(body, ok=not stuck)

    def ready(self) -> EndpointAnswer:
        """200 when nothing keeps the worker from working; else what does. Paused projects are no hindrance."""
        reasons = list(self._reasons())
        body = {
            "ready": not reasons,
            "worker": self._worker,
            "reasons": [asdict(one) for one in reasons],
            "paused_projects": sum(pause.scope.startswith("project:") for pause in self._pauses),
        }
        return _answer(body, ok=not reasons)

    def families(self) -> Iterator[Family]:
        """Both answers as metrics."""
        yield family_of(metrics.LIVE, float(self.live().status == HTTPStatus.OK))
        yield family_of(metrics.READY, float(self.ready().status == HTTPStatus.OK))

    def _reasons(self) -> Iterator[Reason]:
        if self._stop.is_set():
            yield Reason("worker", "draining: it was asked to end")
        silent = clock.monotonic() - self._beaten
        if silent > STALE_SECONDS:
            yield Reason("worker", f"its main loop has not come round for {silent:.0f} s")
        for part, message in self._troubles.items():
            yield Reason(part, message)
        for pause in self._pauses:
            if pause.scope in (ENDPOINT, f"worker:{self._worker}"):
                who = "Kili" if pause.scope == ENDPOINT else "this worker"
                yield Reason(pause.scope.partition(":")[0], f"{who} is paused and probed: {pause.reason}")


def _answer(body: dict[str, Any], *, ok: bool) -> EndpointAnswer:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return EndpointAnswer(status, "application/json; charset=utf-8", json.dumps(body, indent=1).encode() + b"\n")


CAUSES = 50
"""Most causes of dead letters with a series of their own: some come from Kili's words."""

LEASING = frozenset({"due", "acquire", "lease"})
OWN_FAULT = "LocalFault"

COUNTERS = (
    metrics.MESSAGES,
    metrics.ADMITTED,
    metrics.SETTLED,
    metrics.DEAD_LETTERED,
    metrics.SENT_BYTES,
    metrics.RETRIES,
    metrics.RATE_LIMITED,
    metrics.BUDGET_WAIT,
)
HISTOGRAMS = (
    metrics.CALL_SECONDS_OF,
    metrics.CALL_ITEMS,
    metrics.BACKLOG_WAIT,
    metrics.TO_LABEL,
    metrics.TO_VERDICT,
)


class WorkerMonitor:
    """Observes spool, calls, intake and feedback of one process; its threads share it.

    Args:
        stalled_seconds: without progress for so long, the worker is not live.
        projects: most projects with a series of their own.
    """

    def __init__(self, stalled_seconds: float, projects: int) -> None:
        self.progress = Progress(stalled_seconds)
        self._counters = {metric.name: Counter(metric) for metric in COUNTERS}
        self._histograms = {metric.name: MetricHistogram(metric) for metric in HISTOGRAMS}
        self._projects = LabelLimit(projects)
        self._causes = LabelLimit(CAUSES)

    def took(self, source: str, messages: int) -> None:
        """Messages of a source are in hand."""
        if messages:
            self._count(metrics.MESSAGES, messages, source)

    def stepped(self) -> None:
        """Intake has looked for messages, with or without success."""
        self.progress.note_iteration("intake")

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted."""
        for outcome in ("admitted", "superseded", "dead", "sampled_out"):
            number = getattr(result, outcome)
            if number:
                self._count(metrics.ADMITTED, number, "waiting" if outcome == "admitted" else outcome)
        if result.dead and not result.skipped:  # of entries that others admitted the causes are theirs to count
            self._note_causes(Tally(item.cause for one in arrivals for item in one.items if isinstance(item, Dead)))

    def looked(self) -> None:
        """Redis has told which projects are due."""
        self.progress.done(Activity.LEASE)

    def acquired(self, project: str) -> None:
        """A wave begins."""
        self.progress.holds(project)

    def released(self, project: str) -> None:
        """A wave has ended."""
        self.progress.released(project)

    def leased(self, project: str, entries: Sequence[Leased], superseded: int) -> None:
        """Entries were leased."""
        self.progress.moved(project)
        waits: dict[int, list[float]] = {}
        for entry in entries:
            if entry.deliveries == 1:
                waited = (entry.leased_ms - int(entry.entry_id.partition("-")[0])) / 1000
                waits.setdefault(entry.lane, []).append(waited if waited > 0 else 0.0)
        for lane, seconds in waits.items():
            self._histograms[metrics.BACKLOG_WAIT.name].observe(seconds, str(lane))
        if superseded:
            self._count(metrics.SETTLED, superseded, self._projects.of(project), Outcome.SUPERSEDED.value)

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """Outcomes were recorded."""
        self.progress.done(Activity.SETTLE)
        self.progress.moved(project)
        label, delivered = self._projects.of(project), Outcome.DELIVERED
        stamps = [one.entry.stamp for one in settlements if one.outcome is delivered]
        if stamps:
            now = clock.now()
            self._count(metrics.SETTLED, len(stamps), label, delivered.value)
            self._histograms[metrics.TO_LABEL.name].observe([max(0.0, now - stamp / 1e6) for stamp in stamps])
        if len(stamps) < len(settlements):
            others = [one for one in settlements if one.outcome is not delivered]
            for outcome, number in Tally(one.outcome for one in others).items():
                self._count(metrics.SETTLED, number, label, outcome.value)
            self._note_causes(Tally(one.cause for one in others if one.outcome is Outcome.DEAD))

    def failed(self, script: str, error: redis.RedisError) -> None:
        """Redis refused or did not answer."""
        activity = Activity.LEASE if script in LEASING else Activity.SETTLE if script == "settle" else None
        if activity is not None:
            self.progress.failed(activity, f"{type(error).__name__}: {error}")

    def called(self, record: CallRecord) -> None:
        """One exchange with Kili has ended."""
        if record.outcome == OWN_FAULT:
            self.progress.failed(Activity.SEND, f"{record.operation}: {record.outcome}")
        else:
            self.progress.done(Activity.SEND)
        self.progress.moved(record.project)
        operation = record.operation
        self._histograms[metrics.CALL_SECONDS_OF.name].observe((record.seconds,), operation, record.outcome)
        self._count(metrics.SENT_BYTES, record.bytes_sent, operation)
        if record.items and record.outcome == "ok":
            self._histograms[metrics.CALL_ITEMS.name].observe((record.items,), operation)
        if record.attempt > 1:
            self._count(metrics.RETRIES, 1, operation)
        if record.status == 429:
            self._count(metrics.RATE_LIMITED, 1, operation)
        if record.waited > 0:
            self._count(metrics.BUDGET_WAIT, record.waited)

    def observe_delays(self, delays: Sequence[float]) -> None:
        """Humans have answered, so many seconds after the model."""
        self._histograms[metrics.TO_VERDICT.name].observe(delays)

    def families(self) -> Iterator[Family]:
        """What was counted."""
        yield family_of(metrics.BUILD, {(__version__,): 1.0})
        yield family_of(metrics.LAST_DONE, {(name,): age for name, age in self.progress.ages().items()})
        yield family_of(metrics.HELD, float(self.progress.held))
        yield from (counter.family() for counter in self._counters.values())
        yield from (histogram.family() for histogram in self._histograms.values())

    def registry(self, *more: Callable[[], Iterator[Family]]) -> CollectorRegistry:
        """Everything that this process exposes: what was counted, what the process uses, and what ``more`` yield."""
        registry = CollectorRegistry()
        registry.register(Families(self.families))
        for families in more:
            registry.register(Families(families))
        ProcessCollector(registry=registry)
        return registry

    def _count(self, metric: metrics.Metric, number: float, *labels: str) -> None:
        self._counters[metric.name].add(number, *labels)

    def _note_causes(self, causes: Tally[str]) -> None:
        for cause, number in causes.items():
            self._count(metrics.DEAD_LETTERED, number, self._causes.of(cause))


def worker_routes(monitor: WorkerMonitor, probes: Probes, adaptive_limit: AdaptiveLimit) -> dict[str, Route]:
    """``/metrics``, ``/livez`` and ``/readyz`` of one worker."""

    def limits() -> Iterator[Family]:
        yield family_of(metrics.LIMIT, float(adaptive_limit.limit))
        yield family_of(metrics.IN_FLIGHT, float(adaptive_limit.in_flight))

    registry = monitor.registry(probes.families, limits)
    return {
        "/metrics": lambda accept: EndpointAnswer(HTTPStatus.OK, *exposition(registry, accept)),
        "/livez": lambda _: probes.live(),
        "/readyz": lambda _: probes.ready(),
    }


def worker_endpoint(
    listen: str, monitor: WorkerMonitor, probes: Probes, adaptive_limit: AdaptiveLimit
) -> Endpoint | None:
    """The server of one worker; None where it is off."""
    return Endpoint(Address.parse(listen), worker_routes(monitor, probes, adaptive_limit)) if listen else None
