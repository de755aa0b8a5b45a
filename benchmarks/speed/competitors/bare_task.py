"""A Celery task that does nothing, acknowledged late: what our Celery door is compared with."""

from __future__ import annotations

import json
import os
from typing import Any

import redis
from celery import Celery, signals

QUEUE, NAME = "bench.bare", "bench.nothing"

TASK = json.loads(os.environ.get("BENCH_TASK", "{}"))
app = Celery("bare", broker=TASK.get("redis_url"))
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_send_task_events=False)


def _say_ready(**_: Any) -> None:
    redis.Redis.from_url(TASK["redis_url"]).incr("bench:ready")


def nothing(prediction: Any) -> None:
    """Take a message."""


signals.worker_ready.connect(_say_ready, weak=False)
app.task(nothing, name=NAME)
