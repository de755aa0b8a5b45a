"""The pace against simulated servers, on a simulated clock: it finds what the server takes, and uses it."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from worker.delivery.in_flight import AdaptiveLimit
from worker.kili import CallRecord, TimedOut, TooLarge

Answer = tuple[float, str]
"""Seconds that a call takes, and its outcome."""


@dataclass
class Simulation:
    """Callers that always have something to send, and a server that answers by how many calls it has at once."""

    answer: Callable[[int, float], Answer]
    slots: int = 32
    now: float = 0.0
    under_way: int = 0
    done: int = 0
    failed: int = 0
    limits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.adaptive_limit = AdaptiveLimit(slots=self.slots, batch_bytes=1000, clock=lambda: self.now)
        self._ends: list[tuple[float, int, float, str]] = []
        self._number = 0

    def run(self, seconds: float) -> Simulation:
        """Go on for so many simulated seconds; ``limits`` and the counts are those of this stretch."""
        self.limits, self.done, self.failed = [], 0, 0
        end = self.now + seconds
        while self.now < end:
            while self.adaptive_limit.take():
                self._begin()
            self.now, _, taken, outcome = heapq.heappop(self._ends)
            self._end(taken, outcome)
        return self

    @property
    def mean(self) -> float:
        return sum(self.limits) / len(self.limits)

    def _begin(self) -> None:
        self.under_way += 1
        self._number += 1
        seconds, outcome = self.answer(self.under_way, self.now)
        heapq.heappush(self._ends, (self.now + seconds, self._number, seconds, outcome))

    def _end(self, seconds: float, outcome: str) -> None:
        self.under_way -= 1
        self.adaptive_limit.give_back()
        self.adaptive_limit.observe(CallRecord("appendManyLabels", 100, seconds, 200, outcome, 1, 1000, 0.0))
        self.limits.append(self.adaptive_limit.limit)
        self.done += outcome == "ok"
        self.failed += outcome != "ok"


def test_a_server_that_is_never_busy_gets_all_that_is_allowed() -> None:
    simulation = Simulation(lambda calls, now: (0.2, "ok")).run(30)
    assert simulation.limits[-1] == 32
    assert max(simulation.limits) == 32


def test_a_slow_link_is_no_reason_to_send_less() -> None:
    assert Simulation(lambda calls, now: (20.0, "ok")).run(2000).limits[-1] == 32


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("quickest", "slowest", "least"), [(0.2, 0.6, 26), (0.1, 1.0, 10)])
def test_a_link_with_jitter_is_used_the_more_the_less_it_jitters(
    seed: int, quickest: float, slowest: float, least: float
) -> None:
    dice = random.Random(seed)
    simulation = Simulation(lambda calls, now: (dice.uniform(quickest, slowest), "ok")).run(60)
    assert simulation.run(300).mean > least


def test_a_server_that_has_become_slower_for_good_gets_all_that_is_allowed_again() -> None:
    simulation = Simulation(lambda calls, now: (0.2 if now < 100 else 0.8, "ok")).run(100)
    simulation.run(60)
    assert simulation.run(60).mean > 30


@pytest.mark.guarantee(
    "Kili",
    fault="a server that refuses or slows down above some load",
)
@pytest.mark.parametrize("knee", [2, 6, 12])
def test_a_server_with_a_knee_is_not_flooded_and_not_starved(knee: int) -> None:
    simulation = Simulation(lambda calls, now: (0.2 * max(1.0, calls / knee), "ok")).run(30)
    simulation.run(300)
    assert simulation.mean <= 2.6 * knee
    assert simulation.done >= 0.9 * 300 * knee / 0.2


@pytest.mark.guarantee(
    "Kili",
    fault="a server that refuses or slows down above some load",
    promise="as many calls at a time as it takes; all that is allowed again when it recovers",
)
def test_a_server_that_refuses_above_a_limit_is_kept_near_it() -> None:
    simulation = Simulation(lambda calls, now: (0.2, "ok") if calls <= 10 else (0.05, "RateLimited")).run(30)
    simulation.run(120)
    assert 5 <= simulation.mean <= 11
    assert simulation.failed < 0.08 * simulation.done


@pytest.mark.guarantee(
    "Kili",
    fault="a server that refuses or slows down above some load",
)
def test_an_outage_collapses_to_one_call_and_the_return_restores_the_rate_in_a_few_rounds() -> None:
    def answer(calls: int, now: float) -> Answer:
        return (0.1, "UnknownOutcome") if 10 <= now < 20 else (0.5, "ok")

    simulation = Simulation(answer, slots=8)
    assert simulation.run(10).limits[-1] == 8
    assert simulation.run(10).limits[-1] == 1
    simulation.run(4)
    assert simulation.limits[-1] == 8


def test_a_burst_of_refusals_of_calls_already_under_way_counts_once() -> None:
    simulation = Simulation(lambda calls, now: (0.5, "ok"), slots=8)
    simulation.run(10)
    for _ in range(8):
        simulation.adaptive_limit.observe(record("RateLimited", seconds=0.5))
    assert simulation.adaptive_limit.limit == 4


@pytest.mark.parametrize("outcome", ["RefusedItems", "RefusedProject", "Unauthorized", "ServerFault"])
def test_what_is_not_about_load_changes_nothing(outcome: str) -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1000)
    before = adaptive_limit.limit
    adaptive_limit.observe(record(outcome))
    assert adaptive_limit.limit == before


def test_there_is_always_one_slot() -> None:
    now = [0.0]
    adaptive_limit = AdaptiveLimit(slots=1, batch_bytes=1000, clock=lambda: now[0])
    for _ in range(5):
        now[0] += 10
        adaptive_limit.observe(record("TimedOut"))
    assert adaptive_limit.take()
    assert not adaptive_limit.take()


def test_small_and_large_batches_are_not_compared_with_each_other() -> None:
    now = [0.0]
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1000, clock=lambda: now[0])
    before = adaptive_limit.limit
    for _ in range(50):
        for items, seconds in ((3, 0.05), (100, 1.0)):
            now[0] += 5
            adaptive_limit.observe(record("ok", seconds=seconds, items=items))
    assert adaptive_limit.limit >= before


def test_bytes_are_halved_at_once_and_grow_back_slowly() -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1_000_000)
    adaptive_limit.too_much(400_000, TooLarge("413"))
    assert adaptive_limit.batch_bytes == 200_000
    adaptive_limit.went_through(200_000)
    assert 200_000 < adaptive_limit.batch_bytes <= 201_000
    for _ in range(1000):
        adaptive_limit.went_through(adaptive_limit.batch_bytes)
    assert adaptive_limit.batch_bytes == 1_000_000


def test_bytes_grow_back_sooner_after_a_timeout() -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1_000_000)
    adaptive_limit.too_much(400_000, TimedOut("504"))
    for _ in range(8):
        adaptive_limit.went_through(adaptive_limit.batch_bytes)
    assert adaptive_limit.batch_bytes == 1_000_000


def test_small_batches_teach_nothing_about_large_ones() -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1_000_000)
    adaptive_limit.too_much(400_000, TooLarge("413"))
    for _ in range(1000):
        adaptive_limit.went_through(10_000)
    assert adaptive_limit.batch_bytes == 200_000


def test_an_item_larger_than_all_says_nothing_new() -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1000)
    adaptive_limit.too_much(50_000, TooLarge("413"))
    assert adaptive_limit.batch_bytes == 1000


def test_whoever_waits_for_a_slot_gets_the_next_free_one() -> None:
    adaptive_limit = AdaptiveLimit(slots=1, batch_bytes=1000)
    served = threading.Event()

    def wait() -> None:
        with adaptive_limit.slot(lambda: False) as taken:
            assert taken
            served.set()

    with adaptive_limit.slot(lambda: False):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not served.is_set()
    assert served.wait(5)
    thread.join()


def test_whoever_gives_up_waiting_gets_no_slot_and_takes_none_away() -> None:
    adaptive_limit = AdaptiveLimit(slots=1, batch_bytes=1000)
    with adaptive_limit.slot(lambda: False), adaptive_limit.slot(lambda: True) as taken:
        assert not taken
    with adaptive_limit.slot(lambda: False) as taken:
        assert taken


def record(outcome: str, *, seconds: float = 0.1, items: int = 100) -> CallRecord:
    return CallRecord("appendManyLabels", items, seconds, 200, outcome, 1, 1000, 0.0)


def test_a_bucket_that_fails_says_nothing_of_the_endpoint() -> None:
    adaptive_limit = AdaptiveLimit(slots=8, batch_bytes=1000, clock=lambda: 100.0)
    before = adaptive_limit.limit
    for _ in range(5):
        adaptive_limit.observe(CallRecord("upload", 1, 0.1, 503, "UnknownOutcome", 1, 10, 0.0))
    assert adaptive_limit.limit == before
    adaptive_limit.observe(CallRecord("appendManyLabels", 1, 0.1, 503, "UnknownOutcome", 1, 10, 0.0))
    assert adaptive_limit.limit < before
