"""The shared budget: exact over a simulated hour, and true on a real server."""

from __future__ import annotations

import heapq
import math
import random
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import fakeredis
import pytest
import redis
from kili_doubles import SleeplessStop
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.kili.budget import BudgetTimeout, CallBudget


@dataclass
class Clock:
    now: float = 1_700_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that fakeredis lives by and that only the test moves."""
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: clock.now)
        yield clock


@pytest.fixture
def store(clock: Clock) -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


class SlidingMinute:
    """A server that answers 429 to a call when it has taken the limit within the last 60 s."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.arrivals: list[float] = []

    def judge(self) -> tuple[int, int]:
        """Return (calls taken, calls refused) of all arrivals in their order."""
        taken: list[float] = []
        refused = 0
        for arrival in sorted(self.arrivals):
            if len(taken) - bisect_right(taken, arrival - 60.0) >= self.limit:
                refused += 1
            else:
                taken.append(arrival)
        return len(taken), refused


def simulate(clock: Clock, budget: CallBudget, server: SlidingMinute, *, clients: int, seconds: float) -> None:
    """Let callers with an endless backlog spend the budget; calls take 20 to 250 ms to arrive."""
    chance = random.Random(7)
    start = clock.now
    wakes = [(start, caller) for caller in range(clients)]
    while wakes[0][0] < start + seconds:
        at, caller = heapq.heappop(wakes)
        clock.now = max(clock.now, at)
        wait = budget.try_acquire()
        if wait == 0:
            server.arrivals.append(clock.now + chance.uniform(0.02, 0.25))
            wait = chance.uniform(0.1, 0.6)
        heapq.heappush(wakes, (clock.now + wait + chance.uniform(0, 0.005), caller))


@pytest.mark.parametrize(("limit", "clients", "minutes"), [(250, 6, 2), (60, 2, 5), (8, 3, 30), (1, 2, 30)], ids=str)
def test_a_backlog_spends_nearly_all_of_the_limit_and_never_more(
    limit: int, clients: int, minutes: int, clock: Clock, store: fakeredis.FakeRedis
) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=limit)
    server = SlidingMinute(limit)
    simulate(clock, budget, server, clients=clients, seconds=60.0 * minutes)
    taken, refused = server.judge()
    assert refused == 0
    assert taken >= 0.98 * limit * minutes


def test_a_burst_after_silence_is_short_and_the_rest_is_spread_evenly(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=500, burst=8)
    clock.now += 3600
    assert sum(budget.try_acquire() == 0 for _ in range(20)) == 8
    interval = 60.25 / 500
    for _ in range(30):
        wait = budget.try_acquire()
        assert wait == pytest.approx(interval, abs=0.001)
        clock.now += wait
        assert budget.try_acquire() == 0


def test_calls_that_bypassed_the_pace_still_count_in_the_window(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=10, burst=10)
    assert [budget.try_acquire() == 0 for _ in range(11)] == [True] * 10 + [False]
    clock.now += 60.1
    assert budget.try_acquire() == pytest.approx(0.15, abs=0.01)
    clock.now += 0.2
    assert budget.try_acquire() == 0


def test_two_workers_share_one_budget_and_other_keys_do_not(clock: Clock, store: fakeredis.FakeRedis) -> None:
    one, two = (CallBudget(store, scope="s", calls_per_minute=10, burst=4) for _ in range(2))
    other = CallBudget(store, scope="t", calls_per_minute=10, burst=4)
    admitted = [budget.try_acquire() == 0 for budget in (one, two, one, two, one)]
    assert admitted == [True, True, True, True, False]
    assert other.try_acquire() == 0


def test_a_penalty_holds_everyone_back_until_it_ends(clock: Clock, store: fakeredis.FakeRedis) -> None:
    one, two = (CallBudget(store, scope="s", calls_per_minute=500) for _ in range(2))
    one.penalise(30)
    assert two.try_acquire() == pytest.approx(30)
    one.penalise(5)
    assert two.try_acquire() == pytest.approx(30)
    one.penalise(40)
    clock.now += 39
    assert two.try_acquire() == pytest.approx(1)
    clock.now += 1.001
    assert two.try_acquire() == 0


@pytest.mark.parametrize("seconds", [0, -3, float("nan"), float("inf")])
def test_a_penalty_without_a_length_is_none(seconds: float, clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=500)
    budget.penalise(seconds)
    assert budget.try_acquire() == 0


def test_an_absurd_penalty_is_cut(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=500)
    budget.penalise(1e12)
    assert budget.peek()["penalised_for"] == pytest.approx(3600)


def test_peek_tells_and_takes_nothing(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=10, burst=2)
    assert budget.peek() == {"used": 0, "limit": 10, "penalised_for": 0, "next_in": 0}
    budget.try_acquire()
    budget.try_acquire()
    assert budget.peek() == budget.peek()
    assert budget.peek()["used"] == 2
    assert budget.peek()["next_in"] == pytest.approx(6.025, abs=0.001)
    clock.now += 61
    assert budget.peek()["used"] == 0


def test_a_clock_that_was_set_back_neither_blocks_nor_forgets(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=10, burst=10)
    for _ in range(10):
        assert budget.try_acquire() == 0
    budget.penalise(5)
    clock.now -= 3600
    assert 60 < budget.try_acquire() < 61
    clock.now += 61
    assert budget.try_acquire() == 0


def test_a_lowered_limit_holds_at_once(clock: Clock, store: fakeredis.FakeRedis) -> None:
    generous = CallBudget(store, scope="s", calls_per_minute=20, burst=20)
    for _ in range(20):
        assert generous.try_acquire() == 0
        clock.now += 0.5
    clock.now += 40
    strict = CallBudget(store, scope="s", calls_per_minute=5, burst=5)
    assert strict.try_acquire() == pytest.approx(60.25 - 50 + 7.5, abs=0.01)


def test_nothing_is_left_behind_when_calls_end(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=500)
    budget.try_acquire()
    budget.penalise(3)
    assert all(store.pttl(key) > 0 for key in store.scan_iter())
    clock.now += 120
    assert list(store.scan_iter()) == []


def test_a_timeout_is_known_before_it_is_waited_for(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=10, burst=1)
    stop = SleeplessStop()
    assert budget.acquire(stop, timeout=0) < 1
    with pytest.raises(BudgetTimeout, match="timeout 2 s") as caught:
        budget.acquire(stop, timeout=2)
    assert caught.value.needed == pytest.approx(6.025, abs=0.001)
    assert stop.waits == []


def test_waiting_ends_when_the_worker_stops(clock: Clock, store: fakeredis.FakeRedis) -> None:
    budget = CallBudget(store, scope="s", calls_per_minute=10, burst=1)
    budget.acquire()
    stop = SleeplessStop(set_at_wait=1)
    with pytest.raises(BudgetTimeout, match="stopping"):
        budget.acquire(stop)
    assert stop.waits[0] == pytest.approx(6.025, abs=0.01)


@pytest.mark.parametrize("option", ["calls_per_minute", "burst"])
def test_a_budget_of_nothing_is_refused(option: str, store: fakeredis.FakeRedis) -> None:
    options = {"calls_per_minute": 10, "burst": 2, option: 0}
    with pytest.raises(ValueError, match=rf"^{option}: 0"):
        CallBudget(store, scope="s", **options)


def test_a_redis_that_is_down_is_said() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        down = redis.Redis(port=placeholder.getsockname()[1], retry=Retry(NoBackoff(), 0))
    budget = CallBudget(down, scope="s", calls_per_minute=10)
    for call in (budget.acquire, budget.peek, lambda: budget.penalise(1)):
        with pytest.raises(redis.ConnectionError):
            call()


def test_threads_on_a_real_server_share_every_window(client: redis.Redis) -> None:
    limit, window, margin = 40, 0.9, 0.1
    budgets = [
        CallBudget(client, scope="s", calls_per_minute=limit, burst=5, window=window, margin=margin) for _ in range(4)
    ]
    begun = time.monotonic()

    def spend(budget: CallBudget) -> int:
        spent = 0
        while time.monotonic() < begun + 2.5:
            budget.acquire()
            spent += 1
        return spent

    with ThreadPoolExecutor(len(budgets)) as pool:
        admitted = sum(pool.map(spend, budgets))
    spans = (time.monotonic() - begun) / (window + margin)
    assert limit * 2 <= admitted <= limit * math.ceil(spans)


@pytest.mark.servers("all")
def test_a_flushed_script_is_loaded_again(client: redis.Redis) -> None:
    budget = CallBudget(client, scope="s", calls_per_minute=10)
    assert budget.try_acquire() == 0
    client.script_flush()
    assert budget.try_acquire() == 0
    assert budget.peek()["used"] == 2


@pytest.mark.servers("all")
def test_large_times_survive_the_numbers_of_lua(client: redis.Redis) -> None:
    budget = CallBudget(client, scope="s", calls_per_minute=500, key_prefix="b")
    budget.try_acquire()
    (entry,) = client.lrange("b:{s}:calls", 0, -1)
    assert abs(int(entry) / 1e6 - time.time()) < 5
    assert int(client.get("b:{s}:next")) - int(entry) == pytest.approx(120_500, abs=1)


def test_a_real_wait_is_cut_short_by_the_stop_event(client: redis.Redis) -> None:
    budget = CallBudget(client, scope="s", calls_per_minute=1)
    budget.acquire()
    stop, failed = threading.Event(), threading.Event()

    def wait() -> None:
        try:
            budget.acquire(stop)
        except BudgetTimeout:
            failed.set()

    thread = threading.Thread(target=wait)
    thread.start()
    stop.set()
    assert failed.wait(5)
    thread.join()
