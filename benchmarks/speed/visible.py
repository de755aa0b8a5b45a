"""How long a prediction takes from the door until its label can be seen in Kili."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.speed.competitors.us import await_that, fill, hold, let_go, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Made, Work
from benchmarks.speed.samples import percentile
from worker.settings.tree import Settings

SETTLING_SECONDS = 60.0
WARM_UP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from publishing to the visible label."""

    count: int
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Waits:
        """Summarise at least one wait."""
        return cls(len(seconds), percentile(seconds, 0.5), percentile(seconds, 0.95), max(seconds))


@dataclass(frozen=True, slots=True)
class LightLoad:
    """Waits at so many messages a second, and the bound: the linger time and three round trips."""

    per_second: float
    waits: Waits
    bound: float


@dataclass(frozen=True, slots=True)
class UnderBacklog:
    """Waits of doubtful predictions while routine ones are worked off, and how many of those flowed meanwhile.

    ``calls`` of a budget of ``allowed`` were used; ``refused`` were answered 429.
    """

    backlog: int
    waits: Waits
    routine_per_second: float
    calls: int
    allowed: float
    refused: int


def light_load(*, latency: float, per_second: float, seconds: float) -> LightLoad:
    """Publish one message at a time, evenly, to an idle worker that knows the project's interface."""
    with Ground(latency=latency) as ground, workers(ground):
        _published(ground, Work(1, prefix="first"), 0.0)
        _await_labels(ground, 1)
        sent = _published(ground, Work(max(1, int(per_second * seconds))), 1 / per_second)
        _await_labels(ground, len(sent) + 1)
        waits = _waits(ground.items(), sent)
    return LightLoad(per_second, Waits.of(waits), Settings().delivery.linger_seconds + 3 * latency)


def under_backlog(*, latency: float, calls_per_minute: int, backlog: int, seconds: float, every: float) -> UnderBacklog:
    """Publish doubtful predictions one at a time while a backlog of routine ones is delivered within the budget."""
    with Ground(latency=latency, calls_per_minute=calls_per_minute) as ground:
        hold(ground)
        with workers(ground):
            fill(ground, Work(backlog, prefix="routine", doubtful_every=0))
            let_go(ground)
            time.sleep(WARM_UP_SECONDS)
            before, delivered, begun = ground.calls(), ground.spool.ledger().delivered, time.perf_counter()
            sent = _published(ground, Work(max(1, int(seconds / every)), prefix="doubtful", doubtful_every=1), every)
            taken = time.perf_counter() - begun
            calls, flowed = ground.calls() - before, ground.spool.ledger().delivered - delivered
            _await_labels(ground, len(sent), "doubtful")
            waits = _waits(ground.items(), sent)
            refused = int(ground.admin("calls")["refused_429"])
    allowed = calls_per_minute * taken / 60
    return UnderBacklog(backlog, Waits.of(waits), (flowed - len(sent)) / taken, calls, allowed, refused)


def _published(ground: Ground, work: Iterable[Made], every: float) -> dict[str, float]:
    """Publish evenly; when each message was sent, in seconds since the epoch."""
    inbox, sent, begun = Settings().intake.inbox, {}, time.time()
    for number, made in enumerate(work):
        time.sleep(max(0.0, begun + number * every - time.time()))
        sent[made.external_id] = time.time()
        ground.add([made.message(ground.project)], inbox)
    return sent


def _await_labels(ground: Ground, count: int, prefix: str = "") -> None:
    def there() -> bool:
        time.sleep(0.2)
        return sum(1 for item in ground.items() if item["labels"] and item["externalId"].startswith(prefix)) >= count

    if not await_that(there, SETTLING_SECONDS):
        raise TimeoutError(f"{count} labels are not in Kili after {SETTLING_SECONDS:g} s")


def _waits(items: Iterable[Mapping[str, Any]], sent: Mapping[str, float]) -> list[float]:
    return [
        datetime.fromisoformat(item["labels"][0]["createdAt"]).timestamp() - sent[item["externalId"]]
        for item in items
        if item["externalId"] in sent and item["labels"]
    ]
