"""For producers in Python: send predictions to a source, cheaply.

    with Publisher("redis://127.0.0.1:6379/0") as publisher:
        publisher.send({"external_id": "cam-3/000123.jpg", …})

Any other producer needs no code of ours: ``XADD predictions:inbox * payload <json>``, or
``Celery(broker=…).send_task("predictions.ingest", [prediction], queue="predictions")``.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import redis

from worker.environment.connections import broker_ssl, celery_url, connect, is_redis

if TYPE_CHECKING:
    from celery import Celery

TASK = "predictions.ingest"
ORIGIN = "prediction-worker publisher"
EMBED = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
Message = Mapping[str, Any] | str | bytes


class Publisher:
    """Sends predictions in chunks; what ``flush`` has returned for is durable in the broker.

    Args:
        broker_url: of the Celery broker, or of the Redis that holds the inbox.
        via: ``stream`` (Redis only, cheapest) or ``celery`` (any broker; a chunk is one Celery message, on Redis in the
            form that Celery and kombu document).
        queue: Celery queue.
        inbox: key of the stream.
        chunk: predictions sent at once; with 1 nothing waits.

    Attributes:
        sent: predictions that the broker has taken.
    """

    def __init__(
        self,
        broker_url: str,
        *,
        via: Literal["stream", "celery"] = "stream",
        queue: str = "predictions",
        inbox: str = "predictions:inbox",
        chunk: int = 100,
    ) -> None:
        self._via = via
        self._queue = queue
        self._inbox = inbox
        self._chunk = chunk
        self._envelope = _envelope(queue)
        self._waiting: list[Message] = []
        self.sent = 0
        direct = via == "stream" or is_redis(broker_url)
        self._redis: redis.Redis | None = connect(broker_url) if direct else None
        self._celery = None if direct else _producing(broker_url)

    def send(self, prediction: Message) -> None:
        """Send one prediction, a mapping or JSON; it may wait for its chunk to fill."""
        self._waiting.append(prediction)
        if len(self._waiting) >= self._chunk:
            self.flush()

    def flush(self) -> None:
        """Send what waits. Raises the broker's error when it cannot; what waits is kept."""
        if not self._waiting:
            return
        if self._redis is not None and self._via == "stream":
            self._add_to_stream(self._redis)
        elif self._redis is not None:
            self._add_to_queue(self._redis)
        elif self._celery is not None:
            self._send_task(self._celery)
        self.sent += len(self._waiting)
        self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        if self._redis is not None:
            self._redis.close()
        if self._celery is not None:
            self._celery.close()

    def _add_to_stream(self, client: redis.Redis) -> None:
        with client.pipeline(transaction=False) as pipe:
            for message in self._waiting:
                pipe.xadd(self._inbox, {"payload": _json(message)})
            pipe.execute()

    def _add_to_queue(self, client: redis.Redis) -> None:
        body = f"[[[{','.join(map(_quoted, self._waiting))}]],{{}},{EMBED}]"
        named = {"body": base64.b64encode(body.encode()).decode(), "id": str(uuid.uuid4())}
        client.lpush(self._queue, self._envelope % named)

    def _send_task(self, app: Celery) -> None:
        messages: Sequence[Any] = [_plain(message) for message in self._waiting]
        app.send_task(TASK, [messages], queue=self._queue, ignore_result=True, argsrepr="", kwargsrepr="")


def _producing(broker_url: str) -> Celery:
    from celery import Celery  # for other brokers alone: it takes longer to import than all the rest

    app = Celery(broker=celery_url(broker_url))
    app.conf.broker_use_ssl = broker_ssl(broker_url)
    if broker_url.startswith("amqp"):  # else what the broker has not taken when the connection breaks is lost
        app.conf.broker_transport_options = {"confirm_publish": True}
    return app


def _envelope(queue: str) -> str:
    """A Celery message (protocol 2) as kombu stores it on Redis, with places for ``body`` and ``id``."""
    task_id = "%(id)s"
    headers: dict[str, Any] = dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id"))
    headers |= {"lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "retries": 0, "timelimit": [None, None]}
    headers |= {"argsrepr": "", "kwargsrepr": "", "origin": ORIGIN, "ignore_result": True}
    properties = {
        "correlation_id": task_id,
        "delivery_tag": task_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue.replace("%", "%%")},
        "priority": 0,
        "body_encoding": "base64",
    }
    found = {"body": "%(body)s", "content-type": "application/json", "content-encoding": "utf-8", "headers": headers}
    return json.dumps({**found, "properties": properties})


def _json(message: Message) -> str | bytes:
    return message if isinstance(message, str | bytes) else json.dumps(message, separators=(",", ":"))


def _quoted(message: Message) -> str:
    """As an element of a JSON list; a text stays a text, so that one that is no JSON spoils no other."""
    return json.dumps(_plain(message), separators=(",", ":"))


def _plain(message: Message) -> Any:
    if isinstance(message, bytes):
        return message.decode("utf-8", "replace")
    return message
