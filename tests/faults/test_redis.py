"""Redis goes away, stalls, fills up, forgets, or comes back as somebody else."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.faults.chronicle import said
from tests.faults.house import House, predictions
from worker.demo.environment import WorkerProcess
from worker.environment.embedded_redis import EmbeddedRedis
from worker.monitoring.progress import read_heartbeat

SLOW = {"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 0.4}}


@pytest.mark.guarantee(
    "Redis",
    fault="killed and restarted (append-only file) with leases out",
    promise="the worker survives, nothing lost",
)
@pytest.mark.parametrize("down", [0.2, 1.0])
def test_redis_killed_and_restarted_while_leases_are_out(house: House, down: float) -> None:
    worker = house.staffed()
    projects = under_way(house, count=12, each=20)
    house.await_that(lambda: house.ledger().leased > 0, "waves have leased")
    house.kill_redis()
    time.sleep(down)
    house.redis.restart()
    house.heal()
    for project in projects[:3]:
        house.publish(predictions(project, 50, start=500), door="celery")
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None, "the worker survives a restart of Redis"


@pytest.mark.guarantee(
    "Redis",
    fault="connections cut",
    promise="goes on",
)
def test_connections_that_are_cut_again_and_again(house: House) -> None:
    worker = house.staffed()
    projects = under_way(house, count=3, each=150)
    house.troubles.expect("wave_ended")
    for round_ in range(5):
        house.client.client_kill_filter(_type="normal", skipme=True)
        house.publish(predictions(projects[0], 40, start=500 + 40 * round_), door="celery")
        time.sleep(0.2)
    house.heal()
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None


@pytest.mark.guarantee(
    "Redis",
    fault="slow at every other command",
    promise="goes on",
)
def test_redis_that_is_slow_at_every_other_command(house: House) -> None:
    worker = house.staffed()
    projects = under_way(house, count=2, each=150)
    for round_ in range(6):
        house.client.client_pause(400)
        house.publish(predictions(projects[round_ % 2], 20, start=500 + 20 * round_), door="celery")
    house.heal()
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None


@pytest.mark.guarantee(
    "Redis",
    fault="silent for longer than a lease",
    promise="goes on",
)
def test_redis_that_answers_nothing_for_longer_than_a_lease(house: House) -> None:
    worker = house.staffed()
    under_way(house, count=2, each=150)
    house.redis.pause()
    time.sleep(2.5)
    house.redis.resume()
    house.heal()
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None


@pytest.mark.guarantee(
    "Redis",
    fault="memory full under `noeviction`",
    promise="messages stay in the broker; delivery frees memory",
)
def test_a_memory_that_fills_up_keeps_messages_at_the_door_and_recovers_by_itself(house: House) -> None:
    worker = house.staffed()
    begun, resumed = len(said(house, "intake_waits")), len(said(house, "intake_resumed"))
    projects = under_way(house, count=4, each=600)
    house.await_that(lambda: house.ledger().received == house.published.count, "all are admitted")
    worker.process.send_signal(signal.SIGSTOP)
    for project in projects:
        house.publish(predictions(project, 100, start=600))
    with memory_full_by(house, 400_000):
        worker.process.send_signal(signal.SIGCONT)
        with pytest.raises(redis.OutOfMemoryError):
            house.client.xadd("predictions:inbox", {"payload": "x"})
        house.await_that(lambda: len(said(house, "intake_waits")) > begun, "intake says that it waits")
        house.heal()
        house.await_settled()
    house.judge()
    assert worker.process.poll() is None
    house.await_that(lambda: len(said(house, "intake_resumed")) > resumed, "intake says that it goes on")


@pytest.mark.guarantee(
    "Redis",
    fault="a worker starts while memory is full",
    promise="delivers what waits",
)
def test_a_worker_that_starts_while_memory_is_full_delivers_what_waits(house: House) -> None:
    projects = under_way(house, count=2, each=1200)
    with memory_full_by(house, 100_000_000):
        house.workers[-1].kill()
        house.heal()
        house.harm({"operation": "appendManyAssets", "times": 3, "action": {"kind": "status", "status": 503}})
        worker = house.worker()
        house.await_that(lambda: house.ledger().waiting + house.ledger().leased == 0, "what was admitted is delivered")
    house.publish(predictions(projects[0], 100, start=5000))
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None


@pytest.mark.guarantee(
    "Redis",
    fault="scripts flushed, consumer group destroyed",
    promise="restored",
)
def test_scripts_flushed_and_the_inbox_group_destroyed_under_load(house: House) -> None:
    project = house.project()
    for round_ in range(8):
        house.publish(predictions(project, 100, start=200 * round_))
        house.publish(predictions(project, 10, start=200 * round_ + 100), door="celery")
        house.client.script_flush()
        if round_ % 2:
            house.client.xgroup_destroy("predictions:inbox", "intake")
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Redis",
    fault="replaced by an empty server",
    promise="detected and logged; work goes on",
)
def test_redis_replaced_by_an_empty_one_is_said_and_work_goes_on() -> None:
    with House() as house:
        worker = house.worker()
        house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 6}})
        project = house.project()
        house.publish(predictions(project, 1500))
        house.await_that(lambda: house.ledger().received == 1500, "all are admitted")
        await_beats(house, worker, 3)  # between two of them it has looked what Redis knows
        house.troubles.expect("wave_ended")
        house.redis.kill()
        forget_everything(house.redis)
        house.redis.restart()
        house.heal()
        house.await_that(lambda: said(house, "redis_replaced"), "the loss is said")
        (line,) = said(house, "redis_replaced")
        replaced = house.status()["replaced"]
        assert line["level"] == "CRITICAL"
        assert replaced["received"] == line["received"] == 1500
        assert 0 < replaced["waiting"] + replaced["leased"] <= 1500
        house.published.count = 0
        house.publish(predictions(project, 1500))
        house.await_settled()
        house.judge()


def await_beats(house: House, worker: WorkerProcess, count: int) -> None:
    """Wait for so many more heartbeats of a worker, which come once a second at most."""
    path = worker.log.with_suffix(".heartbeat")
    for _ in range(count):
        last = read_heartbeat(path)
        house.await_that(lambda before=last: read_heartbeat(path) != before, "a heartbeat")  # type: ignore[misc]


def forget_everything(server: EmbeddedRedis) -> None:
    """Remove what the server has written: one file up to Redis 6.2, a folder since."""
    (found,) = server.directory.glob("appendonly*")
    if found.is_dir():
        shutil.rmtree(found)
    else:
        found.unlink()


@contextmanager
def memory_full_by(house: House, count: int) -> Iterator[None]:
    """Let the limit of the server's memory be so many bytes below what it uses."""
    used = house.client.info("memory")["used_memory"]
    house.client.config_set("maxmemory", max(1, used - count))
    try:
        yield
    finally:
        house.client.config_set("maxmemory", 0)


def under_way(house: House, *, count: int, each: int) -> list[str]:
    """Projects whose waves are in the middle of a slow call."""
    house.harm(SLOW)
    projects = [house.project() for _ in range(count)]
    for project in projects:
        house.publish(predictions(project, each))
    house.await_that(lambda: house.ledger().leased > 0, "a wave is under way")
    return projects
