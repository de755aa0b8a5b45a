"""The Celery door on a broker other than Redis: an ordinary consumer, acknowledged late.

It takes messages undecoded, so that one that nobody can read becomes a dead letter like any other instead of being
dropped by the consumer. A message is acknowledged when it is durable in the inbox.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from celery import bootsteps
from kombu import Consumer, Queue

from worker.intake.inbox import Inbox

logger = logging.getLogger(__name__)

PREFETCH = 200
AHEAD = 200
"""Entries of the inbox at which the door lets admission catch up."""
RETRY_SECONDS = 0.5


class QueueDoor:
    """Moves messages of a queue into the inbox; those it may not move yet stay unacknowledged, at most a prefetch.

    Args:
        inbox: where they go.
        closed: whether the doors have stopped taking.
    """

    def __init__(self, inbox: Inbox, closed: Callable[[], bool]) -> None:
        self._inbox = inbox
        self._closed = closed
        self._waiting: deque[Any] = deque()
        self._guard = threading.Lock()  # some transports have a clock in a thread of its own

    def take(self, message: Any) -> None:
        """Called by the consumer with each message."""
        self._waiting.append(message)
        self.move()

    def refuse(self, message: Any, _: Exception) -> None:
        """Called by the consumer with a message whose compression cannot be undone."""
        self.take(message)

    def move(self) -> None:
        """Move what waits, as far as possible now."""
        with self._guard:
            try:
                while self._waiting and not self._closed() and self._inbox.length() < AHEAD:
                    self._inbox.put(envelope_of(self._waiting[0]))
                    self._waiting.popleft().ack_log_error(logger, (OSError,))
            except redis.RedisError as error:
                logger.debug("not moved: %s", error, extra={"action": "queue_waits"})

    def forget(self) -> None:
        """The connection is gone: the broker delivers again what was not acknowledged."""
        with self._guard:
            self._waiting.clear()


def envelope_of(message: Any) -> bytes:
    """A kombu message in the form in which the Redis transport stores it."""
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    headers = dict(message.headers or {})
    if not message.errors:
        headers.pop("compression", None)  # undone by kombu
    found = {
        "body": base64.b64encode(body).decode(),
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
        "headers": headers,
        "properties": {"body_encoding": "base64"},
    }
    return json.dumps(found, default=str).encode()


def queue_step(door: QueueDoor, queue: str) -> type[bootsteps.ConsumerStep]:
    """The bootstep that consumes a queue through the door, for ``app.steps["consumer"]``."""

    class QueueStep(bootsteps.ConsumerStep):  # type: ignore[misc]
        timer: Any = None

        def get_consumers(self, channel: Any) -> list[Consumer]:
            consumer = Consumer(
                channel,
                queues=[Queue(queue)],
                on_message=door.take,
                on_decode_error=door.refuse,
                prefetch_count=PREFETCH,
            )
            return [consumer]

        def start(self, c: Any) -> None:
            door.forget()
            super().start(c)
            self.timer = c.timer.call_repeatedly(RETRY_SECONDS, door.move)

        def stop(self, c: Any) -> None:
            if self.timer is not None:
                self.timer.cancel()
            super().stop(c)

    return QueueStep
