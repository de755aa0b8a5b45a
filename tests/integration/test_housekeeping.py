"""Nothing is kept for ever: letters end with notice, projects that are gone are forgotten, the sum holds."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import redis

from tests.integration.test_spool import check
from tests.unit.feedback.feedback_records import traffic
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.housekeeping import Housekeeping, HousekeepingLimits
from worker.feedback.store import FeedbackStore
from worker.monitoring.exporter import prometheus_text
from worker.monitoring.status import collect, text
from worker.settings.tree import Settings
from worker.spool import Arrival, Dead, Outcome, Settlement, Spool, Waiting
from worker.spool.dead_letters import DeadLetters

pytestmark = pytest.mark.servers("all")
HOUR = 3_600_000
LIMITS = HousekeepingLimits(letters=10, letter_age=100 * HOUR, expiry=24 * HOUR, project_silence=1000 * HOUR)


class Time:
    """Milliseconds from a minute ahead on, as a test wants them."""

    def __init__(self, client: redis.Redis) -> None:
        seconds, _ = client.time()  # type: ignore[misc]
        self.now = (seconds + 60) * 1000

    def __call__(self) -> int:
        return self.now

    def pass_hours(self, hours: float) -> None:
        self.now += int(hours * HOUR)


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    return Spool(client, prefix="pw:", lease_ms=60_000, remember_ms=60_000)


@pytest.fixture
def clock(client: redis.Redis) -> Time:
    return Time(client)


@pytest.fixture
def keeper(spool: Spool, clock: Time) -> Housekeeping:
    return Housekeeping(spool, LIMITS, now=clock)


def bury(spool: Spool, count: int, cause: str = "bad") -> None:
    for number in range(count):
        spool.admit([Arrival("", (Dead("p", f"{cause}{number % 3}", b"{}", b"original"),))])


def letters(spool: Spool) -> DeadLetters:
    return DeadLetters(spool.redis, spool.prefix)


def said(caplog: pytest.LogCaptureFixture, action: str) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "action", "") == action]


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="more dead letters than allowed, or older ones",
    promise="announced a day before the oldest are dropped; the sum holds",
)
def test_letters_over_the_limit_end_oldest_first_when_their_notice_is_over(
    spool: Spool, keeper: Housekeeping, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    bury(spool, 15)
    kept = letters(spool).ids()[5:]
    keeper.look()
    assert letters(spool).count() == 15, "nothing goes before it was announced"
    (line,) = said(caplog, "dead_letters_expiring")
    assert (line.levelno, line.letters, line.beyond) == (logging.WARNING, 15, 5)
    clock.pass_hours(23.9)
    keeper.look()
    assert letters(spool).count() == 15
    clock.pass_hours(0.2)
    keeper.look()
    assert letters(spool).ids() == kept
    assert (spool.ledger().dropped, spool.ledger().dead, letters(spool).expired()) == (5, 10, 5)
    assert said(caplog, "dead_letters_expired")[0].letters == 5
    assert letters(spool).expiry() is None
    check(spool)


@pytest.mark.guarantee("Dead letters and load", fault="more dead letters than allowed, or older ones")
def test_letters_that_are_too_old_end_and_were_announced_before(
    spool: Spool, keeper: Housekeeping, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    bury(spool, 3)
    clock.pass_hours(75)
    keeper.look()
    assert letters(spool).expiry() is None
    clock.pass_hours(2)
    keeper.look()
    assert letters(spool).expiry() is not None
    clock.pass_hours(24)
    keeper.look()
    assert letters(spool).count() == 0
    assert spool.ledger().dropped == 3
    assert len(said(caplog, "dead_letters_expiring")) == 1
    check(spool)


def test_letters_that_were_not_there_when_the_notice_was_given_get_one_of_their_own(
    spool: Spool, keeper: Housekeeping, clock: Time
) -> None:
    bury(spool, 12)
    keeper.look()
    notice = letters(spool).expiry()
    assert notice is not None
    ids = [f"{notice.at + 1 + number}-0" for number in range(30)]
    for letter_id in ids:
        spool.redis.xadd("pw:dead", {"project": "p", "cause": "bad0", "letter": "{}", "original": "x"}, id=letter_id)
        spool.redis.zadd("pw:dead:of:bad0", {letter_id: notice.at})
        spool.redis.hincrby("pw:dead:causes", "bad0", 1)
    clock.pass_hours(25)
    keeper.look()
    assert set(letters(spool).ids()) == set(ids), "the twelve that were announced have gone, for the others it begins"
    again = letters(spool).expiry()
    assert again is not None
    assert again.beyond == 20


def test_a_notice_is_void_when_the_letters_were_replayed_or_dropped(
    spool: Spool, keeper: Housekeeping, clock: Time
) -> None:
    bury(spool, 12)
    keeper.look()
    for letter_id in letters(spool).ids()[:6]:
        spool.drop(letter_id)
    clock.pass_hours(25)
    keeper.look()
    assert (letters(spool).count(), letters(spool).expiry(), letters(spool).expired()) == (6, None, 0)


def test_a_flood_of_letters_goes_in_small_steps(spool: Spool, keeper: Housekeeping, clock: Time) -> None:
    bury(spool, 250)
    keeper.look()
    clock.pass_hours(25)
    assert [keeper.look() for _ in range(3)] == [True, True, False]
    assert letters(spool).count() == 10
    assert spool.ledger().dropped == 240
    check(spool)


def test_status_and_metrics_say_that_letters_end(
    spool: Spool, redis_server: EmbeddedRedis, keeper: Housekeeping, clock: Time
) -> None:
    bury(spool, 15)
    settings = Settings(redis_url=redis_server.url)  # type: ignore[arg-type]
    assert "LETTERS END" not in text(collect(settings))
    keeper.look()
    shown = text(collect(settings))
    assert "LETTERS END    5 of 15 dead letters are over the limit" in shown
    assert "WORKER_SPOOL__MAX_DEAD_LETTERS" in shown
    assert "prediction_worker_dead_letters_ending 1.0" in prometheus_text(collect(settings))
    clock.pass_hours(25)
    keeper.look()
    assert "5 were dropped for their age or number" in text(collect(settings))
    assert "prediction_worker_dead_letters_expired_total 5.0" in prometheus_text(collect(settings))


def test_one_process_of_the_fleet_looks_once_a_minute(spool: Spool, clock: Time) -> None:
    one, other = Housekeeping(spool, LIMITS, now=clock), Housekeeping(spool, LIMITS, now=clock)
    bury(spool, 15)
    one.tick()
    assert letters(spool).expiry() is not None
    letters(spool).end_notification()
    other.tick()
    one.tick()
    assert letters(spool).expiry() is None
    assert 0 < int(spool.redis.pttl("pw:housekeeping")) <= 60_000


def test_a_project_that_is_gone_is_forgotten_and_the_totals_keep_its_counts(
    spool: Spool, keeper: Housekeeping, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = spool.redis
    deliver(spool, "gone", 5)
    store = FeedbackStore(client, spool.prefix, "gone")
    store.put(traffic(20))
    store.release()
    client.hset("pw:pauses", "project:gone", "{}")
    clock.pass_hours(999)
    keeper.look()
    assert spool.projects() == ["gone"]
    clock.pass_hours(2)
    keeper.look()
    assert spool.projects() == []
    assert [key for key in client.keys("*") if b"gone" in key] == []  # type: ignore[union-attr]
    assert client.hexists("pw:pauses", "project:gone") == 0
    assert (spool.ledger().received, spool.ledger().delivered, spool.ledger().conservation_error) == (5, 5, 0)
    assert [line.project for line in said(caplog, "project_forgotten")] == ["gone"]
    deliver(spool, "gone", 2)
    assert (spool.ledger("gone").received, spool.ledger().received) == (2, 7)


@pytest.mark.parametrize("left", ["waiting", "leased", "dead"])
def test_a_project_of_which_something_is_left_is_not_forgotten(
    spool: Spool, keeper: Housekeeping, clock: Time, left: str
) -> None:
    if left == "dead":
        bury(spool, 1)
    else:
        spool.admit([Arrival("", (Waiting("p", 5, "x", "m:1", 1, "aa", b"{}", b"{}"),))])
    if left == "leased":
        token = spool.acquire("p")
        assert token is not None
        spool.lease("p", token, items=10, max_bytes=1000, aging_ms=1000)
    clock.pass_hours(2000)
    assert not spool.forget_project("p", clock())
    keeper.look()
    assert spool.projects() == ["p"]
    check(spool)


def test_whatever_is_announced_replayed_or_dropped_the_sum_holds(
    spool: Spool, keeper: Housekeeping, clock: Time
) -> None:
    dice = random.Random(7)
    for _ in range(30):
        bury(spool, dice.randrange(12))
        for letter_id in letters(spool).ids()[: dice.randrange(3)]:
            spool.drop(letter_id)
        clock.pass_hours(dice.choice((1, 10, 30)))
        before = letters(spool).expiry()
        count = letters(spool).count()
        keeper.look()
        assert letters(spool).count() == count or before is not None, "nothing went without notice"
        check(spool)


def deliver(spool: Spool, project: str, count: int) -> None:
    spool.admit([Arrival("", tuple(Waiting(project, n, f"x{n}", "m:1", 1, "aa", b"{}", b"{}") for n in range(count)))])
    token = spool.acquire(project)
    assert token is not None
    entries = spool.lease(project, token, items=100, max_bytes=10**6, aging_ms=1000)
    spool.settle(project, token, [Settlement(one, Outcome.DELIVERED) for one in entries])
    spool.release(project, token)
