"""Clients of Redis, made one way: binary answers, limits on every wait, a few quick repeats."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

SOCKET_SECONDS = 10.0
REPEATS = 3


def connect(url: str) -> redis.Redis:
    """A client for a ``redis://``, ``rediss://``, ``unix://`` or ``redis+socket://`` URL; connects when first used."""
    client: redis.Redis = redis.Redis.from_url(
        url.replace("redis+socket://", "unix://", 1),
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        health_check_interval=30,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), REPEATS),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        client_name="prediction-worker",
    )
    return client


def same_server(one: redis.Redis, other: redis.Redis) -> bool:
    """Whether two clients speak to the same database of the same server."""
    return _identity(one) == _identity(other)


def _identity(client: redis.Redis) -> tuple[object, ...]:
    info = client.info("server")
    return (info["run_id"], client.connection_pool.connection_kwargs.get("db", 0))
