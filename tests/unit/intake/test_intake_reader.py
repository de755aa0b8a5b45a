"""The reader takes ahead: what waits on the server is looked for while messages are parsed, and none is left over."""

from __future__ import annotations

import json
import threading

import pytest
import redis

from worker.contract.schemas import EXAMPLE
from worker.intake import Admitter, Inbox, InboxReader, ReaderLimits, Rules
from worker.projects.configuration import Projects
from worker.review import ThresholdPolicy
from worker.spool import INBOX_GROUP, Spool

pytestmark = pytest.mark.servers("all")

KEY, BATCH = "inbox", 10


class Intake:
    """A reader that takes ten at once, and its spool."""

    def __init__(self, client: redis.Redis, *, recover_seconds: float = 60.0) -> None:
        self.client = client
        self.spool = Spool(client, prefix="r:", lease_ms=60_000, remember_ms=60_000)
        admitter = Admitter(self.spool, ThresholdPolicy(0.8), Rules(), Projects(None))
        inbox = Inbox(client, key=KEY, queue="", consumer="one")
        limits = ReaderLimits(BATCH, recover_seconds, 1_000)
        self.reader = InboxReader(inbox, admitter, self.spool, limits, same_redis=True, stop=threading.Event())
        self.reader.open()

    def add(self, count: int) -> None:
        for number in range(count):
            self.client.xadd(KEY, {"payload": json.dumps({**EXAMPLE, "external_id": str(number)})})

    def state(self) -> tuple[int, int, int]:
        """Entries admitted, in the reader's hands, and still in the inbox."""
        ledger, pending = self.spool.ledger(), self.client.xpending(KEY, INBOX_GROUP)
        assert ledger.conservation_error == 0
        return ledger.received, pending["pending"], self.client.xlen(KEY)  # type: ignore[index,return-value]


def test_a_full_batch_is_followed_by_one_that_was_taken_ahead(client: redis.Redis) -> None:
    intake = Intake(client)
    intake.add(25)
    assert intake.reader.step()
    assert intake.state() == (10, 10, 15)
    assert intake.reader.step()
    assert intake.reader.step()
    assert intake.state() == (25, 0, 0)
    assert not intake.reader.step()


def test_what_was_taken_ahead_is_admitted_before_the_reader_leaves(client: redis.Redis) -> None:
    intake = Intake(client)
    intake.add(35)
    intake.reader.step()
    intake.reader.leave()
    assert intake.state() == (20, 0, 15)
    assert client.xinfo_consumers(KEY, INBOX_GROUP) == []


def test_a_batch_that_was_taken_ahead_waits_while_the_spool_is_full(client: redis.Redis) -> None:
    intake = Intake(client)
    intake.add(30)
    intake.reader.step()
    client.hincrby("r:ledger", "waiting", 1_000)
    assert not intake.reader.step()
    assert intake.reader.closed
    client.hincrby("r:ledger", "waiting", -1_000)
    while intake.reader.step():
        pass
    assert intake.state() == (30, 0, 0)


def test_a_batch_whose_answer_is_lost_is_taken_over_like_that_of_a_dead_reader(client: redis.Redis) -> None:
    intake = Intake(client, recover_seconds=0.0)
    intake.add(35)
    intake.reader.step()
    for known in client.client_list():
        if known["id"] != str(client.client_id()):
            client.client_kill_filter(_id=known["id"])
    while intake.reader.step():
        pass
    assert intake.state() == (35, 0, 0)
    assert not intake.reader.trouble


def test_a_group_that_was_destroyed_meanwhile_is_made_anew(client: redis.Redis) -> None:
    intake = Intake(client)
    intake.add(25)
    intake.reader.step()
    client.xgroup_destroy(KEY, INBOX_GROUP)
    for _ in range(10):
        intake.reader.step()
    assert intake.state() == (25, 0, 0)
