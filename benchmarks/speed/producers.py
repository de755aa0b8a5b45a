"""What sending costs the serving stack: our helper beside the bare calls it replaces."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from celery import Celery

from benchmarks.speed.doors import LIST, Door
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from worker.intake.originals import TASK
from worker.producer import Publisher

QUEUE, INBOX = "bench.produced", "bench:produced"
Send = Callable[[Sequence[Any]], None]


def measure_producers(ground: Ground, messages: int) -> list[Door]:
    """Messages a second of one producer in this process, by each way to send."""
    ground.clear()
    made = [json.loads(one.message(ground.project)) for one in Work(messages)]
    ways: dict[str, Send] = {
        "bare send_task": lambda found: _send_tasks(ground, found),
        "helper, celery one by one": lambda found: _publish(ground, found, "celery", 1),
        f"helper, celery lists of {LIST}": lambda found: _publish(ground, found, "celery", LIST),
        "bare XADD": lambda found: _add(ground, found),
        "helper, stream": lambda found: _publish(ground, found, "stream", LIST),
    }
    for send in ways.values():
        send(made[:LIST])
    return [_timed(name, made, send) for name, send in ways.items()]


def _timed(name: str, made: Sequence[Any], send: Send) -> Door:
    cpu, begun = time.process_time(), time.perf_counter()
    send(made)
    return Door(name, len(made), time.perf_counter() - begun, time.process_time() - cpu)


def _send_tasks(ground: Ground, made: Sequence[Any]) -> None:
    with Celery(broker=ground.redis_url) as app:
        for one in made:
            app.send_task(TASK, [one], queue=QUEUE)


def _publish(ground: Ground, made: Sequence[Any], via: Any, chunk: int) -> None:
    with Publisher(ground.redis_url, via=via, queue=QUEUE, inbox=INBOX, chunk=chunk) as publisher:
        for one in made:
            publisher.send(one)


def _add(ground: Ground, made: Sequence[Any]) -> None:
    client = redis.Redis.from_url(ground.redis_url)
    for one in made:
        client.xadd(INBOX, {"payload": json.dumps(one)})
    client.close()
