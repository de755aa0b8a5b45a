"""A fleet for each test, in the session's server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.unit.page.world import World
from worker.environment.embedded_redis import EmbeddedRedis


@pytest.fixture
def empty(client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[World]:
    """A fleet in which nothing has happened."""
    world = World(redis_server.url)
    yield world
    world.stop.set()


@pytest.fixture
def world(empty: World) -> World:
    """A fleet with everything."""
    empty.fill()
    return empty
