"""The Kafka source: a consumer group whose offsets are committed when the records are in the inbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.intake import RawMessage
from worker.settings.source_groups import KafkaSettings
from worker.settings.tree import Settings
from worker.sources.base import ReceivingSource, SourceError
from worker.sources.wrapped import messages_in

logger = logging.getLogger(__name__)

AT_ONCE = 200
WAIT = 0.2
METADATA_SECONDS = 5.0


class Complaints:
    """What the client says of its connections: the cause, where a call knows only that no broker answered in time."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, error: Any) -> None:
        """Called by the client; that all brokers are down is no cause."""
        from confluent_kafka import KafkaError

        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.last = error.str()

    def beside(self, error: Exception) -> str:
        """The error of a call, and the cause."""
        return f"{error}; {self.last}" if self.last and self.last not in str(error) else str(error)


class KafkaReceiver:
    """Receives from the topics as a member of the group.

    A record's id is its topic, partition and offset: one that is read again, since its offset was not committed, is
    taken once.

    Args:
        settings: brokers, topics, group and security.
        pairs: whether logged requests and responses are joined.
    """

    def __init__(self, settings: KafkaSettings, *, pairs: bool) -> None:
        self._settings = settings
        self._pairs = pairs
        self._consumer: Any = None
        self._complaints = Complaints()
        self._is_paused = False
        self._taken: list[Any] = []

    def open(self) -> None:
        """Join the group."""
        from confluent_kafka import Consumer, KafkaException

        try:
            self._consumer = Consumer({**options_of(self._settings), "error_cb": self._complaints}, logger=logger)
            self._consumer.list_topics(timeout=METADATA_SECONDS)
            self._consumer.subscribe(self._settings.topics, on_assign=self._assigned, on_revoke=self._revoked)
        except (KafkaException, ValueError) as error:
            raise self._failed(error) from error

    def receive(self) -> Sequence[RawMessage]:
        """The next records."""
        self._pause(False)
        self._taken = self._polled(AT_ONCE, WAIT)
        return [raw for record in self._taken for raw in self._read(record)]

    def acknowledge(self) -> None:
        """Commit the offsets behind the records that were received."""
        from confluent_kafka import KafkaException, TopicPartition

        taken, self._taken = self._taken, []
        ends: dict[tuple[str, int], int] = {}
        for record in taken:
            place = (record.topic(), record.partition())
            ends[place] = max(ends.get(place, 0), record.offset() + 1)
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise SourceError(f"Kafka does not take the offsets: {error}") from error

    def rest(self) -> None:
        """Stay in the group without taking records."""
        self._pause(True)
        records = self._polled(1, 0.0)
        for record in records:  # of a partition that was assigned meanwhile
            self._consumer.seek(_place(record))

    def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            self._consumer.close()

    def lag(self) -> int:
        """Records of this member's partitions that are not in the inbox yet. Raises SourceError."""
        from confluent_kafka import KafkaException

        try:
            places = self._consumer.committed(self._consumer.assignment(), timeout=METADATA_SECONDS)
            total = 0
            for place in places:
                low, high = self._consumer.get_watermark_offsets(place, timeout=METADATA_SECONDS)
                total += max(0, high - max(place.offset, low))  # what is committed may be newer than the end
        except KafkaException as error:
            raise self._failed(error) from error
        return int(total)

    def _polled(self, most: int, wait: float) -> list[Any]:
        from confluent_kafka import KafkaException

        try:
            found = self._consumer.consume(most, wait)
        except KafkaException as error:
            raise self._failed(error) from error
        failed = next((record.error() for record in found if record.error() is not None), None)
        if failed is not None:
            raise SourceError(f"Kafka: {failed}")
        return list(found)

    def _failed(self, error: Exception) -> SourceError:
        """The error with its cause, which the client tells when it is polled."""
        if self._consumer is not None:
            self._consumer.poll(0)
        return SourceError(f"Kafka: {self._complaints.beside(error)}")

    def _pause(self, wanted: bool) -> None:
        if wanted != self._is_paused:
            self._is_paused = wanted
            places = self._consumer.assignment()
            (self._consumer.pause if wanted else self._consumer.resume)(places)

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        message = "%d partitions assigned"
        logger.info(message, len(places), extra={"action": "kafka_assigned", "partitions": len(places)})
        if self._is_paused:
            consumer.pause(places)

    def _revoked(self, _consumer: Any, places: list[Any]) -> None:
        """What is in hand is put all the same: its ids keep the next member's reading from doubling it."""
        message = "%d partitions revoked"
        logger.info(message, len(places), extra={"action": "kafka_revoked", "partitions": len(places)})

    def _read(self, record: Any) -> list[RawMessage]:
        body = record.value()
        name = f"{record.topic()}\n{record.partition()}\n{record.offset()}"
        return messages_in(body if body is not None else b"", name, _headers(record), pairs=self._pairs)


def options_of(settings: KafkaSettings) -> dict[str, Any]:
    """The consumer's options, named as librdkafka does."""
    found: dict[str, Any] = {
        "bootstrap.servers": settings.brokers,
        "group.id": settings.group,
        "auto.offset.reset": "earliest",
        "fetch.message.max.bytes": 16_000_000,
        "queued.max.messages.kbytes": 32_768,
        "client.id": "prediction-worker",
        "log_level": 2,  # each attempt to connect is not worth a line; the cause is in what is reported
    }
    return {**found, **security_of(settings), "enable.auto.commit": False, "enable.auto.offset.store": False}


def security_of(settings: KafkaSettings) -> dict[str, Any]:
    """How brokers are spoken to, and the user's own options.

    Raises:
        ValueError: a file is not there; names setting and file.
    """
    found: dict[str, Any] = {"security.protocol": settings.security_protocol}
    given = {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        "ssl.ca.location": settings.ssl_ca_file,
        "ssl.certificate.location": settings.ssl_certificate_file,
        "ssl.key.location": settings.ssl_key_file,
    }
    for name, value in given.items():
        if isinstance(value, Path) and not value.exists():
            raise ValueError(
                f"WORKER_KAFKA__{name.replace('.location', '.file').replace('.', '_').upper()}: no {value}"
            )
    found |= {name: str(value) for name, value in given.items() if value is not None}
    for option in settings.options:
        name, _, value = option.partition("=")
        found[name.strip()] = value.strip()
    return found


def _place(record: Any) -> Any:
    from confluent_kafka import TopicPartition

    return TopicPartition(record.topic(), record.partition(), record.offset())


def _headers(record: Any) -> Mapping[str, str]:
    pairs = record.headers() or []
    return {str(name): value.decode("utf-8", "replace") for name, value in pairs if isinstance(value, bytes)}


def kafka_source(settings: Settings) -> ReceivingSource:
    """The Kafka source that the settings describe.

    Raises:
        ValueError: no topic is named, a file is not there, or the extra is not installed.
    """
    if not settings.kafka.topics:
        raise ValueError("the kafka source needs WORKER_KAFKA__TOPICS")
    try:
        import confluent_kafka  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("the kafka source needs pip install 'kili-prediction-worker[kafka]'") from None
    security_of(settings.kafka)
    pairs = settings.kserve.mode == "all"
    return ReceivingSource("kafka", lambda: KafkaReceiver(settings.kafka, pairs=pairs))
