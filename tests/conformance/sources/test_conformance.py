"""What every source promises: nothing lost, nothing twice, a letter for each wrong message, back-pressure.

``make test-sources`` runs the same cases with 5,000 messages and ten kills.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.awaiting import PATIENCE, awaited
from tests.conformance.sources.worlds import Http, World, opened
from tests.faults.house import predictions

pytestmark = pytest.mark.timeout(1800)
"""Ours are not the only servers on a machine, and some take long to start."""

MESSAGES = int(os.environ.get("SOURCES_MESSAGES", "300"))
KILLS = int(os.environ.get("SOURCES_KILLS", "2"))
LIMIT = PATIENCE + MESSAGES / 20
WRONG, DOUBLED = 0.03, 0.05
MEMORY = 200_000_000
"""Bytes that a worker and a gateway may take; one that has nothing to do takes about 90 MB."""


def mixed(world: World, count: int, start: int) -> list[Mapping[str, Any] | bytes]:
    """Valid messages, wrong ones and duplicates, in any order but the same each time."""
    count = int(count * world.share)
    dice = random.Random(start)
    valid: list[Mapping[str, Any] | bytes] = list(predictions(world.project, count, start=start))
    wrong: list[Mapping[str, Any] | bytes] = [
        dice.choice([b'{"external_id": %d}', b"[%d", b'"%d"', b'{"a": {"b": "%d"}}']) % (start + number)
        for number in range(1 + int(count * WRONG))
    ]
    doubled = dice.sample(valid, int(count * DOUBLED))
    found = [*valid, *wrong, *doubled]
    dice.shuffle(found)
    return found


def judged(world: World) -> None:
    """Ask what became of every message: Kili, the ledger, and the sources' own counts."""
    world.house.await_settled(LIMIT)
    world.house.judge()
    counts = world.house.spool.sources()
    assert counts == {world.name: world.house.published.count}
    assert {name: size for name, size in world.memory().items() if size > MEMORY} == {}
    letters = world.house.letters.letters()
    assert {letter.about["source"] for letter in letters} <= {world.name}


@pytest.mark.guarantee(
    "Sources",
    fault="wrong messages and duplicates by a foreign client of each protocol",
    promise="one asset and one label each, a letter that names the source for each wrong one",
)
def test_every_message_has_one_outcome_and_names_its_source(world: World) -> None:
    world.publish(mixed(world, MESSAGES, 0))
    judged(world)


@pytest.mark.guarantee(
    "Sources",
    fault="`kill -9` of the worker or the gateway again and again, while messages come",
    promise="none lost, none counted twice",
)
def test_killed_again_and_again_while_messages_come(world: World) -> None:
    messages, dice = mixed(world, MESSAGES, 100_000), random.Random(7)
    parts: Sequence[Sequence[Any]] = [messages[at :: KILLS + 1] for at in range(KILLS + 1)]
    for part in parts[:-1]:
        sender = threading.Thread(target=world.publish, args=(part,), daemon=True)
        sender.start()
        threading.Event().wait(dice.uniform(0, 0.3))  # the moment of a kill is any
        world.kill()
        world.start()
        sender.join(LIMIT)
        assert not sender.is_alive()
    world.publish(parts[-1])
    judged(world)


@pytest.mark.guarantee(
    "Sources",
    fault="the source's server is away and comes back",
    promise="goes on by itself",
)
def test_the_server_of_the_source_is_away_and_comes_back(world: World) -> None:
    world.house.troubles.expect("wave_ended")
    messages = mixed(world, MESSAGES // 2, 200_000)
    half = len(messages) // 2
    world.publish(messages[:half])
    world.cut()
    assert world.house.workers[-1].process.poll() is None
    world.mend()
    world.publish(messages[half:])
    judged(world)


@pytest.mark.guarantee(
    "Sources",
    fault="Redis answers slowly, again and again",
    promise="slower, none lost, none counted twice",
)
def test_a_slow_redis_delays_and_loses_nothing(world: World) -> None:
    ended = threading.Event()

    def hold_up() -> None:
        while not ended.wait(0.1):
            world.house.client.client_pause(150)

    slowing = threading.Thread(target=hold_up, daemon=True)
    slowing.start()
    try:
        world.publish(mixed(world, MESSAGES // 3, 300_000))
        world.house.await_settled(3 * LIMIT)
    finally:
        ended.set()
        slowing.join()
    judged(world)


@pytest.mark.guarantee(
    "Sources",
    fault="more comes than may wait",
    promise="the rest stays where it is, or is refused with 429, and is taken when there is room",
)
def test_what_may_not_wait_stays_at_the_source(world_class: type[World]) -> None:
    limits = {
        "WORKER_INTAKE__MAX_WAITING": "40",
        "WORKER_INTAKE__BATCH": "10",
        "WORKER_INTAKE__MAX_INBOX": "40",
        "WORKER_DELIVERY__WAVE_ITEMS": "100",
    }
    count = int(max(600, MESSAGES) * world_class.share)
    with opened(world_class, **limits) as world:
        front = world.house.front
        assert front is not None
        world.start()
        front.shut()
        sender = threading.Thread(target=world.publish, args=(predictions(world.project, count),), daemon=True)
        sender.start()
        world.house.await_that(lambda: world.house.ledger().waiting >= 40, "as many wait as may", LIMIT)
        world.house.await_that(world.waiting, "the rest stays where it is", LIMIT)
        ledger = world.house.ledger()
        assert ledger.waiting + ledger.leased <= 40 + 20 + 100, ledger
        assert world.house.client.xlen("predictions:inbox") <= 400 or world.name == "stream"
        front.open()
        sender.join(LIMIT)
        judged(world)


def test_a_gateway_without_redis_answers_503_and_keeps_nothing() -> None:
    with opened(Http) as world:
        assert isinstance(world, Http)
        world.serve()
        world.cut()
        assert world.request(b"{}", {"Content-Type": "application/json"}) == 503
        assert (world.status("/livez"), world.status("/readyz")) == (200, 503)
        world.mend()
        awaited(lambda: world.status("/readyz") == 200, "messages can be stored again")
        assert world.request(b"{}", {"Content-Type": "application/json"}) == 202
        assert world.house.client.xlen("predictions:inbox") == 1
