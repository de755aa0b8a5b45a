"""A Kafka group of two workers: one is asked to end, another is killed, and their partitions go to who is left."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.conformance.sources.worlds import Kafka, opened
from tests.faults.house import predictions
from worker.demo.environment import WorkerProcess

pytestmark = [pytest.mark.skipif(bool(Kafka.absent), reason=Kafka.absent), pytest.mark.timeout(600)]
SOURCE = Kafka
LIMIT = 100.0


class Group(Kafka):
    """Six partitions for the members to share."""

    partitions: ClassVar[int] = 6

    def held(self, worker: WorkerProcess) -> int:
        """Partitions that a worker says it has."""
        written = worker.log.read_text("utf-8").rpartition("\n")[0].splitlines()
        told = [json.loads(line) for line in written if '"kafka_assigned"' in line or '"kafka_revoked"' in line]
        return int(told[-1]["partitions"]) if told and told[-1]["action"] == "kafka_assigned" else 0

    def await_shared(self, *workers: WorkerProcess) -> None:
        """Wait until these workers have all partitions among them, each at least one."""

        def is_shared() -> bool:
            counts = [self.held(one) for one in workers]
            return all(counts) and sum(counts) == self.partitions

        self.house.await_that(is_shared, "the partitions are shared", LIMIT)

    def sending(self, messages: Sequence[Mapping[str, Any]]) -> threading.Thread:
        """Send in the background, so that what happens meanwhile happens in the middle."""
        thread = threading.Thread(target=self.publish, args=(messages,), daemon=True)
        thread.start()
        return thread

    def received(self, count: int) -> None:
        self.house.await_that(lambda: self.house.ledger().received >= count, f"{count} are received", LIMIT)

    def committed(self) -> int:
        """Records before the offsets that the group has committed."""
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": "prediction-worker"})
        try:
            places = [TopicPartition(self.topic, number) for number in range(self.partitions)]
            return sum(max(place.offset, 0) for place in consumer.committed(places, timeout=20))
        finally:
            consumer.close()


@pytest.mark.guarantee(
    "Sources",
    fault="members of a Kafka group come, end and are killed while records come",
    promise="the others take their partitions; none lost, none counted twice, offsets committed",
)
def test_a_group_goes_on_when_a_member_ends_and_when_one_is_killed() -> None:
    with opened(Group) as world:
        assert isinstance(world, Group)
        messages = predictions(world.project, 900)
        first, second = world.house.worker(), world.house.worker()
        world.await_shared(first, second)
        sender = world.sending(messages[:300])
        world.received(20)
        first.process.terminate()
        assert first.process.wait(LIMIT) == 0
        third = world.house.worker()
        sender.join(LIMIT)
        world.await_shared(second, third)
        sender = world.sending(messages[300:600])
        world.received(320)
        second.kill()
        sender.join(LIMIT)
        world.publish(messages[600:])
        world.house.await_settled(LIMIT)
        world.house.judge()
        world.await_shared(third)
        assert world.house.spool.sources() == {"kafka": len(messages)}
        world.house.await_that(lambda: world.committed() == len(messages), "the offsets are committed", LIMIT)
