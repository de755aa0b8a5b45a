"""What the stronger scorer remembers, shared by all processes through Redis.

======================  ======  =============================================================
``review:vector:…``     string  vectors that wait for a verdict, JSON
``review:waiting:…``    zset    external ids of these, by the time at which they came
``review:rows:…``       hash    of a model: version and external id → [time, verdict and vectors], JSON
``review:kernel:…``     hash    ``fit`` and its ``stamp``, of a model version and of the model
======================  ======  =============================================================

Vectors of one model version take at most ``WAITING_BYTES``: the oldest go first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast
from uuid import uuid4

import redis

from worker.environment import clock
from worker.review.decision import SEPARATOR, ScoreSource
from worker.review.vectors import Row, Vectors

WAITING_SECONDS = 14 * 86_400
"""How long a vector waits for its verdict."""

WAITING_BYTES = 16_000_000
"""Most that the waiting vectors of one model version may take."""

OVERHEAD = 300
"""Bytes that Redis needs for a waiting vector besides its text."""

KEPT_SECONDS = 30 * 86_400


class RedisVectors:
    """Vectors, rows and fits in Redis.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key.
        refresh_seconds: age at which a fit is read again.
        waiting_bytes: most that the waiting vectors of one model version may take.
        clock: seconds, for that age.
    """

    scarce = True

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str,
        refresh_seconds: float = 2.0,
        waiting_bytes: int = WAITING_BYTES,
        clock: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._redis = client
        self._prefix = f"{prefix}review:"
        self._refresh_seconds = refresh_seconds
        self._waiting_bytes = waiting_bytes
        self._clock = clock
        self._fits: dict[str, tuple[float, bytes, bytes | None]] = {}

    def remember(self, source: ScoreSource, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes; the oldest make room."""
        waiting, now, texts = self._key("waiting", source), clock.now(), {k: v.to_json() for k, v in vectors.items()}
        with self._redis.pipeline(transaction=False) as pipe:
            for external_id, text in texts.items():
                pipe.set(self._waiting_key(source, external_id), text, ex=WAITING_SECONDS)
            pipe.zadd(waiting, dict.fromkeys(texts, now))
            pipe.expire(waiting, WAITING_SECONDS)
            pipe.zremrangebyscore(waiting, 0, now - WAITING_SECONDS)
            pipe.zcard(waiting)
            count = pipe.execute()[-1]
        size = OVERHEAD + sum(map(len, texts.values())) / len(texts)
        if count > (most := max(1, int(self._waiting_bytes / size))):
            popped: Any = self._redis.zpopmin(waiting, count - most)
            self._redis.delete(*(self._waiting_key(source, name.decode()) for name, _ in popped))

    def recall(self, source: ScoreSource, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        wanted = list(external_ids)
        found: Any = self._redis.mget([self._waiting_key(source, one) for one in wanted]) if wanted else []
        return {one: Vectors.from_json(raw) for one, raw in zip(wanted, found, strict=True) if raw}

    def add_rows(self, source: ScoreSource, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep`` of all versions of the model, oldest first."""
        key, now = f"{self._prefix}rows:{source.family}", clock.now()
        fresh = {
            f"{source.model}{SEPARATOR}{one}": json.dumps([now + i * 1e-6, row.to_json()])
            for i, (one, row) in enumerate(rows.items())
        }
        if fresh:
            self._redis.hset(key, mapping=fresh)  # type: ignore[arg-type]
            self._redis.expire(key, KEPT_SECONDS)
        found: Any = self._redis.hgetall(key)
        ordered = sorted((*json.loads(raw), name) for name, raw in found.items())
        if len(ordered) > keep:
            self._redis.hdel(key, *(name for _, _, name in ordered[:-keep]))
        return [Row.from_json(text) for _, text, _ in ordered[-keep:]]

    def save_fit(self, source: ScoreSource, fit: bytes) -> None:
        """Keep a fit."""
        stamp = uuid4().bytes
        with self._redis.pipeline(transaction=True) as pipe:
            for name in {source.key, source.family}:
                pipe.hset(self._kernel_key(name), mapping={"fit": fit, "stamp": stamp})
                pipe.expire(self._kernel_key(name), KEPT_SECONDS)
            pipe.execute()
        self._fits[source.key] = (self._clock(), stamp, fit)

    def fit(self, source: ScoreSource) -> bytes | None:
        """The newest fit of this version, else of any version of the model, as it was given or a moment ago."""
        now = self._clock()
        read_at, stamp, known = self._fits.get(source.key, (now - self._refresh_seconds, b"", None))
        if now - read_at >= self._refresh_seconds:
            own, others = self._kernel_key(source.key), self._kernel_key(source.family)
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hget(own, "stamp")
                pipe.hget(others, "stamp")
                own_stamp, others_stamp = pipe.execute()
            if (newest := own_stamp or others_stamp or b"") != stamp:
                stamp, known = newest, self._read(own if own_stamp else others)
            self._fits[source.key] = (now, stamp, known)
        return known

    def _read(self, key: str) -> bytes | None:
        found: bytes | None = cast(Any, self._redis.hget(key, "fit"))
        return found

    def _kernel_key(self, name: str) -> str:
        return f"{self._prefix}kernel:{name}"

    def _key(self, kind: str, source: ScoreSource) -> str:
        return f"{self._prefix}{kind}:{source.key}"

    def _waiting_key(self, source: ScoreSource, external_id: str) -> str:
        return f"{self._key('vector', source)}:{external_id}"
