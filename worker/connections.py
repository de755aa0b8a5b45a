"""Clients of Redis, made one way: binary answers, limits on every wait, a few quick repeats."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

SOCKET_SECONDS = 8.0
REPEATS = 2
"""All attempts together end before the heartbeat counts as stale."""

INSIST = "redis.call('DEL', KEYS[1] .. ':nothing') return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"


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


def broker_ssl(url: str) -> dict[str, Any] | None:
    """Celery's ``broker_use_ssl`` for a broker URL; the URL's own ``ssl_…`` parameters go first.

    Without it kombu takes any certificate of a ``rediss://`` broker.
    """
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None


class WorkerScript:
    """A Lua script that means the same on every server, and runs although the server's scripts were flushed.

    Args:
        client: of the server.
        text: of the script.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str] = (), args: Iterable[Any] = ()) -> Any:
        """Run it.

        Raises:
            redis.OutOfMemoryError: a full memory refused its first write; nothing was changed.
        """
        words = (*keys, *args)
        try:
            return self._run(len(keys), words)
        except redis.ResponseError as error:
            # Redis 6.2 wraps the error of a command within a script in one of its own, which has no type.
            if isinstance(error, redis.OutOfMemoryError) or "-OOM " not in str(error):
                raise
            raise redis.OutOfMemoryError(str(error).partition("-OOM ")[2]) from error

    def _run(self, keys: int, words: tuple[Any, ...]) -> Any:
        try:
            return self._client.evalsha(self._sha, keys, *words)
        except redis.exceptions.NoScriptError:
            return self._client.eval(self._text, keys, *words)


def script_of(client: redis.Redis, package: str, name: str) -> WorkerScript:
    """The Lua script ``name`` of a package, behind the prelude that writes numbers the same way for every server."""
    prelude = resources.files("worker").joinpath("prelude.lua").read_text("utf-8")
    return WorkerScript(client, prelude + resources.files(package).joinpath(name).read_text("utf-8"))


def insist(client: redis.Redis, command: str, key: str, *args: str | bytes | float) -> Any:
    """Run one small write although the memory of Redis is full.

    With ``noeviction`` a full memory refuses the first write of a script alone, unless that one frees memory. For what
    is small, bounded, and needed to deliver, which frees memory. ``client`` may be a pipeline.
    """
    return client.eval(INSIST, 1, key, command, *args)


def same_server(one: redis.Redis, other: redis.Redis) -> bool:
    """Whether two clients speak to the same database of the same server."""
    return _identity(one) == _identity(other)


def _identity(client: redis.Redis) -> tuple[object, ...]:
    info = client.info("server")
    return (info["run_id"], client.connection_pool.connection_kwargs.get("db", 0))
