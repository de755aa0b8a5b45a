"""What the receiving sources make of their settings, and of a server that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer
from pydantic import SecretStr

from tests.awaiting import free_port
from tests.faults.tls import CERTIFICATE
from worker.settings.source_groups import KafkaSettings, SqsSettings
from worker.sources.base import Receiver, SourceError
from worker.sources.broker_queue import QueueReceiver
from worker.sources.kafka import KafkaReceiver, options_of
from worker.sources.sqs import SqsReceiver

SECURE = KafkaSettings(
    brokers="a:9093,b:9093",
    topics=["t"],
    security_protocol="sasl_ssl",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="worker",
    sasl_password=SecretStr("secret"),
    ssl_ca_file=CERTIFICATE,
    ssl_certificate_file=CERTIFICATE,
    ssl_key_file=CERTIFICATE,
    options=["client.rack=a", "session.timeout.ms=10000"],
)


def test_tls_and_sasl_reach_kafka_s_client_which_takes_them() -> None:
    found = options_of(SECURE)
    assert found["security.protocol"] == "sasl_ssl"
    sasl = [found[f"sasl.{name}"] for name in ("mechanism", "username", "password")]
    assert sasl == ["SCRAM-SHA-512", "worker", "secret"]
    files = [found[f"ssl.{name}.location"] for name in ("ca", "certificate", "key")]
    assert files == [str(CERTIFICATE)] * 3
    assert (found["client.rack"], found["session.timeout.ms"]) == ("a", "10000")
    Consumer(found).close()  # librdkafka refuses options and files that it cannot use


def test_nobody_turns_the_commit_of_offsets_on() -> None:
    options = ["enable.auto.commit=true", "enable.auto.offset.store=true"]
    found = options_of(KafkaSettings(topics=["t"], options=options))
    assert (found["enable.auto.commit"], found["enable.auto.offset.store"]) == (False, False)


def test_a_file_that_kafka_s_client_cannot_use_is_the_source_s_trouble(tmp_path: Path) -> None:
    settings = SECURE.model_copy(update={"ssl_ca_file": tmp_path / "missing.pem"})
    with pytest.raises(SourceError, match=r"WORKER_KAFKA__SSL_CA_FILE: no .*missing\.pem"):
        KafkaReceiver(settings, pairs=True).open()


def receivers() -> dict[str, Receiver]:
    at = f"127.0.0.1:{free_port()}"
    queue = f"http://{at}/123456789012/predictions"
    sqs = SqsSettings(queue_urls=[queue], region="eu-west-1", endpoint_url=f"http://{at}")
    return {
        "amqp": QueueReceiver(f"amqp://guest:guest@{at}//", "q", {}, lambda _message: []),
        "amqps": QueueReceiver(f"amqps://guest:guest@{at}//", "q", {}, lambda _message: []),
        "kafka": KafkaReceiver(KafkaSettings(brokers=at, topics=["t"]), pairs=True),
        "sqs": SqsReceiver(sqs, pairs=True),
    }


@pytest.mark.parametrize("name", ["amqp", "amqps", "kafka", "sqs"])
def test_a_server_that_is_not_there_is_the_source_s_trouble(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "test")
    receiver = receivers()[name]

    def begin() -> None:
        receiver.open()
        receiver.receive()

    try:
        with pytest.raises(SourceError):
            begin()
    finally:
        receiver.close()
