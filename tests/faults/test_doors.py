"""Both doors: every shape of message, killed movers, two servers, a full spool, a broker that is no Redis."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from tests.awaiting import PATIENCE, awaited, kill_once_written
from tests.faults.chronicle import said
from tests.faults.house import House, prediction, predictions
from worker.app import bind_runtime, create_app
from worker.delivery.wave import READY_BATCHES
from worker.environment.embedded_redis import EmbeddedRedis
from worker.producer import Publisher
from worker.settings.tree import Settings
from worker.spool import Ledger, Outcome, Settlement, Spool
from worker.spool.dead_letters import DeadLetters

TASK, QUEUE = "predictions.ingest", "predictions"


@contextmanager
def producer(house: House, **conf: Any) -> Iterator[Celery]:
    """A foreign producer: nothing but Celery and the broker's address."""
    with Celery(broker=house.redis.url) as app:
        app.conf.update(**conf)
        yield app


def numbered(house: House, project: str) -> Iterator[dict[str, Any]]:
    """Valid messages that the judge will look for, one after the other."""
    for number in range(10_000):
        message = prediction(project, f"n/{number}.jpg")
        house.published.count += 1
        house.published.note(message)
        yield message


@pytest.mark.guarantee(
    "Data",
    fault="every shape of Celery message: protocols, lists, priorities, compressions",
    promise="read",
)
def test_every_shape_of_celery_message_is_read(house: House) -> None:
    ours = numbered(house, house.project())
    with producer(house) as app:
        send(app, [next(ours)])
        send(app, [[next(ours) for _ in range(30)]])
        send(app, [next(ours), next(ours)])
        send(app, [json.dumps(next(ours))])
        send(app, [], kwargs={"prediction": next(ours)})
        send(app, [next(ours)], expires=600)
        send(app, [next(ours)], countdown=5)
        for compression in ("gzip", "bzip2", "lzma"):
            send(app, [next(ours)], compression=compression)
        for priority in range(10):
            send(app, [next(ours)], priority=priority)
    with producer(house, task_protocol=1) as app:
        send(app, [next(ours)])
    options = {"priority_steps": list(range(10)), "sep": ":"}
    with producer(house, broker_transport_options=options) as app:
        for priority in range(10):
            send(app, [next(ours)], priority=priority)
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Data",
    fault="other tasks, serializers, expiry, broken envelopes",
    promise="dead letters that say why",
)
def test_every_celery_message_that_cannot_be_read_becomes_a_dead_letter_that_says_why(house: House) -> None:
    good = prediction(house.project(), "never.jpg")
    with producer(house, accept_content=["json", "pickle", "yaml"]) as app:
        send(app, [good], name="somebody.elses.task")
        send(app, [good], serializer="pickle")
        send(app, [good], expires=datetime.now(UTC) - timedelta(seconds=5))
        send(app, [[]])
        send(app, [], kwargs={"predication": good})
        send(app, [[1] * 10_001])
    raw = [
        b"",
        b"\x80\x04\x95 no json",
        b"[1, 2]",
        b'{"body": 7}',
        json.dumps({"body": "%%%", "properties": {"body_encoding": "base64"}}).encode(),
        json.dumps(envelope(b"[[{}], {}]", compression="application/x-rar")).encode(),
        json.dumps(envelope(b"not gzip", compression="gzip")).encode(),
        json.dumps(envelope(b"\xff\xfe")).encode(),
        json.dumps(envelope(b"[" * 100_000)).encode(),
    ]
    house.client.lpush(QUEUE, *raw)
    house.published.count += 6 + len(raw)
    house.condemn(6 + len(raw))
    house.await_settled()
    house.judge()
    assert Counter(letter.cause for letter in house.case_letters()) == {
        "unknown_task": 1,
        "content_type_refused": 1,
        "expired": 1,
        "invalid_message": 2,
        "too_many": 1,
        "broken_envelope": 9,
    }


@pytest.mark.guarantee(
    "Processes",
    fault="a backlog of another version's messages",
    promise="dead letters that name the key",
)
def test_messages_of_another_version_become_dead_letters_that_name_the_key(house: House) -> None:
    project = house.project()
    house.publish(predictions(project, 20))
    of_another = [
        prediction(project, "v2.jpg", schema="prediction/v2"),
        prediction(project, "new.jpg", uncertainty={"kind": "new"}),
    ]
    house.publish([json.dumps(message).encode() for message in of_another])
    house.await_settled()
    house.judge()
    fields = {letter.about["field"] for letter in house.case_letters("invalid_message")}
    assert fields == {"schema", "uncertainty"}


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Processes",
    fault="`kill -9` while messages move from the Celery queue and the stream, again and again",
    promise="none lost, none counted twice",
)
def test_workers_killed_again_and_again_while_they_move_messages(house: House) -> None:
    project, dice = house.project(), random.Random(3)
    done = threading.Event()

    def send_all() -> None:
        with producer(house) as app, Publisher(house.redis.url, chunk=20) as stream:
            for message in predictions(project, 1200):
                if message["external_id"] < "a/5":
                    stream.send(message)
                else:
                    send(app, [message])
        done.set()

    for message in predictions(project, 1200):
        house.published.count += 1
        house.published.note(message)
    threading.Thread(target=send_all, daemon=True).start()
    kills = 0
    while not done.is_set() or kills < 4:
        worker = house.worker()
        done.wait(dice.uniform(0, 0.3))
        worker.kill()
        kills += 1
    house.worker()
    house.await_settled()
    house.judge()


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Redis",
    fault="spool and broker on two servers, workers killed",
    promise="every message counted once",
)
def test_spool_and_broker_on_two_servers_count_every_message_once_although_workers_are_killed() -> None:
    with (
        EmbeddedRedis() as broker,
        redis.Redis.from_url(broker.url) as client,
        House({"CELERY_BROKER_URL": broker.url, "WORKER_INTAKE__BATCH": "2"}) as house,
    ):
        project = house.project()
        for message in predictions(project, 900):
            house.published.count += 1
            house.published.note(message)
        with Publisher(broker.url, chunk=50) as stream, Publisher(broker.url, via="celery", chunk=50) as celery:
            for number, message in enumerate(predictions(project, 900)):
                (stream if number % 2 else celery).send(message)
        for received in (1, 500):
            worker = house.worker(wait=False)
            house.await_that(lambda: house.ledger().received >= received, "it is at work")  # noqa: B023
            worker.kill()
        house.worker()
        house.await_settled()
        house.await_that(lambda: client.xlen("predictions:inbox") == 0, "what was admitted has left the broker")
        kill_once_written(broker, client)
        broker.restart()
        house.published.count += 1
        house.published.note(late := prediction(project, "late.jpg"))
        with Publisher(broker.url) as stream:
            stream.send(late)
        house.await_settled()
        house.judge()
        house.await_that(
            lambda: house.client.zcard("pw:admitted") <= 2 * 2,
            "what has left the inbox is forgotten, but for the kills",
        )


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Redis",
    fault="more waiting than allowed",
    promise="intake is paused, logs it, and goes on",
)
def test_above_the_limit_the_doors_stop_and_say_so_and_then_take_again() -> None:
    settings = {"WORKER_INTAKE__MAX_WAITING": "400", "WORKER_INTAKE__BATCH": "50"}
    one_at_a_time = {"WORKER_DELIVERY__WAVE_ITEMS": "100", "WORKER_DELIVERY__PARALLEL_BATCHES": "1"}
    under_way = 100 * (1 + READY_BATCHES + 1)
    with House({**settings, **one_at_a_time}, has_front=True) as house:
        house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 30}})
        project = house.project()
        house.worker()
        house.publish(predictions(project, 1600))
        house.await_that(lambda: house.ledger().leased, "a wave is under way")
        house.await_that(lambda: house.ledger().waiting >= 400, "as many wait as may")
        house.await_that(lambda: said(house, "doors_closed"), "the doors close")
        house.await_that(lambda: is_held_up(house.ledger(), under_way), "nothing is leased before a call has ended")
        house.publish([prediction(project, f"c/{n}.jpg") for n in range(100)], door="celery")
        house.await_that(lambda: house.client.llen("predictions"), "messages stay in the broker")
        ledger = house.ledger()
        assert ledger.received - ledger.delivered < under_way + 400 + 50 + 1
        house.heal()
        assert house.front is not None
        house.front.shut()  # the calls that hang end, and are sent again
        house.front.open()
        house.await_settled()
        house.judge()

        def open_again() -> bool:  # said when intake looks the next time
            return len(said(house, "doors_closed")) == len(said(house, "doors_open"))

        house.await_that(open_again, "the doors are open")
        assert 1 <= len(said(house, "doors_closed")) <= 20, "not at every message"


def is_held_up(ledger: Ledger, under_way: int) -> bool:
    return ledger.leased >= under_way and ledger.waiting >= 400


@pytest.fixture
def settings(
    client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    for name, value in {
        "REDIS_URL": redis_server.url,
        "CELERY_BROKER_URL": "memory://",
        "KILI_API_KEY": "key",
        "KILI_API_ENDPOINT": "http://127.0.0.1:9/graphql",
        "WORKER_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
        "WORKER_INTAKE__MAX_WAITING": "300",
        "WORKER_INTAKE__BATCH": "50",
        "WORKER_KILI__ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.guarantee(
    "Redis",
    fault="a broker that is no Redis (kombu's in-memory transport)",
    promise="late acknowledgement",
)
def test_a_broker_that_is_no_redis_is_consumed_without_loss_and_only_while_the_doors_are_open(
    settings: Settings,
) -> None:
    app = create_app(settings)
    runtime = bind_runtime(app, settings)
    spool, messages = runtime.spool, predictions("p", 800)
    with Celery(broker=settings.broker) as foreign:
        send(foreign, [messages[0]], serializer="pickle")
        send(foreign, [messages[0]], name="somebody.elses.task")
        send(foreign, [messages[:20]], compression="gzip")
        for message in messages[20:]:
            send(foreign, [message])
    with start_worker(app, pool="threads", perform_ping_check=False, shutdown_timeout=PATIENCE):
        awaited(lambda: spool.ledger().waiting >= 300)
        assert spool.ledger().received + spool.redis.xlen("predictions:inbox") < 700, "the rest stays in the broker"
        awaited(lambda: deliver(spool) or spool.ledger().received == 802)
        assert DeadLetters(spool.redis, spool.prefix).causes() == {"content_type_refused": 1, "unknown_task": 1}
        ledger = spool.ledger()
        assert (ledger.conservation_error, ledger.waiting + ledger.delivered) == (0, 800)


def deliver(spool: Spool) -> None:
    """A wave that goes well, unless the worker is at the project, which it cannot deliver."""
    token = spool.acquire("p")
    if token is None:
        return
    entries = spool.lease("p", token, items=1000, max_bytes=10**8, aging_ms=60_000)
    spool.settle("p", token, [Settlement(entry, Outcome.DELIVERED) for entry in entries])
    spool.release("p", token)


def send(app: Celery, args: list[Any], *, name: str = TASK, **options: Any) -> None:
    app.send_task(name, args, queue=QUEUE, **options)


def envelope(body: bytes, **headers: str) -> dict[str, Any]:
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "headers": {"task": TASK, **headers},
        "properties": {"body_encoding": "base64"},
    }
