"""Which process serves the metrics when another application hosts the worker."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool as Forking
from celery.concurrency.thread import TaskPool as Threads

from worker.app import RuntimeStep


def started_with(pool: Any) -> list[str]:
    """What happens to the runtime when the worker starts with a pool; in a thread, so that signals stay ours."""
    happened: list[str] = []
    runtime = SimpleNamespace(start=lambda: happened.append("started"), drain=None, end_at_once=None)
    parent = SimpleNamespace(pool=pool.__new__(pool), app=SimpleNamespace(runtime=runtime))
    thread = threading.Thread(target=lambda: RuntimeStep(parent).start(parent))
    thread.start()
    thread.join()
    return happened


@pytest.mark.parametrize(("pool", "warns"), [(Forking, True), (Threads, False)])
def test_a_pool_that_forks_is_told_that_its_deliveries_are_not_counted(
    caplog: pytest.LogCaptureFixture, pool: Any, warns: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        assert started_with(pool) == ["started"]
    actions = [getattr(one, "action", "") for one in caplog.records]
    assert ("pool_not_counted" in actions) is warns
