"""The operator's page of a large fleet: 200 projects, each with alarms, and 50,000 dead letters."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.unit.page.world import Browser, World, dead, message
from worker.environment.embedded_redis import EmbeddedRedis
from worker.spool import Arrival
from worker.spool.dead_letters import Cause

PROJECTS = [f"project-{number:03}" for number in range(200)]
LETTERS = 50_000
FEW_LETTERS = 5_000
CAUSES = 12
MOST = 3.0
"""Times what this machine, with all that it has to do, needs for half a million squares; a page takes about one."""

PATHS = [
    "/",
    "/page/projects?page=4",
    "/page/project?id=project-001",
    "/page/letters",
    f"/page/letters?page={LETTERS // 25}",
    "/page/letters?cause=cause_1&page=100",
    "/page/letters/do?do=drop&cause=cause_1",
    "/page/quality",
    "/page/quality?alarms=30",
    "/page/fleet",
    "/page/audit",
]


@contextmanager
def fleet(letters: int) -> Iterator[World]:
    """Projects with alarms and waiting predictions, and so many dead letters."""
    with EmbeddedRedis() as server:
        world = World(server.url)
        world.wait_for(PROJECTS, 5)
        original = json.dumps(message(model=None)).encode()
        for start in range(0, letters, 1000):
            cause = Cause(f"cause_{start // 1000 % CAUSES}", "message", "model", "is missing", "add it", "words " * 20)
            rows = [dead(cause, original, external_id=str(start + n), project=PROJECTS[n % 200]) for n in range(1000)]
            world.spool.admit([Arrival("", tuple(rows), source="http")])
        for project in PROJECTS:
            world.raise_alarm(project)
        yield world


def spent(world: World) -> float:
    """Seconds of processor that this process and Redis have used: others on this machine do not count."""
    info: Any = world.redis.info("cpu")
    return time.process_time() + float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def yardstick() -> float:
    """Seconds of processor that a fixed amount of work takes here and now."""
    begun = time.process_time()
    assert sum(number * number for number in range(500_000)) > 0
    return time.process_time() - begun


def looked(world: World, someone: Browser, path: str) -> float:
    """What it takes to look at a page whose figures nobody has asked for lately."""
    world.page.status._looked = float("-inf")
    begun = spent(world)
    assert someone.get(path).status_code == 200
    return spent(world) - begun


@pytest.mark.slow
def test_every_page_of_a_large_fleet_is_there_at_once() -> None:
    with fleet(LETTERS) as large:
        someone = large.browser()
        unit = min(yardstick() for _ in range(3))
        taken = {path: min(looked(large, someone, path) for _ in range(3)) / unit for path in PATHS}

        assert large.spool.ledger().dead == LETTERS
        assert {path: units for path, units in taken.items() if units > MOST} == {}


def test_a_page_of_letters_reads_no_others() -> None:
    with fleet(FEW_LETTERS) as large:
        sizes = [len(large.browser().get(path).content) for path in ("/page/letters", "/page/quality")]

        assert max(sizes) < 120_000
        large.redis.config_resetstat()
        large.browser().get("/page/letters?cause=cause_1")
        stats: Any = large.redis.info("commandstats")
        assert int(stats["cmdstat_xrange"]["calls"]) <= 25
