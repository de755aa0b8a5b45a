"""What tests of real processes need of their machine: a condition that comes true in time, a port that is free."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any

import redis

from worker.environment.embedded_redis import EmbeddedRedis

PATIENCE = 120.0
"""Seconds until what has not come true is broken: a machine with much else to do lets everybody wait for long."""

PORTS = range(10_000, 20_000)
"""Below those of clients' own sockets and of the embedded Redis: nobody takes one between its choice and its use."""

_dice = random.SystemRandom()
_given: set[int] = set()


def awaited(condition: Callable[[], object], what: str = "the condition", *, limit: float = PATIENCE) -> None:
    """Wait for a condition. Raises AssertionError when it is not true within ``limit`` seconds."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < limit, f"not within {limit:g} s: {what}"
        time.sleep(pause_after(waited))


def pause_after(waited: float) -> float:
    """Seconds until the next look: what takes long is looked at less often, for each look takes time of the others."""
    return min(0.1, 0.01 + waited / 20)


def kill_once_written(server: EmbeddedRedis, client: redis.Redis) -> None:
    """Kill a Redis once it has written what it has acknowledged: with a slow disk it is behind by up to two seconds."""

    def is_written() -> bool:
        found: Any = client.info("persistence")
        return found["aof_buffer_length"] == 0

    awaited(is_written, "the append-only file is written")
    server.kill()


def free_port() -> int:
    """A port that nobody uses now, and that no other process of this run of the tests is given."""
    place, places = _place()
    while True:
        port = _dice.choice(PORTS[place::places])
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def _place() -> tuple[int, int]:
    """Which of the processes of this run this is, and how many there are."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return int(name), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
