"""The components of the worker, made from the settings: for the running worker and for the commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from worker import __version__
from worker.contract import ReadingLimits
from worker.delivery import DeliveryRules, Graces
from worker.delivery.waiting import wait_of
from worker.environment import clock
from worker.environment.connections import MACHINE, Environment
from worker.feedback.collection_cycle import CollectionCycle
from worker.feedback.collector import LabelSource
from worker.feedback.housekeeping import DAY_MS, HOUR_MS, Housekeeping, HousekeepingLimits
from worker.feedback.label_files import FileRules
from worker.feedback.messages import Webhook, WebhookShape
from worker.feedback.reading import KiliReader
from worker.feedback.service import Feedback, FeedbackRules, Observers, Scope
from worker.feedback.store import IntervalLock
from worker.intake import Admitter, EventRules, Inbox, PutLimits, Rules
from worker.intake.parsing import NO_PROJECT
from worker.kili import CallBudget, CallRecord, KiliAccess, KiliClient, RetryPolicy
from worker.kili.interfaces import InterfaceCache
from worker.ontology import Interface
from worker.projects.configuration import Projects, review_policy
from worker.projects.results import ResultPlaces
from worker.review import RankedPolicy, ReviewPolicy
from worker.settings.tree import Settings
from worker.spool import Spool, SpoolObserver
from worker.tracing import NO_TRACES, Evaluation, Tracer


def spool_of(settings: Settings, environment: Environment = MACHINE, observer: SpoolObserver | None = None) -> Spool:
    """The spool that the settings name."""
    return Spool(
        environment.connect(settings.redis),
        prefix=settings.spool.prefix,
        lease_ms=int(settings.spool.lease_seconds * 1000),
        remember_ms=int(settings.spool.remember_hours * 3_600_000),
        late_ms=int(settings.spool.late_write_seconds * 1000),
        observer=observer,
    )


def housekeeping_of(settings: Settings, spool: Spool) -> Housekeeping:
    """What looks after letters and projects; a project is remembered for as long as its labels are."""
    own = settings.spool
    silence = max(own.project_days, settings.feedback.horizon_days)
    return Housekeeping(
        spool,
        HousekeepingLimits(
            letters=own.max_dead_letters,
            letter_age=int(own.dead_letter_days * DAY_MS),
            expiry=int(own.dead_letter_notice_hours * HOUR_MS),
            project_silence=int(silence * DAY_MS),
        ),
    )


def policy_of(settings: Settings, spool: Spool | None = None) -> ReviewPolicy:
    """The review policy that the settings name; what it learns is kept in the spool's Redis, without one nowhere.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    return review_policy(settings.review, spool)


def projects_of(settings: Settings) -> Projects:
    """The configuration of each project.

    Raises:
        ProjectsFileError: the file is missing or wrong.
    """
    return Projects(settings.projects_file)


def tracer_of(settings: Settings) -> Tracer:
    """What makes spans; nothing of OpenTelemetry is imported without traces.

    Raises:
        ValueError: the extra is missing, or a variable of OpenTelemetry asks for what is not here.
    """
    if not settings.traces.enabled:
        return NO_TRACES
    try:
        from worker.tracing.open_telemetry import open_telemetry
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ValueError("WORKER_TRACES__ENABLED needs pip install 'kili-prediction-worker[otel]'") from None
    return open_telemetry() or NO_TRACES


def admitter_of(
    settings: Settings, spool: Spool, projects: Projects | None = None, tracer: Tracer = NO_TRACES
) -> Admitter:
    """The one admission behind all sources."""
    projects = projects or projects_of(settings)
    return Admitter(spool, policy_of(settings, spool), rules_of(settings), projects, tracer)


def rules_of(settings: Settings) -> Rules:
    """What admission is told."""
    limits = ReadingLimits(settings.intake.max_message_bytes, settings.intake.max_depth)
    places = ResultPlaces(settings.intake.result_places)
    own = settings.kserve
    events = EventRules(own.mode, own.id_key, own.url_key, own.text_key, own.model_version)
    return Rules(settings.default_project, limits, tuple(settings.intake.path_roots), places, events)


def put_limits_of(settings: Settings) -> PutLimits:
    """What putting messages into the inbox keeps to."""
    return PutLimits(
        max_entries=settings.intake.max_inbox,
        remember_ms=int(settings.intake.repeat_seconds * 1000),
        max_halves=settings.kserve.max_halves,
        pair_ms=int(settings.kserve.pair_seconds * 1000),
    )


def inbox_of(settings: Settings, consumer: str = "reader", environment: Environment = MACHINE) -> Inbox:
    """The inbox in the broker's Redis, or in the spool's when the broker is no Redis."""
    moves = settings.broker_is_redis and "celery" in settings.sources
    queue = f"{settings.intake.broker_key_prefix}{settings.intake.queue}" if moves else ""
    url = settings.broker if settings.broker_is_redis else settings.redis
    return Inbox(environment.connect(url), key=settings.intake.inbox, queue=queue, consumer=consumer)


def access_of(settings: Settings) -> KiliAccess:
    """Endpoint and key.

    Raises:
        ValueError: no key, or one that cannot be used.
    """
    key = settings.kili_api_key.get_secret_value() if settings.kili_api_key else ""
    kili = settings.kili
    if not key:
        raise ValueError("KILI_API_KEY is not set; create a key in Kili under My profile, API keys")
    return KiliAccess(
        settings.kili_api_endpoint,
        key,
        client_version=__version__,
        connect_timeout=kili.connect_timeout_seconds,
        timeout=kili.timeout_seconds,
        labels_timeout=2 * kili.timeout_seconds,
        gzip_from=kili.compress_from_bytes,
        max_answer_bytes=kili.max_response_bytes,
        max_connections=_connections_of(settings),
    )


def _connections_of(settings: Settings) -> int:
    """As many as there may be calls at once: each batch under way makes one, and each wave beside its batches.

    While workers of an earlier release are in the fleet, their messages have as many waves again run in this process.
    """
    return settings.delivery.parallel_batches + 2 * settings.delivery.concurrency


def budget_of(settings: Settings, spool: Spool) -> CallBudget:
    """The fleet's call budget."""
    return CallBudget(
        spool.redis,
        scope=access_of(settings).scope,
        calls_per_minute=settings.kili.calls_per_minute,
        burst=settings.kili.burst,
        key_prefix=f"{settings.spool.prefix}budget",
    )


def kili_of(
    settings: Settings,
    budget: CallBudget,
    *,
    stop: threading.Event | None = None,
    attempts: int | None = None,
    observe: Callable[[CallRecord], None] | None = None,
    environment: Environment = MACHINE,
) -> KiliClient:
    """A client of Kili within the fleet's budget."""
    kili = settings.kili
    retry = RetryPolicy(
        attempts=kili.attempts,
        base=kili.backoff_seconds,
        cap=kili.backoff_cap_seconds,
        retry_after_cap=kili.retry_after_cap_seconds,
    )
    retry = replace(retry, attempts=attempts) if attempts is not None else retry
    return KiliClient(
        access_of(settings), budget=budget, retry=retry, http=environment.http, stop=stop, observe=observe
    )


def file_rules_of(settings: Settings) -> FileRules:
    """Which label files may be read."""
    return FileRules(tuple(settings.feedback.label_hosts), settings.feedback.label_file_bytes)


def graces_of(settings: Settings) -> Graces:
    """The limits of what may fail."""
    delivery = settings.delivery
    return Graces(
        result=settings.intake.result_grace_seconds,
        missing_asset=delivery.missing_asset_grace_seconds,
        fault=delivery.fault_grace_seconds,
        upload=delivery.upload_grace_seconds,
        imports=delivery.import_seconds,
        read_lag=settings.kili.read_lag_seconds,
    )


def delivery_rules_of(settings: Settings) -> DeliveryRules:
    """What delivery is told."""
    delivery = settings.delivery
    return DeliveryRules(
        wave_items=delivery.wave_items,
        wave_bytes=delivery.wave_bytes,
        batch_items=delivery.batch_items,
        aging=delivery.aging_seconds,
        graces=graces_of(settings),
        interface_age=delivery.interface_seconds,
        probe=delivery.probe_seconds,
        probe_cap=delivery.probe_cap_seconds,
        retry_after_cap=settings.kili.retry_after_cap_seconds,
        path_roots=tuple(settings.intake.path_roots),
        one_document=delivery.one_document,
    )


BUSY = 0.8
"""Share of the call budget from which on delivery has it for itself, but for the humans' own labels."""


def named_projects(spool: Spool) -> list[str]:
    """Every project that a message named; those that name none are counted under a name of their own."""
    return [project for project in spool.projects() if project != NO_PROJECT]


def feedback_rules_of(settings: Settings) -> FeedbackRules:
    """What the settings say of the feedback."""
    feedback = settings.feedback
    return FeedbackRules(
        horizon_days=feedback.horizon_days,
        report_days=feedback.report_days,
        audit_sla=feedback.audit_hours * 3600,
        settling=feedback.settling_seconds,
        run_length=feedback.drift_run_length,
        scope=Scope(feedback.drift_scope),
        report_every=feedback.figures_seconds,
        verify_every=feedback.verify_seconds,
    )


def observers_of(
    settings: Settings,
    policy: ReviewPolicy,
    delays: Callable[[Sequence[float]], None] | None = None,
    evaluated: Callable[[Evaluation], None] | None = None,
) -> Observers:
    """Who is told: the policy that can learn, the webhook, who counts how long verdicts take, and the tracer."""
    url = settings.feedback.webhook_url
    webhook = Webhook(url.get_secret_value(), WebhookShape(settings.feedback.webhook_shape)) if url else None
    learner = policy if isinstance(policy, RankedPolicy) else None
    return Observers(
        training_examples=learner.learn if learner else None,
        reviewer_rate=learner.set_reviewers if learner else None,
        alarm=webhook.post if webhook else None,
        delays=delays,
        evaluated=evaluated,
    )


def feedback_of(
    settings: Settings,
    spool: Spool,
    project: str,
    source: LabelSource,
    interface: Interface,
    *,
    observers: Observers = Observers(),
    may_read: Callable[[], bool] = lambda: True,
) -> Feedback:
    """The feedback of one project."""
    return Feedback(
        source,
        spool.redis,
        spool.prefix,
        project,
        interface,
        endpoint=settings.kili_api_endpoint,
        now=clock.now,
        rules=feedback_rules_of(settings),
        observers=observers,
        may_read=may_read,
        is_behind=lambda: wait_of(spool, project, None).is_backlog,
    )


def collection_cycle_of(
    settings: Settings,
    spool: Spool,
    *,
    policy: ReviewPolicy,
    kili: KiliClient,
    reader: KiliReader,
    budget: CallBudget,
    stop: threading.Event,
    delays: Callable[[Sequence[float]], None] | None = None,
    evaluated: Callable[[Evaluation], None] | None = None,
) -> CollectionCycle:
    """The clock that collects the feedback of all projects.

    ``delays`` is notified of how long verdicts took, ``evaluated`` of those on traced predictions.
    """
    observers = observers_of(settings, policy, delays, evaluated)
    interfaces = InterfaceCache(spool.redis, spool.prefix, settings.delivery.interface_seconds, kili.project_interface)

    def may_read() -> bool:
        found = budget.peek()
        return not stop.is_set() and found["used"] < BUSY * found["limit"]

    def enter(project: str) -> Feedback:
        return feedback_of(
            settings, spool, project, reader, interfaces.get(project), observers=observers, may_read=may_read
        )

    return CollectionCycle(
        lambda: named_projects(spool),
        enter,
        IntervalLock(spool.redis, spool.prefix),
        every=settings.feedback.every_seconds,
        calls_per_minute=settings.feedback.budget_share * settings.kili.calls_per_minute,
        stop=stop,
    )
