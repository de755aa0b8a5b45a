"""The SDK inside Celery: the tutorial's way once per prediction, and in bulk behind celery-batches.

A plain Celery application as its users write it. ``BENCH_TASK`` holds what it is told, as JSON; it counts what it has
done in Redis.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery, signals

from benchmarks.speed.competitors import sdk
from benchmarks.speed.predictions import Made

QUEUE = "bench.sdk"
ONE, MANY = "bench.one", "bench.many"
READY, DONE = "bench:ready", "bench:done"
FLUSH_EVERY = 1000
FLUSH_SECONDS = 2

TASK = json.loads(os.environ.get("BENCH_TASK", "{}"))
app = Celery("bench", broker=TASK.get("redis_url"))
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_send_task_events=False)
_own: dict[str, Any] = {}


def _get_ready(**_: Any) -> None:
    _own["kili"] = sdk.client(TASK["endpoint"], TASK["api_key"])
    _own["redis"] = redis.Redis.from_url(TASK["redis_url"])
    _own["redis"].incr(READY)


def one(arguments: dict[str, Any]) -> None:
    """Upload one prediction."""
    _upload([arguments], "tutorial")


def many(requests: Sequence[Any]) -> None:
    """Upload what celery-batches has collected."""
    _upload([request.args[0] for request in requests], "best")


def _upload(arguments: Sequence[dict[str, Any]], way: sdk.Way) -> None:
    sdk.upload(_own["kili"], TASK["project"], [Made(**each) for each in arguments], way)
    _own["redis"].incrby(DONE, len(arguments))


signals.worker_process_init.connect(_get_ready, weak=False)
app.task(one, name=ONE)
if importlib.util.find_spec("celery_batches") is not None:
    batches = importlib.import_module("celery_batches").Batches
    app.task(many, name=MANY, base=batches, flush_every=FLUSH_EVERY, flush_interval=FLUSH_SECONDS)
