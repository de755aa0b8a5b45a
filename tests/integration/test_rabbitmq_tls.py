"""RabbitMQ over TLS with a certificate that is checked, against a real server with a certificate of its own."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from tests.conformance.sources.rabbitmq_server import RABBITMQ, RabbitServer, shared_server
from tests.faults.tls import CERTIFICATE
from worker.sources.base import SourceError
from worker.sources.broker_queue import QueueReceiver

pytestmark = [
    pytest.mark.skipif(not RABBITMQ, reason="no rabbitmq-server; Debian: apt-get install rabbitmq-server"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def server() -> RabbitServer:
    return shared_server()


@pytest.fixture
def queue(server: RabbitServer) -> Iterator[str]:
    """A queue with one message."""
    name = f"tls-{uuid.uuid4().hex[:8]}"
    with Connection(f"amqp://guest:guest@127.0.0.1:{server.port}//") as connection:
        connection.default_channel.queue_declare(name, durable=True, auto_delete=False)
        connection.Producer().publish({"external_id": "a"}, routing_key=name, serializer="json")
        yield name
        connection.default_channel.queue_delete(name)


def received(server: RabbitServer, queue: str, host: str) -> list[Any]:
    receiver = QueueReceiver(
        f"amqps://guest:guest@{host}:{server.tls_port}//", queue, {}, lambda message: [message.body]
    )
    try:
        receiver.open()
        found: list[Any] = []
        while not found:
            found = list(receiver.receive())
        receiver.acknowledge()
        return found
    finally:
        receiver.close()


def test_a_certificate_that_is_trusted_is_taken(
    server: RabbitServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert received(server, queue, "localhost") == ['{"external_id": "a"}']


def test_a_certificate_that_nobody_trusts_is_refused(server: RabbitServer, queue: str) -> None:
    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        received(server, queue, "localhost")


def test_a_certificate_of_another_host_is_refused(
    server: RabbitServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    looked_up = socket.getaddrinfo

    def here(host: str, *args: Any, **options: Any) -> Any:
        return looked_up("127.0.0.1" if host == "rabbit.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    with pytest.raises(SourceError, match="mismatch"):
        received(server, queue, "rabbit.example")
