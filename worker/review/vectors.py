"""What the stronger scorer looks at besides the score, and where it waits for its verdict."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from worker.formats.output import Classification
from worker.review.calibration import Example
from worker.review.decision import Subject
from worker.review.state import Source

WAITING_SECONDS = 14 * 86_400
"""How long a vector waits for its verdict."""

KEPT_SECONDS = 30 * 86_400
MOST_WAITING = 50_000


@dataclass(frozen=True, slots=True)
class Vectors:
    """``roots``: √p of every class of a whole distribution, by label. ``embedding``: of the asset's content."""

    roots: Mapping[str, float]
    embedding: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.roots or self.embedding)

    def to_json(self) -> str:
        """Compact, with four digits."""
        roots = {label: round(root, 4) for label, root in self.roots.items() if root >= 5e-5}
        return json.dumps([roots, [float(f"{x:.4g}") for x in self.embedding]], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Vectors:
        """Read what ``to_json`` wrote."""
        roots, embedding = json.loads(text)
        return cls(roots, tuple(embedding))


def vectors_of(subject: Subject) -> Vectors:
    """The whole distribution of a single choice and the embedding, as far as the message has them."""
    answer = subject.output.answer
    roots = {}
    if isinstance(answer, Classification) and answer.complete and answer.exclusive is not False:
        roots = {one.label: math.sqrt(one.score) for one in answer.scores if one.score is not None}
    return Vectors(roots, tuple(subject.embedding or ()))


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction with its verdict and vectors."""

    example: Example
    vectors: Vectors

    def to_json(self) -> str:
        """For Redis."""
        return json.dumps([self.example.to_list(), self.vectors.to_json()], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Row:
        """Read what ``to_json`` wrote."""
        example, vectors = json.loads(text)
        return cls(Example.from_list(example), Vectors.from_json(vectors))


class VectorStore(Protocol):
    """Where vectors wait for verdicts, rows for fits, and fits for use.

    Where room is ``scarce``, only vectors of predictions that will be reviewed should be kept.
    """

    scarce: bool

    def remember(self, source: Source, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""

    def recall(self, source: Source, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        ...

    def add_rows(self, source: Source, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep``, oldest first."""
        ...

    def save_fit(self, source: Source, fit: bytes) -> None:
        """Keep a fit."""

    def fit(self, source: Source) -> bytes | None:
        """The newest fit, as it was given."""
        ...


class MemoryVectors:
    """Everything in dictionaries, the newest 50,000 vectors."""

    scarce = False

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Vectors] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self._fits: dict[str, bytes] = {}

    def remember(self, source: Source, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""
        for external_id, one in vectors.items():
            self._waiting[source.key, external_id] = one
        for old in list(self._waiting)[: max(0, len(self._waiting) - MOST_WAITING)]:
            del self._waiting[old]

    def recall(self, source: Source, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        found = {external_id: self._waiting.get((source.key, external_id)) for external_id in external_ids}
        return {external_id: one for external_id, one in found.items() if one}

    def add_rows(self, source: Source, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep``, oldest first."""
        kept = self._rows.setdefault(source.key, {})
        for external_id, row in rows.items():
            kept.pop(external_id, None)
            kept[external_id] = row
        for old in list(kept)[:-keep]:
            del kept[old]
        return list(kept.values())

    def save_fit(self, source: Source, fit: bytes) -> None:
        """Keep a fit."""
        self._fits[source.key] = fit

    def fit(self, source: Source) -> bytes | None:
        """The newest fit, as it was given."""
        return self._fits.get(source.key)


class RedisVectors:
    """Vectors, rows and fits in Redis.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key.
        refresh_seconds: age at which a fit is read again.
        clock: seconds, for that age.
    """

    scarce = True

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str,
        refresh_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._prefix = f"{prefix}review:"
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._fits: dict[str, tuple[float, bytes | None]] = {}

    def remember(self, source: Source, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""
        with self._redis.pipeline(transaction=False) as pipe:
            for external_id, one in vectors.items():
                pipe.set(self._waiting_key(source, external_id), one.to_json(), ex=WAITING_SECONDS)
            pipe.execute()

    def recall(self, source: Source, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        wanted = list(external_ids)
        found: Any = self._redis.mget([self._waiting_key(source, one) for one in wanted]) if wanted else []
        return {one: Vectors.from_json(raw) for one, raw in zip(wanted, found, strict=True) if raw}

    def add_rows(self, source: Source, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep``, oldest first."""
        key, now = f"{self._prefix}rows:{source.key}", time.time()
        fresh = {one: json.dumps([now + i * 1e-6, row.to_json()]) for i, (one, row) in enumerate(rows.items())}
        if fresh:
            self._redis.hset(key, mapping=fresh)  # type: ignore[arg-type]
            self._redis.expire(key, KEPT_SECONDS)
        found: Any = self._redis.hgetall(key)
        ordered = sorted((*json.loads(raw), name) for name, raw in found.items())
        if len(ordered) > keep:
            self._redis.hdel(key, *(name for _, _, name in ordered[:-keep]))
        return [Row.from_json(text) for _, text, _ in ordered[-keep:]]

    def save_fit(self, source: Source, fit: bytes) -> None:
        """Keep a fit."""
        self._redis.set(self._fit_key(source), fit, ex=KEPT_SECONDS)
        self._fits[source.key] = (self._clock(), fit)

    def fit(self, source: Source) -> bytes | None:
        """The newest fit, as it was given, or the one of a moment ago."""
        now = self._clock()
        read_at, known = self._fits.get(source.key, (now - self._refresh_seconds, None))
        if now - read_at >= self._refresh_seconds:
            raw: Any = self._redis.get(self._fit_key(source))
            known = raw if raw != known else known
            self._fits[source.key] = (now, known)
        return known

    def _fit_key(self, source: Source) -> str:
        return f"{self._prefix}kernel:{source.key}"

    def _waiting_key(self, source: Source, external_id: str) -> str:
        return f"{self._prefix}vector:{source.key}:{external_id}"
