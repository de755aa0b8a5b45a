"""Queues of brokers that Celery's transport library speaks to: RabbitMQ, and others that are no Redis.

The queue is consumed as it is declared: only where it does not exist it is declared, as a durable classic queue. A
message is taken undecoded, so that one that nobody can read becomes a dead letter, and acknowledged when it is in the
inbox.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from kombu import Connection, Consumer, Queue
from kombu.exceptions import KombuError

from worker.environment import clock
from worker.environment.connections import broker_ssl, celery_url
from worker.intake import RawMessage
from worker.settings.tree import Settings
from worker.sources.base import GivenBack, ReceivingSource, SourceError
from worker.sources.wrapped import messages_in

PREFETCH = 100
"""Messages that are unacknowledged at a time; the queue keeps the rest."""
WAIT = 0.2
HOLD_SECONDS = 600.0
"""Unacknowledged messages are given back after this time; RabbitMQ ends a consumer that holds them for 30 minutes."""
CONNECT_SECONDS = 5.0


class QueueReceiver:
    """Receives from one queue.

    Args:
        url: of the broker.
        queue: its name.
        options: of the transport.
        read: makes raw messages of one of the broker's.
    """

    def __init__(
        self, url: str, queue: str, options: Mapping[str, Any], read: Callable[[Any], list[RawMessage]]
    ) -> None:
        self._queue = queue
        self._read = read
        self._connection = Connection(
            celery_url(url),
            ssl=broker_ssl(url),
            transport_options=dict(options),
            connect_timeout=CONNECT_SECONDS,
            heartbeat=30,
        )
        # What kombu's own connecting meets, it raises again as an error of its own.
        self._failures = (*self._connection.connection_errors, *self._connection.channel_errors, KombuError, OSError)
        self._consumer: Any = None
        self._held_since = 0.0
        self._arrived: list[Any] = []
        self._taken: list[Any] = []

    def open(self) -> None:
        """Connect; messages are not asked for before the first ``receive``."""
        self._guarded(self._open)

    def receive(self) -> Sequence[RawMessage]:
        """What has arrived, or arrives within a moment."""
        self._guarded(self._drain)
        self._taken, self._arrived = self._arrived, []
        return [raw for message in self._taken for raw in self._read(message)]

    def acknowledge(self) -> None:
        """Acknowledge what was received."""
        taken, self._taken = self._taken, []
        self._guarded(lambda: [message.ack() for message in taken])
        self._held_since = 0.0

    def rest(self) -> None:
        """Answer the broker's heartbeats; no more than the prefetch arrives, and it is given back after a while."""
        self._guarded(self._beat)
        if self._consumer is None:
            return
        self._held_since = self._held_since or clock.monotonic()
        if clock.monotonic() - self._held_since > HOLD_SECONDS:
            raise GivenBack("messages that cannot be taken yet go back to the queue")

    def lag(self) -> int:
        """Messages in the queue that no consumer has, where the broker tells; 0 elsewhere."""
        return self._count() if self._consumer is not None else 0

    def close(self) -> None:
        """End the connection: the broker delivers again what was not acknowledged."""
        with suppress(*self._failures):
            self._connection.release()

    def _open(self) -> None:
        self._connection.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)

    def _consume(self) -> None:
        channel = self._connection.channel()
        queue = Queue(self._queue, channel=channel, no_declare=self._exists())
        self._consumer = Consumer(
            channel,
            queues=[queue],
            on_message=self._arrived_is,
            on_decode_error=lambda message, _error: self._arrived_is(message),
            prefetch_count=PREFETCH,
        )
        self._consumer.consume()

    def _count(self) -> int:
        count = 0

        def read_lag() -> None:
            nonlocal count
            if self._connection.transport.driver_type == "amqp":
                count = self._consumer.channel.queue_declare(queue=self._queue, passive=True).message_count

        self._guarded(read_lag)
        return count

    def _exists(self) -> bool:
        """Whether the queue is there, of whatever kind: quorum queues have arguments that are not ours to know."""
        if self._connection.transport.driver_type != "amqp":
            return False
        probe = self._connection.channel()
        try:
            probe.queue_declare(queue=self._queue, passive=True)
        except self._connection.channel_errors as error:
            if getattr(error, "reply_code", None) != 404:
                raise
            return False
        finally:
            with suppress(*self._failures):
                probe.close()
        return True

    def _arrived_is(self, message: Any) -> None:
        self._arrived.append(message)

    def _drain(self) -> None:
        if self._consumer is None:
            self._consume()
        wait = WAIT
        while len(self._arrived) < PREFETCH:
            try:
                self._connection.drain_events(timeout=wait)
            except (TimeoutError, socket.timeout):  # noqa: UP041 - transports raise either
                break
            wait = 0.002
        self._beat()

    def _beat(self) -> None:
        if self._connection.supports_heartbeats and self._connection.heartbeat:
            self._connection.heartbeat_check()

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except self._failures as error:
            raise SourceError(f"{type(error).__name__}: {error}") from error


def celery_source(settings: Settings) -> ReceivingSource:
    """Celery messages on a broker that is no Redis."""
    options = {"visibility_timeout": settings.intake.visibility_seconds}
    return ReceivingSource(
        "celery", lambda: QueueReceiver(settings.broker, settings.intake.queue, options, _celery_message)
    )


def rabbitmq_source(settings: Settings) -> ReceivingSource:
    """Plain JSON, or Celery messages, on a queue of RabbitMQ."""
    own = settings.rabbitmq
    url = own.url.get_secret_value() if own.url else settings.broker
    read = partial(_any_message, pairs=settings.kserve.mode == "all")
    return ReceivingSource("rabbitmq", lambda: QueueReceiver(url, own.queue, {}, read))


def _celery_message(message: Any) -> list[RawMessage]:
    """A Celery message; one that is delivered again has the same id."""
    task_id = (message.headers or {}).get("id") or (message.properties or {}).get("correlation_id") or ""
    return [RawMessage(envelope_of(message), "envelope", str(task_id))]


def _any_message(message: Any, *, pairs: bool) -> list[RawMessage]:
    if "task" in (message.headers or {}):
        return _celery_message(message)
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    name = str((message.properties or {}).get("message_id") or "")
    headers = {**(message.headers or {}), "content-type": message.content_type}
    return messages_in(body, name, _texts(headers), pairs=pairs)


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in headers.items() if value is not None}


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
