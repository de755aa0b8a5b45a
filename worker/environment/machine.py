"""What a process stands on: servers, the network, threads. The simulation gives a worker others, and no thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import redis

from worker.environment.connections import connect


def threads(most: int, name: str) -> Executor:
    """A pool of at most so many threads."""
    return ThreadPoolExecutor(most, thread_name_prefix=name)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a worker runs.

    Attributes:
        connect: opens a client of the Redis at a URL.
        executor: what runs side by side, by most at once and name.
        http: what calls go through instead of connections of the worker's own.
        has_threads: whether locks are renewed from a thread; without one, by ``LeaseKeeper.renew``.
    """

    connect: Callable[[str], redis.Redis] = connect
    executor: Callable[[int, str], Executor] = threads
    http: httpx.Client | None = None
    has_threads: bool = True
    name: str = ""

    @property
    def worker(self) -> str:
        """What the worker is called in the fleet; by default its host and process."""
        return self.name or f"{socket.gethostname()}-{os.getpid()}"


MACHINE = Environment()
