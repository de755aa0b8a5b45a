"""``Publisher``: chunks, both doors, and what is kept when the broker is away."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from worker.environment.embedded_redis import EmbeddedRedis
from worker.intake.originals import messages_of
from worker.producer import Publisher

MESSAGE = {"external_id": "a", "output": {"scores": {"A": 1.0}}}


def streamed(client: redis.Redis, key: str = "predictions:inbox") -> list[bytes]:
    entries: Any = client.xrange(key)
    return [fields[b"payload"] for _, fields in entries]


def queued(client: redis.Redis, key: str = "predictions") -> list[bytes]:
    envelopes: Any = client.lrange(key, 0, -1)
    return list(envelopes)[::-1]


def test_messages_wait_for_a_full_chunk_and_the_rest_goes_at_the_end(
    redis_server: EmbeddedRedis, client: redis.Redis
) -> None:
    with Publisher(redis_server.url, chunk=3) as publisher:
        for number in range(7):
            publisher.send({"n": number})
            assert len(streamed(client)) == (number + 1) // 3 * 3
    assert [json.loads(payload)["n"] for payload in streamed(client)] == list(range(7))


@pytest.mark.parametrize("form", [MESSAGE, json.dumps(MESSAGE), json.dumps(MESSAGE).encode()])
def test_mappings_and_json_arrive_alike_through_both_doors(
    redis_server: EmbeddedRedis, client: redis.Redis, form: Any
) -> None:
    for door in ("stream", "celery"):
        with Publisher(redis_server.url, via=door) as publisher:
            publisher.send(form)
    (envelope,) = queued(client)
    (by_celery,) = messages_of(envelope)
    (by_stream,) = streamed(client)
    assert json.loads(by_celery) == json.loads(by_stream) == MESSAGE


def test_a_chunk_is_one_celery_message_whose_header_does_not_repeat_it(
    redis_server: EmbeddedRedis, client: redis.Redis
) -> None:
    with Publisher(redis_server.url, via="celery", queue="other", chunk=50) as publisher:
        for number in range(100):
            publisher.send({"n": number, "word": "only-once"})
    envelopes = queued(client, "other")
    assert [len(messages_of(envelope)) for envelope in envelopes] == [50, 50]
    assert all(b"only-once" not in envelope for envelope in envelopes)
    assert base64.b64decode(json.loads(envelopes[0])["body"]).count(b"only-once") == 50


def test_what_is_put_on_a_redis_queue_is_an_ordinary_celery_message(redis_server: EmbeddedRedis) -> None:
    with Publisher(redis_server.url, via="celery", queue="50 %s", chunk=1) as publisher:
        publisher.send(MESSAGE)
        publisher.send({"n": "é %(id)s \U0001f600"})
    with Celery(broker=redis_server.url).connection() as connection:
        received = connection.SimpleQueue("50 %s")
        first, second = received.get(timeout=5), received.get(timeout=5)
        assert first.payload[:2] == [[[MESSAGE]], {}]
        assert second.payload[:2] == [[[{"n": "é %(id)s \U0001f600"}]], {}]
        assert first.headers["task"] == "predictions.ingest"
        assert first.headers["id"] == first.properties["correlation_id"] != second.headers["id"]
        first.ack()
        second.ack()
        received.close()


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "amqps://guest:guest@127.0.0.1:1//"])
def test_rabbitmq_confirms_what_is_published(url: str) -> None:
    with Publisher(url, via="celery") as publisher:
        assert publisher._celery is not None
        connection = publisher._celery.connection_for_write()
        assert connection.transport_options["confirm_publish"] is True


def test_an_error_in_the_block_sends_nothing_more(redis_server: EmbeddedRedis, client: redis.Redis) -> None:
    publisher = Publisher(redis_server.url, inbox="box").__enter__()
    publisher.send(MESSAGE)
    publisher.__exit__(RuntimeError, RuntimeError(), None)
    assert client.exists("box") == 0


def test_what_a_full_redis_refuses_is_kept_and_sent_by_the_next_flush(
    redis_server: EmbeddedRedis, client: redis.Redis
) -> None:
    with Publisher(redis_server.url) as publisher:
        publisher.send(MESSAGE)
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.OutOfMemoryError):
                publisher.flush()
        finally:
            client.config_set("maxmemory", 0)
    assert len(streamed(client)) == 1


def test_a_broker_that_is_away_is_an_error_of_its_kind() -> None:
    publisher = Publisher("redis://127.0.0.1:9/0", chunk=1)
    with pytest.raises(redis.ConnectionError):
        publisher.send(MESSAGE)
    by_celery = Publisher("amqp://127.0.0.1:9//", via="celery", chunk=1)
    with pytest.raises(OperationalError):
        by_celery.send(MESSAGE)
