"""Bytes of Redis that the worker keeps per thing: ``python -m benchmarks.memory [--count N]``.

``REDIS_SERVER`` names the server's binary. Messages are those of the README with three scores; a prediction is measured
while it waits, its asset after it was delivered, a letter when its message is wrong, a verdict with its prediction.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.feedback.speed import measure
from worker.environment.embedded_redis import EmbeddedRedis
from worker.intake.parsing import InboxEntry
from worker.settings.tree import Settings
from worker.spool import Outcome, Settlement, Spool
from worker.wiring import admitter_of, spool_of

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Share:
    """How many bytes one thing takes, and what bounds their number."""

    thing: str
    size: float
    bound: str


def message(number: int, *, score: float = 0.61) -> bytes:
    """A message of some 330 bytes."""
    return json.dumps(
        {
            "project_id": "cm0example0000000000000001",
            "external_id": f"cam-3/{number:06}.jpg",
            "asset": {"url": f"https://storage.example.com/pictures/{number:06}.jpg"},
            "model": {"name": "car-colour", "version": "2026-11-01"},
            "output": {"scores": {"RED": score, "BLACK": 0.30, "GREY": 0.09}},
            "predicted_at": "2026-11-23T10:15:00Z",
        }
    ).encode()


def shares(count: int) -> Iterator[Share]:
    """Measure each kind of thing with so many of them."""
    with _spool() as (spool, settings):
        empty = used(spool.redis)
        admit(spool, settings, (message(number) for number in range(count)))
        yield Share("waiting prediction", (used(spool.redis) - empty) / count, "WORKER_INTAKE__MAX_WAITING")
        deliver(spool)
        yield Share("remembered asset", (used(spool.redis) - empty) / count, "WORKER_SPOOL__REMEMBER_HOURS")
    with _spool() as (spool, settings):
        empty = used(spool.redis)
        admit(spool, settings, (message(number, score=1.7) for number in range(count)))
        bound = "WORKER_SPOOL__MAX_DEAD_LETTERS, WORKER_SPOOL__DEAD_LETTER_DAYS"
        yield Share("dead letter", (used(spool.redis) - empty) / count, bound)
    yield Share("verdict and its prediction", measure(count).memory, "WORKER_FEEDBACK__HORIZON_DAYS")


def admit(spool: Spool, settings: Settings, messages: Iterable[bytes]) -> None:
    """Through the one admission."""
    admitter, part = admitter_of(settings, spool), []
    for one in messages:
        part.append(InboxEntry("", {b"payload": one}))
        if len(part) == AT_ONCE:
            admitter.admit_entries(part, inbox="")
            part = []
    admitter.admit_entries(part, inbox="")


def deliver(spool: Spool) -> None:
    """Settle everything that waits as delivered."""
    for project in spool.projects():
        token = spool.acquire(project)
        if token is None:
            raise RuntimeError(f"somebody else delivers {project}")
        while entries := spool.lease(project, token, items=1000, max_bytes=10**8, aging_ms=60_000):
            spool.settle(project, token, [Settlement(one, Outcome.DELIVERED) for one in entries])
        spool.release(project, token)


def used(client: redis.Redis) -> int:
    """Bytes that the server has allocated for data."""
    info: Any = client.info("memory")
    return int(info["used_memory"])


@contextmanager
def _spool() -> Iterator[tuple[Spool, Settings]]:
    with EmbeddedRedis() as server:
        settings = Settings(redis_url=server.url)  # type: ignore[arg-type]
        spool = spool_of(settings)
        spool.projects()  # what exists once is there
        yield spool, settings


def version() -> str:
    """Of the server that is measured."""
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        info: Any = client.info("server")
        name = "Valkey" if "valkey_version" in info else "Redis"
        return f"{name} {info.get('valkey_version') or info['redis_version']}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="things of each kind")
    count = parser.parse_args().count
    print(f"| {version()}, {count:,} of each | bytes each | bounded by |\n|---|---|---|")  # noqa: T201
    for one in shares(count):
        print(f"| {one.thing} | {one.size:,.0f} | {one.bound} |")  # noqa: T201


if __name__ == "__main__":
    main()
