"""``prediction-worker publish``."""

from __future__ import annotations

import codecs
import gzip
import os
import stat
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING

import click
import redis

from worker.cli.running import count_of, fail, load_settings
from worker.settings.tree import Settings

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from worker.settings.tree import Settings

Send = Callable[[Sequence[bytes]], None]
"""Sends messages; they are durable when it returns. Raises SendingFailed."""


class SendingFailed(Exception):
    """The server did not take messages."""


@contextmanager
def sending(via: str, settings: Settings) -> Iterator[Send]:
    """A way to send to the HTTP, Kafka, RabbitMQ or SQS source that the settings describe.

    Raises:
        SendingFailed: the server is not there.
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
                raise SendingFailed(f"{type(error).__name__}: {error}") from error
            if answer.status_code != httpx.codes.ACCEPTED:
                raise SendingFailed(f"{answer.status_code}: {answer.text[:300]}")

        yield send


@contextmanager
def _kafka(settings: Settings) -> Iterator[Send]:
    from confluent_kafka import KafkaException, Producer

    from worker.sources.kafka import METADATA_SECONDS, Complaints, security_of

    own = settings.kafka
    if not own.topics:
        raise SendingFailed("WORKER_KAFKA__TOPICS names no topic")
    complaints = Complaints()
    options = {"bootstrap.servers": own.brokers, "enable.idempotence": True, "error_cb": complaints}
    try:
        producer = Producer({**options, "log_level": 2, **security_of(own)})
    except (KafkaException, ValueError) as error:
        raise SendingFailed(str(error)) from error
    try:
        producer.list_topics(own.topics[0], timeout=METADATA_SECONDS)
    except KafkaException as error:
        producer.poll(0)
        raise SendingFailed(complaints.beside(error)) from error

    def send(chunk: Sequence[bytes]) -> None:
        failed: list[object] = []
        try:
            for message in chunk:
                producer.produce(own.topics[0], message, on_delivery=lambda e, _: failed.append(e) if e else None)
            left = producer.flush(60)
        except (KafkaException, BufferError) as error:
            raise SendingFailed(str(error)) from error
        if left or failed:
            raise SendingFailed(str(failed[0]) if failed else f"{left} messages were not acknowledged within 60 s")

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
        raise SendingFailed(f"{type(error).__name__}: {error}") from error


@contextmanager
def _sqs(settings: Settings) -> Iterator[Send]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    own = settings.sqs
    if not own.queue_urls:
        raise SendingFailed("WORKER_SQS__QUEUE_URLS names no queue")
    client = boto3.client("sqs", region_name=own.region, endpoint_url=own.endpoint_url)

    def send(chunk: Sequence[bytes]) -> None:
        for start in range(0, len(chunk), 10):
            bodies = [body.decode("utf-8", "replace") for body in chunk[start : start + 10]]
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
            try:
                failed = client.send_message_batch(QueueUrl=own.queue_urls[0], Entries=entries).get("Failed")
            except (BotoCoreError, ClientError) as error:
                raise SendingFailed(str(error)) from error
            if failed:
                raise SendingFailed(f"{failed[0].get('Code')}: {failed[0].get('Message')}")

    yield send


VIA = ("celery", "stream", "http", "kafka", "rabbitmq", "sqs")
GZIP = b"\x1f\x8b"


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--via", type=click.Choice(VIA), default="stream", help="The source to send to.")
@click.option("--chunk", type=click.IntRange(1, 10_000), default=100, help="Predictions sent at once.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def publish(file: IO[bytes], via: str, chunk: int, quiet: bool) -> None:
    """Send FILE (JSON Lines, one prediction a line, gzip or not; - for standard input) to a source.

    Lines are sent as they are: the worker says what is wrong with them.
    """
    from kombu.exceptions import OperationalError

    from worker.producer import Publisher

    settings = load_settings()
    if via not in ("celery", "stream"):
        _send(file, via, settings, chunk, quiet)
        return
    if via == "stream" and not settings.broker_is_redis:
        fail("the stream needs a Redis broker; use --via celery")
    intake = settings.intake
    publisher = Publisher(
        settings.broker,
        via="celery" if via == "celery" else "stream",
        queue=intake.queue,
        inbox=intake.inbox,
        chunk=chunk,
    )
    try:
        with publisher, _progress(file, quiet) as advance:
            for line, read in _lines(file):
                publisher.send(line)
                advance(read)
    except (redis.RedisError, OperationalError) as error:
        fail(f"the broker took {count_of(publisher.sent, 'prediction')} and then no more: {error}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fail(f"{file.name}: the gzip file is broken: {error}; sent before: {count_of(publisher.sent, 'prediction')}")
    click.echo(f"{count_of(publisher.sent, 'prediction')} sent")


def _send(file: IO[bytes], via: str, settings: Settings, chunk: int, quiet: bool) -> None:
    """Send to a source that has a server of its own, chunk by chunk."""
    sent = 0
    try:
        with sending(via, settings) as send, _progress(file, quiet) as advance:
            lines = _lines(file)
            while part := list(islice(lines, chunk)):
                send([line for line, _ in part])
                sent += len(part)
                advance(sum(read for _, read in part))
    except SendingFailed as error:
        fail(f"the {via} source took {count_of(sent, 'prediction')} and then no more: {error}")
    except ModuleNotFoundError as error:
        fail(f"--via {via} needs {error.name}: pip install 'kili-prediction-worker[{via}]'")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fail(f"{file.name}: the gzip file is broken: {error}; sent before: {count_of(sent, 'prediction')}")
    click.echo(f"{count_of(sent, 'prediction')} sent")


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines that are not empty, each with the bytes of FILE that it took; one document of many lines is refused."""
    peek = getattr(file, "peek", None)
    packed = peek is not None and peek(len(GZIP))[: len(GZIP)] == GZIP
    lines: Iterable[bytes] = gzip.GzipFile(fileobj=file) if packed else file
    before = b""
    for line in lines:
        text = line.strip() if before else line.removeprefix(codecs.BOM_UTF8).strip()
        if not before and text in (b"[", b"{"):
            fail(f"{file.name} is one JSON document over many lines; write one prediction a line, as jq -c '.[]' does")
        before = before or text
        if text:
            yield text, 0 if packed else len(line)


@contextmanager
def _progress(file: IO[bytes], quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar on standard error where there is a length to measure by; to be told of bytes that are read."""
    length = None if quiet else _length(file)
    if length is None:
        yield lambda _bytes: None
        return
    bar: ProgressBar[int]
    with click.progressbar(length=length, label="publishing", file=click.get_text_stream("stderr")) as bar:
        yield bar.update


def _length(file: IO[bytes]) -> int | None:
    """Bytes of a file on disk that are left to read; None for a pipe, a terminal, a device."""
    try:
        found = os.fstat(file.fileno())
        return found.st_size - file.tell() if stat.S_ISREG(found.st_mode) else None
    except OSError:
        return None
