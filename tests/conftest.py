"""Real parts for tests: a Redis server, a local Kili, worker processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import redis

from worker.embedded_redis import EmbeddedRedis


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that a test calls in this process set up logging for it; the next test finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One real server for the session; tests that stop it start their own."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """The session's server, emptied."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client
