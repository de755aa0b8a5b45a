"""The worker's own Celery task; ``predictions.ingest`` is a message that the doors read, whatever the broker."""

from __future__ import annotations

from typing import Any

from celery import Celery

DELIVER = "predictions.deliver"


def register(app: Celery) -> None:
    """Add the task to an app; it works with the app's ``runtime``."""
    app.task(deliver, name=DELIVER, bind=True, ignore_result=True)


def deliver(task: Any, project: str) -> None:
    """Run one wave of a project: a hint without payload, so that losing or doubling it does no harm."""
    task.app.runtime.hints.answer(project)
