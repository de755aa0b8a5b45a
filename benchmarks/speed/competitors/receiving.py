"""The receiving end of a source: ours, which puts messages into the inbox, or a bare client loop that parses them.

Both connect, wait for messages, and are measured from the end of their first batch to the end of the last, so that
joining a group or logging in does not count.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import boto3
from confluent_kafka import Consumer
from kombu import Connection

from benchmarks.speed.competitors.serving import Run, serve
from worker.intake import RawMessage, Stored
from worker.settings.tree import Settings
from worker.sources import WaitingLimit, make_sources
from worker.wiring import inbox_of, put_limits_of, spool_of

NO_LIMIT = 10**9


class Meter:
    """Counts messages from the first batch on."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._before = 0
        self._count = 0
        self._begun = (0.0, 0.0)

    def note(self, messages: int) -> bool:
        """One batch is done; whether it was the last."""
        if not self._count:
            self._before, self._begun = messages, (time.perf_counter(), time.process_time())
        self._count += messages
        return self._count >= self._wanted

    def found(self) -> dict[str, Any]:
        """Messages after the first batch, and what they took."""
        seconds, cpu = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        return {"messages": self._count - self._before, "seconds": seconds, "cpu": cpu}


def prepare(task: dict[str, Any]) -> Run:
    """Get ready to receive as ``task["name"]`` names it."""
    os.environ.update(task["environment"])
    meter = Meter(task["messages"])
    return (lambda: _ours(task, meter)) if task["is_ours"] else (lambda: _bare(task, meter))


def _ours(task: dict[str, Any], meter: Meter) -> Mapping[str, Any]:
    """The source as a worker runs it; admission is not part of it."""
    settings, stop = Settings(), threading.Event()
    inbox, limits = inbox_of(settings), put_limits_of(settings)
    closed = WaitingLimit(spool_of(settings), settings.intake.max_waiting)
    (source,) = make_sources(settings, [task["name"]])

    def put(messages: Sequence[RawMessage], *, strict: bool = False) -> Sequence[Stored]:
        stored = inbox.put(messages, source.name, limits, strict=strict)
        if meter.note(len(messages)):
            stop.set()
        return stored

    source.run(put, lambda: not closed() and inbox.length() < NO_LIMIT, stop)
    return meter.found()


def _bare(task: dict[str, Any], meter: Meter) -> Mapping[str, Any]:
    for messages in BARE[task["name"]](task):
        if messages and meter.note(messages):
            break
    return meter.found()


def _kafka(task: dict[str, Any]) -> Iterator[int]:
    options = {"bootstrap.servers": task["brokers"], "group.id": "bare", "auto.offset.reset": "earliest"}
    consumer = Consumer({**options, "enable.auto.commit": False})
    consumer.subscribe([task["topic"]])
    while True:
        records = consumer.consume(200, 0.2)
        for record in records:
            json.loads(record.value())
        if records:
            consumer.commit(asynchronous=False)
        yield len(records)


def _rabbitmq(task: dict[str, Any]) -> Iterator[int]:
    with Connection(task["url"]) as connection:
        channel = connection.default_channel
        channel.basic_qos(0, 100, False)
        done = 0

        def arrived(message: Any) -> None:
            nonlocal done
            json.loads(message.body)
            channel.basic_ack(message.delivery_tag)
            done += 1

        channel.basic_consume(task["queue"], callback=arrived)
        while True:
            connection.drain_events(timeout=30)
            found, done = done, 0
            yield found


def _sqs(task: dict[str, Any]) -> Iterator[int]:
    client = boto3.client("sqs", endpoint_url=task["endpoint"], region_name=task["region"])
    while True:
        found = client.receive_message(QueueUrl=task["queue"], MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = found.get("Messages", [])
        for message in messages:
            json.loads(message["Body"])
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
        if entries:
            client.delete_message_batch(QueueUrl=task["queue"], Entries=entries)
        yield len(entries)


BARE: dict[str, Callable[[dict[str, Any]], Iterator[int]]] = {"kafka": _kafka, "rabbitmq": _rabbitmq, "sqs": _sqs}


if __name__ == "__main__":
    serve(prepare)
