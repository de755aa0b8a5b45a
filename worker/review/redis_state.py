"""What the policy remembers, shared by all processes through Redis.

Everything that grows is counts that add up, sent in one pipeline for all batches of a moment; a process sees the
others' within ``refresh_seconds``. Keys that nobody touches for thirty days expire.

=====================  ======  ==============================================================
``review:scores:…``    hash    ``epoch:bin``, ``seen``, ``jumps``: the scores of a source
``review:odds:…``      hash    the same, of the log odds of an error under a rule in a project
``review:counts:…``    hash    ``quarter:kind``: what passed under a rule in a project
``review:reviewers:…`` string  reviews that reviewers finish a day
``review:fit:…``       string  calibration, JSON
``review:versions:…``  zset    sources of one model's versions by the time of their first verdict
``review:verdicts:…``  hash    external id → [time, example], JSON
=====================  ======  ==============================================================
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import redis

from worker import names
from worker.review import capacity, histogram
from worker.review.calibration import Calibration, Example
from worker.review.capacity import Counts
from worker.review.histogram import Histogram
from worker.review.redis_vectors import RedisVectors
from worker.review.source import Source
from worker.review.state import Board
from worker.review.vectors import VectorStore

KEPT_SECONDS = 30 * 86_400
LISTED = ("scores", "counts")


class RedisState:
    """The policy's memory in Redis.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key.
        refresh_seconds: age at which what others counted is read again.
        flush_seconds: least time between two sendings of what was counted here.
        clock: seconds, for that age.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str,
        refresh_seconds: float = 2.0,
        flush_seconds: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = client
        self._root = prefix
        self._prefix = f"{prefix}review:"
        self._refresh_seconds = refresh_seconds
        self._flush_seconds = flush_seconds
        self._sent_at = -flush_seconds
        self._clock = clock
        self._wall_clock = wall_clock
        self._read_at: dict[str, float] = {}
        self._histograms: dict[str, Histogram] = {}
        self._calibrations: dict[str, Calibration] = {}
        self._boards: dict[str, Board] = {}
        self.vectors: VectorStore = RedisVectors(client, prefix=prefix, refresh_seconds=refresh_seconds, clock=clock)

    def refresh(self, sources: Collection[Source], boards: Collection[str]) -> None:
        """Read again what is older than ``refresh_seconds``, in one pipeline."""
        old_sources = [source for source in sources if self._is_old(f"scores:{source.key}")]
        old_boards = [board for board in boards if self._is_old(f"odds:{board}")]
        if not old_sources and not old_boards:
            return
        self.send()
        with self._redis.pipeline(transaction=False) as pipe:
            for source in old_sources:
                pipe.hgetall(self._key("scores", source.key))
                pipe.get(self._key("fit", source.key))
            for board in old_boards:
                pipe.hgetall(self._key("odds", board))
                pipe.hgetall(self._key("counts", board))
                pipe.get(self._key("reviewers", board))
            replies = iter(pipe.execute())
        for source in old_sources:
            self._take_source(source, next(replies), next(replies))
        for board in old_boards:
            self._take_board(board, next(replies), next(replies), next(replies))

    def histogram(self, source: Source) -> Histogram:
        """The scores of a source."""
        if source.key not in self._histograms:
            self._histograms[source.key] = Histogram()
        return self._histograms[source.key]

    def calibration(self, source: Source) -> Calibration:
        """The fit of a source; of the model's previous version or none, when it has no verdicts."""
        return self._calibrations.get(source.key) or Calibration()

    def board(self, name: str) -> Board:
        """A rule in a project."""
        if name not in self._boards:
            self._boards[name] = Board()
        return self._boards[name]

    def flush(self) -> None:
        """Send what was counted, unless something was sent a moment ago."""
        if self._clock() - self._sent_at >= self._flush_seconds:
            self.send()

    def send(self) -> None:
        """Send what was counted, in one pipeline; a process that dies before loses these counts, and nothing else."""
        self._sent_at = self._clock()
        with self._redis.pipeline(transaction=False) as pipe:
            for key, found in self._histograms.items():
                self._send(pipe, "scores", key, found.take_pending())
            for name, board in self._boards.items():
                self._send(pipe, "odds", name, board.log_odds.take_pending())
                self._send(pipe, "counts", name, board.counts.take_pending())
                for field, granted in board.counts.take_grants().items():
                    pipe.hsetnx(self._key("counts", name), field, granted)
            pipe.execute()

    def add_examples(self, source: Source, examples: Mapping[str, Example], keep: int) -> list[Example]:
        """Keep verdicts by external id; return the newest ``keep`` of the source, oldest first."""
        key, now = self._key("verdicts", source.key), self._wall_clock()
        rows = {name: json.dumps([now + i * 1e-6, *one.to_list()]) for i, (name, one) in enumerate(examples.items())}
        self._redis.hset(key, mapping=rows)  # type: ignore[arg-type]
        self._redis.expire(key, KEPT_SECONDS)
        found: Any = self._redis.hgetall(key)
        ordered = sorted((json.loads(row)[0], name, row) for name, row in found.items())
        if len(ordered) > keep:
            self._redis.hdel(key, *(name for _, name, _ in ordered[:-keep]))
        return [Example.from_list(json.loads(row)[1:]) for _, _, row in ordered[-keep:]]

    def inherited(self, source: Source) -> Calibration | None:
        """The fit of the model's version before this one."""
        found: Any = self._redis.zrange(self._key("versions", source.family), 0, -1)
        versions = [key.decode() for key in found]
        before = versions[: versions.index(source.key)] if source.key in versions else versions
        raw: Any = self._redis.get(self._key("fit", before[-1])) if before else None
        return Calibration.from_dict(json.loads(raw)) if raw else None

    def save_calibration(self, source: Source, calibration: Calibration) -> None:
        """Keep a fit."""
        versions = self._key("versions", source.family)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(self._key("fit", source.key), json.dumps(calibration.to_dict()), ex=KEPT_SECONDS)
            pipe.zadd(versions, {source.key: self._wall_clock()}, nx=True)
            pipe.expire(versions, KEPT_SECONDS)
            pipe.execute()
        self._calibrations[source.key] = calibration

    def set_reviewers(self, board: str, per_day: float) -> None:
        """Keep how many reviews the reviewers finish a day."""
        self._redis.set(self._key("reviewers", board), per_day, ex=KEPT_SECONDS)
        self.board(board).reviewers = per_day

    def sources(self) -> list[Source]:
        """Every source that has shown a score, sorted."""
        return [Source(*name.split("\x1f")) for name in self._names("scores")]

    def board_names(self) -> list[str]:
        """Every rule in every project that has seen a prediction, sorted."""
        return self._names("counts")

    def _names(self, kind: str) -> list[str]:
        names.fill_once(self._redis, self._root)
        key = names.review_names_key(self._root, kind)
        found: Any = self._redis.zrangebyscore(key, self._wall_clock() - KEPT_SECONDS, "+inf")
        return sorted(name.decode() for name in found)

    def _take_source(self, source: Source, scores: Mapping[bytes, bytes], fit: bytes | None) -> None:
        found = self._histograms[source.key] = Histogram.from_counts(_numbers(scores))
        self._drop(self._key("scores", source.key), histogram.stale_fields(_texts(scores), found.epoch))
        known = Calibration.from_dict(json.loads(fit)) if fit else self.inherited(source)
        if known:
            self._calibrations[source.key] = known

    def _take_board(
        self, name: str, odds: Mapping[bytes, bytes], counts: Mapping[bytes, bytes], reviewers: bytes | None
    ) -> None:
        log_odds = Histogram.from_counts(_numbers(odds))
        self._boards[name] = Board(
            log_odds, Counts.from_counts(_numbers(counts)), float(reviewers) if reviewers else None
        )
        self._drop(self._key("odds", name), histogram.stale_fields(_texts(odds), log_odds.epoch))
        self._drop(self._key("counts", name), capacity.stale_fields(_texts(counts), self._wall_clock()))

    def _is_old(self, name: str) -> bool:
        now = self._clock()
        if now - self._read_at.get(name, -self._refresh_seconds) < self._refresh_seconds:
            return False
        self._read_at[name] = now
        return True

    def _drop(self, key: str, names: list[str]) -> None:
        if names:
            self._redis.hdel(key, *names)

    def _send(self, pipe: Any, kind: str, name: str, counts: Mapping[str, int]) -> None:
        key = self._key(kind, name)
        for field, count in counts.items():
            pipe.hincrby(key, field, count)
        if counts:
            pipe.expire(key, KEPT_SECONDS)
            if kind in LISTED:
                self._list(pipe, kind, name)

    def _list(self, pipe: Any, kind: str, name: str) -> None:
        """Names are listed for as long as their hashes are kept."""
        key, now = names.review_names_key(self._root, kind), self._wall_clock()
        pipe.zadd(key, {name: now})
        pipe.zremrangebyscore(key, "-inf", now - KEPT_SECONDS)
        pipe.expire(key, KEPT_SECONDS)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"


def _numbers(found: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in found.items()}


def _texts(names: Iterable[bytes]) -> list[str]:
    return [name.decode() for name in names]
