"""Every metric of the product, each written down once: name, kind, labels, meaning.

``WORKER`` are those of one process, counted since it started: ``prediction-worker start`` serves them, and sums over
the workers make sense. ``FLEET`` are read from Redis: they are the same whoever reads them, so scrape them in one
place, ``prediction-worker exporter``. No name is in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "prediction_worker_"


class MetricKind(StrEnum):
    """Prometheus' types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family; ``name`` is without the prefix, and of a counter without ``_total``."""

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prometheus' families are named."""
        return f"{PREFIX}{self.name}"

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        match self.kind:
            case MetricKind.COUNTER:
                return (f"{self.full_name}_total",)
            case MetricKind.HISTOGRAM:
                return tuple(f"{self.full_name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.full_name,)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, meaning, labels)


def _histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, meaning, labels, tuple(buckets))


CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
WAIT_SECONDS = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
VERDICT_SECONDS = (60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
ITEMS = (1, 2, 5, 10, 20, 50, 75, 100)

BUILD = _gauge("build_info", "1, with the version of this worker.", "version")
LIVE = _gauge("live", "1 while the worker makes progress, as /livez says.")
READY = _gauge("ready", "1 while nothing keeps the worker from working, as /readyz says.")
LAST_DONE = _gauge(
    "last_done_age_seconds", "Time since an activity of this worker last succeeded: lease, send, settle.", "activity"
)
HELD = _gauge("held_projects", "Projects that this worker delivers at the moment.")
LIMIT = _gauge("concurrency_limit", "Batches that may be in flight at once, adapted to what Kili takes.")
IN_FLIGHT = _gauge("batches_in_flight", "Batches of this worker in flight.")
MESSAGES = _counter("messages", "Messages taken from a source; one may hold several predictions.", "source")
ADMITTED = _counter("admitted", "Predictions that came in, by what became of them at admission.", "outcome")
SETTLED = _counter(
    "settled",
    "Predictions that left a wave, by outcome; returned and later ones wait again.",
    "project",
    "outcome",
)
DEAD_LETTERED = _counter("dead_lettered", "Predictions that this worker dead-lettered, by cause.", "cause")
CALL_SECONDS_OF = _histogram(
    "call_duration_seconds", "Duration of each HTTP exchange with Kili.", CALL_SECONDS, "operation", "outcome"
)
CALL_ITEMS = _histogram("call_items", "Items of each successful write: the size of batches.", ITEMS, "operation")
SENT_BYTES = _counter("sent_bytes", "Bytes of request bodies sent.", "operation")
RETRIES = _counter("call_retries", "Exchanges that repeated one that had failed.", "operation")
RATE_LIMITED = _counter("rate_limited_calls", "Exchanges that Kili answered with 429.", "operation")
BUDGET_WAIT = _counter("budget_wait_seconds", "Time that calls of this worker waited for the call budget.")
BACKLOG_WAIT = _histogram(
    "backlog_wait_seconds", "Time from admission to the first lease of a prediction.", WAIT_SECONDS, "lane"
)
TO_LABEL = _histogram(
    "prediction_to_label_seconds", "Time from predicted_at of a message to its label in Kili.", WAIT_SECONDS
)
TO_VERDICT = _histogram(
    "prediction_to_verdict_seconds", "Time from the model's label in Kili to the human's.", VERDICT_SECONDS
)

WORKER = (
    BUILD,
    LIVE,
    READY,
    LAST_DONE,
    HELD,
    LIMIT,
    IN_FLIGHT,
    MESSAGES,
    ADMITTED,
    SETTLED,
    DEAD_LETTERED,
    CALL_SECONDS_OF,
    CALL_ITEMS,
    SENT_BYTES,
    RETRIES,
    RATE_LIMITED,
    BUDGET_WAIT,
    BACKLOG_WAIT,
    TO_LABEL,
    TO_VERDICT,
)

REDIS_UP = _gauge("redis_up", "1 when Redis answered this scrape; without it nothing else is known.")
RECEIVED = _counter("received", "Predictions received; one that is replayed counts once.")
PREDICTIONS = _gauge("predictions", "Predictions of all projects by state; together they are those received.", "state")
CONSERVATION = _gauge("conservation_error", "Received minus the sum of all outcomes: 0, or something was lost.")
REPLACED = _gauge("redis_replaced", "1 for a week after Redis was emptied or replaced by one that knows less.")
IN_THE_INBOX = _gauge("at_the_doors", "Messages of all sources that are not admitted yet.")
SOURCE_BACKLOG = _gauge(
    "source_backlog", "Messages in the inbox, in the Celery queue's lists, and behind each other source.", "source"
)
SOURCE_RECEIVED = _counter("source_received", "Messages taken into the inbox, by source.", "source")
LOGGED_EVENTS = _gauge(
    "logged_events", "Requests and responses that were logged apart: joined, orphans, waiting.", "state"
)
SOURCE_LAG = _gauge("source_lag_seconds", "Age of the oldest message in the inbox.", "source")
INTAKE_PAUSED = _gauge("intake_paused", "1 while so many predictions wait that no more are taken.")
PROJECT_RECEIVED = _counter("project_received", "Predictions received, by project.", "project")
ENDED = _counter("ended", "Predictions that ended, by project and outcome.", "project", "outcome")
WAITING = _gauge("waiting", "Predictions that wait, by project and lane; empty lanes are left out.", "project", "lane")
LEASED = _gauge("leased", "Predictions that a wave has leased.", "project", "lane")
OLDEST = _gauge(
    "oldest_age_seconds", "Time since the oldest prediction that is still here was admitted.", "project", "lane"
)
DRAIN = _gauge(
    "drain_seconds",
    "Time until the backlog is gone at the rate of the last minutes; +Inf when nothing moves.",
    "project",
)
DEAD = _gauge("dead_letters", "Dead letters by cause.", "cause")
DEAD_OLDEST = _gauge("dead_letter_oldest_age_seconds", "Age of the oldest dead letter of a cause.", "cause")
EXPIRED = _counter("dead_letters_expired", "Dead letters that were dropped for their age or number.")
ENDING = _gauge("dead_letters_ending", "1 while it is announced that dead letters will be dropped.")
PAUSED = _gauge("paused", "Pauses of all scopes.")
PAUSES = _gauge("pauses", "Pauses by scope (endpoint, project, worker) and kind of error.", "scope", "project", "kind")
PAUSE_AGE = _gauge("pause_age_seconds", "How long the longest such pause has lasted.", "scope", "project", "kind")
BUDGET_USED = _gauge("budget_used_calls", "Calls of the fleet in the last minute.")
BUDGET_LIMIT = _gauge("budget_limit_calls", "Calls that the fleet may make in a minute.")
BUDGET_PENALTY = _gauge("budget_penalty_seconds", "How long the fleet still holds back because Kili asked for it.")
CALLS = _counter("calls", "HTTP exchanges of the fleet with Kili.", "operation", "outcome")
REPEATED = _counter("repeated_calls", "Those that repeated one that had failed.", "operation", "outcome")
MEMORY_USED = _gauge("redis_memory_used_bytes", "Memory that Redis uses.")
MEMORY_LIMIT = _gauge("redis_memory_limit_bytes", "Memory that Redis may use: maxmemory, else all of its machine.")
MEMORY_RATIO = _gauge("redis_memory_ratio", "The one divided by the other.")
AGREEMENT = _gauge(
    "agreement_ratio", "Estimated agreement of live traffic with the humans, 0 to 1.", "project", "model"
)
AGREEMENT_LOW = _gauge("agreement_ratio_low", "Lower end of its 95 % interval.", "project", "model")
AGREEMENT_HIGH = _gauge("agreement_ratio_high", "Upper end of its 95 % interval.", "project", "model")
VERDICTS = _gauge("verdicts", "Human answers that count.", "project", "model")
AUDITS = _gauge("audits", "Answered audits among them.", "project", "model")
OVERDUE = _gauge("overdue_audits", "Audits without an answer that are overdue.", "project", "model")
DRIFT = _gauge("drift_alarm", "1 while an alarm waits for a person.", "project", "model", "detector")
UNREAD = _gauge("label_files_unread", "Label files that are tried again, or are unreadable.", "project", "state")
REPORT_AGE = _gauge("figures_age_seconds", "Age of a project's agreement, audits and drift.", "project")
LEFT_OUT = _gauge("series_left_out", "Names beyond the limit of labels: summed as _other, or left out.", "label")

FLEET = (
    REDIS_UP,
    RECEIVED,
    PREDICTIONS,
    CONSERVATION,
    REPLACED,
    IN_THE_INBOX,
    SOURCE_BACKLOG,
    SOURCE_RECEIVED,
    LOGGED_EVENTS,
    SOURCE_LAG,
    INTAKE_PAUSED,
    PROJECT_RECEIVED,
    ENDED,
    WAITING,
    LEASED,
    OLDEST,
    DRAIN,
    DEAD,
    DEAD_OLDEST,
    EXPIRED,
    ENDING,
    PAUSED,
    PAUSES,
    PAUSE_AGE,
    BUDGET_USED,
    BUDGET_LIMIT,
    BUDGET_PENALTY,
    CALLS,
    REPEATED,
    MEMORY_USED,
    MEMORY_LIMIT,
    MEMORY_RATIO,
    AGREEMENT,
    AGREEMENT_LOW,
    AGREEMENT_HIGH,
    VERDICTS,
    AUDITS,
    OVERDUE,
    DRIFT,
    UNREAD,
    REPORT_AGE,
    LEFT_OUT,
)


def known_series() -> dict[str, Metric]:
    """Every series that the product exposes, by the name that queries use."""
    return {name: metric for metric in (*WORKER, *FLEET) for name in metric.series}


def page() -> Iterator[str]:
    """The tables of docs/reference/metrics.md, line by line."""
    for title, metrics in (("One worker", WORKER), ("The fleet", FLEET)):
        yield from (f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|")
        for metric in metrics:
            name = f"{metric.full_name}_total" if metric.kind is MetricKind.COUNTER else metric.full_name
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{name}` | {metric.kind} | {labels} | {metric.meaning} |"
        yield ""
