"""Where ``publish`` sends to: one function that sends a chunk, for each source."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from worker.settings.tree import Settings

Send = Callable[[Sequence[bytes]], None]
"""Sends messages; they are durable when it returns. Raises NotSent."""


class NotSent(Exception):
    """The server did not take messages."""


@contextmanager
def sending(via: str, settings: Settings) -> Iterator[Send]:
    """A way to send to the HTTP, Kafka, RabbitMQ or SQS source that the settings describe.

    Raises:
        NotSent: the server is not there.
    """
    ways = {"http": _http, "kafka": _kafka, "rabbitmq": _rabbitmq, "sqs": _sqs}
    with ways[via](settings) as send:
        yield send


@contextmanager
def _http(settings: Settings) -> Iterator[Send]:
    import httpx

    own = settings.serve
    headers = {"Content-Type": "application/x-ndjson"}
    if own.tokens:
        headers["Authorization"] = f"Bearer {own.tokens[0].get_secret_value()}"
    with httpx.Client(base_url=f"http://{own.host}:{own.port}", headers=headers, timeout=60) as client:

        def send(chunk: Sequence[bytes]) -> None:
            key = {"Idempotency-Key": str(uuid.uuid4())}
            try:
                answer = client.post("/v1/predictions?on_error=keep", content=b"\n".join(chunk), headers=key)
            except httpx.HTTPError as error:
                raise NotSent(f"{type(error).__name__}: {error}") from error
            if answer.status_code != httpx.codes.ACCEPTED:
                raise NotSent(f"{answer.status_code}: {answer.text[:300]}")

        yield send


@contextmanager
def _kafka(settings: Settings) -> Iterator[Send]:
    from confluent_kafka import KafkaException, Producer

    from worker.sources.kafka import METADATA_SECONDS, Complaints, security_of

    own = settings.kafka
    if not own.topics:
        raise NotSent("WORKER_KAFKA__TOPICS names no topic")
    complaints = Complaints()
    options = {"bootstrap.servers": own.brokers, "enable.idempotence": True, "error_cb": complaints}
    try:
        producer = Producer({**options, "log_level": 2, **security_of(own)})
    except (KafkaException, ValueError) as error:
        raise NotSent(str(error)) from error
    try:
        producer.list_topics(own.topics[0], timeout=METADATA_SECONDS)
    except KafkaException as error:
        producer.poll(0)
        raise NotSent(complaints.beside(error)) from error

    def send(chunk: Sequence[bytes]) -> None:
        failed: list[object] = []
        try:
            for message in chunk:
                producer.produce(own.topics[0], message, on_delivery=lambda e, _: failed.append(e) if e else None)
            left = producer.flush(60)
        except (KafkaException, BufferError) as error:
            raise NotSent(str(error)) from error
        if left or failed:
            raise NotSent(str(failed[0]) if failed else f"{left} messages were not acknowledged within 60 s")

    yield send


@contextmanager
def _rabbitmq(settings: Settings) -> Iterator[Send]:
    import amqp
    from kombu import Connection
    from kombu.exceptions import KombuError

    own = settings.rabbitmq
    url = own.url.get_secret_value() if own.url else settings.broker
    try:
        with Connection(url, transport_options={"confirm_publish": True}) as connection:
            connection.ensure_connection(max_retries=1)
            channel = connection.default_channel

            def send(chunk: Sequence[bytes]) -> None:
                for body in chunk:
                    named = {"message_id": str(uuid.uuid4()), "delivery_mode": 2}
                    message = amqp.Message(body, content_type="application/json", **named)
                    channel.basic_publish_confirm(message, "", own.queue, mandatory=True)

            yield send
    except (amqp.AMQPError, KombuError, OSError) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from error


@contextmanager
def _sqs(settings: Settings) -> Iterator[Send]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    own = settings.sqs
    if not own.queue_urls:
        raise NotSent("WORKER_SQS__QUEUE_URLS names no queue")
    client = boto3.client("sqs", region_name=own.region, endpoint_url=own.endpoint_url)

    def send(chunk: Sequence[bytes]) -> None:
        for start in range(0, len(chunk), 10):
            bodies = [body.decode("utf-8", "replace") for body in chunk[start : start + 10]]
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
            try:
                failed = client.send_message_batch(QueueUrl=own.queue_urls[0], Entries=entries).get("Failed")
            except (BotoCoreError, ClientError) as error:
                raise NotSent(str(error)) from error
            if failed:
                raise NotSent(f"{failed[0].get('Code')}: {failed[0].get('Message')}")

    yield send
