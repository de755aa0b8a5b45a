"""What the stronger scorer looks at besides the score, and where it waits for its verdict: in memory or in Redis.

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
import os
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast
from uuid import uuid4

import msgspec
import redis

from worker.contract.output import Classification
from worker.environment import clock
from worker.review.calibration import Calibration, Example
from worker.review.decision import SEPARATOR, ScoreSource, Subject

ScorerChoice = Literal["automatic", "off"]


class StrongerScorer(Protocol):
    """Corrects log odds of an error by more than the score."""

    def corrections(
        self, source: ScoreSource, subjects: Sequence[Subject], predicted: Sequence[str]
    ) -> Sequence[float]:
        """What to add to the log odds of each subject; 0 where nothing is known."""
        ...

    def remember(self, source: ScoreSource, subjects: Sequence[Subject], reviewed: Sequence[bool]) -> None:
        """Keep what is needed to learn from verdicts; ``reviewed`` tells which subjects humans are asked about."""

    def learn(self, source: ScoreSource, verdicts: Mapping[str, Example], calibration: Calibration) -> None:
        """Learn from examples by external id; ``calibration`` is what will be corrected."""


def scorer_of(choice: ScorerChoice, store: VectorStore) -> StrongerScorer | None:
    """The scorer that a policy asks for: ``automatic`` is the kernel wherever numpy is installed."""
    if choice == "off":
        return None
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # on matrices this small more threads only spin
    try:
        from worker.review.kernel import KernelScorer
    except ImportError:  # without numpy the calibration stands alone
        return None
    return KernelScorer(store)


MOST_WAITING = 50_000

LEAST_SHARE = 1e-9
"""A class with less probability counts as one without any."""


class Vectors(msgspec.Struct, frozen=True, gc=False):
    """``shares``: probability of every class of a whole distribution, by label. ``embedding``: of the asset."""

    shares: Mapping[str, float]
    embedding: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.shares or self.embedding)

    def to_json(self) -> str:
        """Compact, with four digits of a probability and three of a number of the embedding."""
        shares = {label: float(f"{share:.4g}") for label, share in self.shares.items() if share >= LEAST_SHARE}
        return json.dumps([shares, *_packed(self.embedding)], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Vectors:
        """Read what ``to_json`` wrote."""
        shares, *embedding = json.loads(text)
        return cls(shares, _unpacked(*embedding))


def _packed(numbers: Sequence[float]) -> tuple[float, str]:
    """The greatest magnitude, and all numbers in its terms with 16 bits each."""
    scale = max(map(abs, numbers), default=0.0) or 1.0
    return scale, b64encode(struct.pack(f"<{len(numbers)}e", *(one / scale for one in numbers))).decode()


def _unpacked(scale: float, text: str) -> tuple[float, ...]:
    raw = b64decode(text)
    return tuple(scale * one for one in struct.unpack(f"<{len(raw) // 2}e", raw))


def vectors_of(subject: Subject) -> Vectors:
    """The whole distribution of a single choice and the embedding, as far as the message has them."""
    answer = subject.output.answer
    shares = {}
    if isinstance(answer, Classification) and answer.complete and answer.exclusive is not False:
        shares = {one.label: one.score for one in answer.scores if one.score is not None}
    return Vectors(shares, tuple(subject.embedding or ()))


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction of a model version (``name:version``) with its verdict and vectors."""

    model: str
    example: Example
    vectors: Vectors

    def to_json(self) -> str:
        """For Redis."""
        return json.dumps([self.model, self.example.to_list(), self.vectors.to_json()], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Row:
        """Read what ``to_json`` wrote."""
        model, example, vectors = json.loads(text)
        return cls(model, Example.from_list(example), Vectors.from_json(vectors))


class VectorStore(Protocol):
    """Where vectors wait for verdicts, rows for fits, and fits for use.

    Where room is ``scarce``, only vectors of predictions that will be reviewed should be kept.
    """

    scarce: bool

    def remember(self, source: ScoreSource, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""

    def recall(self, source: ScoreSource, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        ...

    def add_rows(self, source: ScoreSource, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep`` of all versions of the model, oldest first."""
        ...

    def save_fit(self, source: ScoreSource, fit: bytes) -> None:
        """Keep a fit."""

    def fit(self, source: ScoreSource) -> bytes | None:
        """The newest fit of this version, else of any version of the model, as it was given."""
        ...


class MemoryVectors:
    """Everything in dictionaries, the newest 50,000 vectors."""

    scarce = False

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Vectors] = {}
        self._rows: dict[str, dict[tuple[str, str], Row]] = {}
        self._fits: dict[str, bytes] = {}

    def remember(self, source: ScoreSource, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""
        for external_id, one in vectors.items():
            self._waiting[source.key, external_id] = one
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def recall(self, source: ScoreSource, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        found = {external_id: self._waiting.get((source.key, external_id)) for external_id in external_ids}
        return {external_id: one for external_id, one in found.items() if one}

    def add_rows(self, source: ScoreSource, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep`` of all versions of the model, oldest first."""
        kept = self._rows.setdefault(source.family, {})
        for external_id, row in rows.items():
            name = source.model, external_id
            kept.pop(name, None)
            kept[name] = row
        for old in list(kept)[:-keep]:
            del kept[old]
        return list(kept.values())

    def save_fit(self, source: ScoreSource, fit: bytes) -> None:
        """Keep a fit."""
        self._fits[source.key] = self._fits[source.family] = fit

    def fit(self, source: ScoreSource) -> bytes | None:
        """The newest fit of this version, else of any version of the model, as it was given."""
        return self._fits.get(source.key) or self._fits.get(source.family)


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
