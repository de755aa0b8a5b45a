"""The feedback room put together from the settings: for the running worker, and for the commands that look into it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker import clock
from worker.feedback.collector import Source
from worker.feedback.notices import Shape, Webhook
from worker.feedback.reading import Reader
from worker.feedback.rounds import Rounds
from worker.feedback.service import Ears, Feedback, FeedbackRules, Scope
from worker.feedback.turns import Turns
from worker.intake.refusal import NO_PROJECT
from worker.interfaces import InterfaceCache
from worker.kili import CallBudget, KiliClient
from worker.ontology import Interface
from worker.review import RankedPolicy, ReviewPolicy
from worker.settings import Settings
from worker.spool import Spool

BUSY = 0.8
"""Share of the call budget from which on delivery has it for itself, but for the humans' own labels."""


def named_projects(spool: Spool) -> list[str]:
    """Every project that a message named; those that name none are counted under a name of their own."""
    return [project for project in spool.projects() if project != NO_PROJECT]


def feedback_rules_of(settings: Settings) -> FeedbackRules:
    """What the feedback room is told."""
    feedback = settings.feedback
    return FeedbackRules(
        horizon_days=feedback.horizon_days,
        report_days=feedback.report_days,
        audit_sla=feedback.audit_hours * 3600,
        run_length=feedback.drift_run_length,
        scope=Scope(feedback.drift_scope),
        figures_every=feedback.figures_seconds,
        verify_every=feedback.verify_seconds,
    )


def ears_of(settings: Settings, policy: ReviewPolicy) -> Ears:
    """Who is told: the policy that can learn, and the webhook."""
    url = settings.feedback.webhook_url
    webhook = Webhook(url.get_secret_value(), Shape(settings.feedback.webhook_shape)) if url else None
    learner = policy if isinstance(policy, RankedPolicy) else None
    return Ears(
        lessons=learner.learn if learner else None,
        pace=learner.set_reviewers if learner else None,
        alarm=webhook.post if webhook else None,
    )


def feedback_of(
    settings: Settings,
    spool: Spool,
    project: str,
    source: Source,
    interface: Interface,
    *,
    ears: Ears = Ears(),
    may_read: Callable[[], bool] = lambda: True,
) -> Feedback:
    """The feedback room of one project."""
    return Feedback(
        source,
        spool.redis,
        spool.prefix,
        project,
        interface,
        endpoint=settings.kili_api_endpoint,
        now=clock.now,
        rules=feedback_rules_of(settings),
        ears=ears,
        may_read=may_read,
    )


def rounds_of(
    settings: Settings,
    spool: Spool,
    *,
    policy: ReviewPolicy,
    kili: KiliClient,
    reader: Reader,
    budget: CallBudget,
    stop: threading.Event,
) -> Rounds:
    """The clock that visits the feedback rooms of all projects."""
    ears = ears_of(settings, policy)
    interfaces = InterfaceCache(spool.redis, spool.prefix, settings.delivery.interface_seconds, kili.project_interface)

    def may_read() -> bool:
        found = budget.peek()
        return not stop.is_set() and found["used"] < BUSY * found["limit"]

    def enter(project: str) -> Feedback:
        return feedback_of(settings, spool, project, reader, interfaces.get(project), ears=ears, may_read=may_read)

    return Rounds(
        lambda: named_projects(spool),
        enter,
        Turns(spool.redis, spool.prefix),
        every=settings.feedback.every_seconds,
        calls_per_minute=settings.feedback.budget_share * settings.kili.calls_per_minute,
        stop=stop,
    )
