"""The two Celery tasks."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery

from worker.intake import TASK, as_json

logger = logging.getLogger(__name__)

DELIVER = "predictions.deliver"


def register(app: Celery) -> None:
    """Add the tasks to an app; they work with its ``runtime``."""
    app.task(deliver, name=DELIVER, bind=True, ignore_result=True)
    app.task(ingest, name=TASK, bind=True, ignore_result=True, acks_late=True, reject_on_worker_lost=True)


def deliver(task: Any, project: str) -> None:
    """Run one wave of a project: a hint without payload, so that losing or doubling it does no harm."""
    task.app.runtime.hints.answer(project)


def ingest(task: Any, *messages: Any) -> None:
    """Admit predictions from a broker other than Redis; acknowledged once they are in the spool."""
    flat = [one for message in messages for one in (message if isinstance(message, list) else [message])]
    task.app.runtime.admitter.admit_messages([as_json(one) for one in flat])
