"""What the policy remembers, shared by all processes through Redis.

Everything that grows is counts that add up, sent in one pipeline for all batches of a moment; a process sees the
others' within ``refresh_seconds``. Keys that nobody touches for thirty days expire.

=====================  ======  ==============================================================
``review:scores:…``    hash    ``epoch:bin``, ``seen``, ``jumps``: the scores of a source
``review:odds:…``      hash    the same, of the log odds of an error under a rule in a project
``review:new-scores:…`` hash   ``epoch:bin``, ``taken``: those of the scores that were not yet compared for a shift
``review:new-odds:…``  hash    the same, of the log odds
``review:counts:…``    hash    ``quarter:kind``: what passed under a rule in a project
``review:reviewers:…`` string  reviews that reviewers finish a day
``review:fit:…``       string  calibration, JSON
``review:versions:…``  zset    sources of one model's versions by the time of their first verdict
``review:verdicts:…``  hash    external id → [time, example], JSON
=====================  ======  ==============================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from worker.environment import clock
from worker.review import capacity, histogram
from worker.review.calibration import Calibration, Example
from worker.review.capacity import Counts
from worker.review.decision import ScoreSource
from worker.review.histogram import Histogram, UntestedPool
from worker.review.triage import RuleStatistics
from worker.review.vectors import RedisVectors, VectorStore
from worker.spool import names

KEPT_SECONDS = 30 * 86_400
LISTED = ("scores", "counts")


@dataclass(frozen=True, slots=True)
class _Taken:
    """Counts on their way to a hash, and who takes them back when they cannot be kept."""

    kind: str
    name: str
    counts: Mapping[str, int]
    give_back: Callable[[Mapping[str, int]], None]


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
        clock: Callable[[], float] = clock.monotonic,
        wall_clock: Callable[[], float] = clock.now,
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
        self._rule_statistics: dict[str, RuleStatistics] = {}
        self._untested = UntestedPool(client, KEPT_SECONDS)
        self.vectors: VectorStore = RedisVectors(client, prefix=prefix, refresh_seconds=refresh_seconds, clock=clock)

    def refresh(self, sources: Collection[ScoreSource], rules: Collection[str]) -> None:
        """Read again what is older than ``refresh_seconds``, in one pipeline."""
        old_sources = [source for source in sources if self._is_old(f"scores:{source.key}")]
        old_rules = [rule for rule in rules if self._is_old(f"odds:{rule}")]
        if not old_sources and not old_rules:
            return
        self.send()
        with self._redis.pipeline(transaction=False) as pipe:
            for source in old_sources:
                pipe.hgetall(self._key("scores", source.key))
                pipe.hgetall(self._key("new-scores", source.key))
                pipe.get(self._key("fit", source.key))
            for rule in old_rules:
                pipe.hgetall(self._key("odds", rule))
                pipe.hgetall(self._key("new-odds", rule))
                pipe.hgetall(self._key("counts", rule))
                pipe.get(self._key("reviewers", rule))
            replies = iter(pipe.execute())
        for source in old_sources:
            self._histograms[source.key] = self._histogram("scores", source.key, next(replies), next(replies))
            self._take_fit(source, next(replies))
        for rule in old_rules:
            log_odds = self._histogram("odds", rule, next(replies), next(replies))
            self._take_rule_statistics(rule, log_odds, next(replies), next(replies))

    def histogram(self, source: ScoreSource) -> Histogram:
        """The scores of a source."""
        if source.key not in self._histograms:
            self._histograms[source.key] = Histogram()
        return self._histograms[source.key]

    def calibration(self, source: ScoreSource) -> Calibration:
        """The fit of a source; of the model's previous version or none, when it has no verdicts."""
        return self._calibrations.get(source.key) or Calibration()

    def rule_statistics(self, name: str) -> RuleStatistics:
        """A rule in a project."""
        if name not in self._rule_statistics:
            self._rule_statistics[name] = RuleStatistics()
        return self._rule_statistics[name]

    def flush(self) -> None:
        """Send what was counted, unless something was sent a moment ago."""
        if self._clock() - self._sent_at >= self._flush_seconds:
            self.send()

    def send(self) -> None:
        """Send what was counted, in one transaction; a process that is killed before loses these counts alone.

        Raises:
            redis.RedisError: nothing was sent, and the counts are kept for the next time.
        """
        self._sent_at = self._clock()
        taken = [one for one in self._taken() if one.counts]
        if not taken:
            return
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                for one in taken:
                    self._send(pipe, one.kind, one.name, one.counts)
                for name, rule_statistics in self._rule_statistics.items():
                    for field, granted in rule_statistics.counts.pending_grants.items():
                        pipe.hsetnx(self._key("counts", name), field, granted)
                pipe.execute()
        except redis.RedisError:
            for one in taken:
                one.give_back(one.counts)
            raise
        for rule_statistics in self._rule_statistics.values():
            rule_statistics.counts.take_grants()

    def _taken(self) -> Iterator[_Taken]:
        for key, found in self._histograms.items():
            yield from _of_histogram("scores", key, found)
        for name, rule_statistics in self._rule_statistics.items():
            yield from _of_histogram("odds", name, rule_statistics.log_odds)
            yield _Taken("counts", name, rule_statistics.counts.take_pending(), rule_statistics.counts.pending.update)

    def add_examples(self, source: ScoreSource, examples: Mapping[str, Example], keep: int) -> list[Example]:
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

    def inherited(self, source: ScoreSource) -> Calibration | None:
        """The fit of the model's version before this one."""
        found: Any = self._redis.zrange(self._key("versions", source.family), 0, -1)
        versions = [key.decode() for key in found]
        before = versions[: versions.index(source.key)] if source.key in versions else versions
        raw: Any = self._redis.get(self._key("fit", before[-1])) if before else None
        return Calibration.from_dict(json.loads(raw)) if raw else None

    def save_calibration(self, source: ScoreSource, calibration: Calibration) -> None:
        """Keep a fit."""
        versions = self._key("versions", source.family)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(self._key("fit", source.key), json.dumps(calibration.to_dict()), ex=KEPT_SECONDS)
            pipe.zadd(versions, {source.key: self._wall_clock()}, nx=True)
            pipe.expire(versions, KEPT_SECONDS)
            pipe.execute()
        self._calibrations[source.key] = calibration

    def set_reviewers(self, rule: str, per_day: float) -> None:
        """Keep how many reviews the reviewers finish a day."""
        self._redis.set(self._key("reviewers", rule), per_day, ex=KEPT_SECONDS)
        self.rule_statistics(rule).reviewers = per_day

    def sources(self) -> list[ScoreSource]:
        """Every source that has shown a score, sorted."""
        return [ScoreSource(*name.split("\x1f")) for name in self._names("scores")]

    def rule_keys(self) -> list[str]:
        """Every rule in every project that has seen a prediction, sorted."""
        return self._names("counts")

    def _names(self, kind: str) -> list[str]:
        names.fill_once(self._redis, self._root)
        key = names.review_names_key(self._root, kind)
        found: Any = self._redis.zrangebyscore(key, self._wall_clock() - KEPT_SECONDS, "+inf")
        return sorted(name.decode() for name in found)

    def _histogram(
        self, kind: str, name: str, counts: Mapping[bytes, bytes], untested: Mapping[bytes, bytes]
    ) -> Histogram:
        """What the fleet has counted; where that has shifted, as it is from then on."""
        key = self._key(kind, name)
        found = Histogram.from_counts(_numbers(counts))
        if self._untested.compare(untested, found, pool=self._key(f"new-{kind}", name), scores=key):
            counts = cast(Any, self._redis.hgetall(key))
            found = Histogram.from_counts(_numbers(counts))
        self._drop(key, histogram.stale_fields(_texts(counts), found.epoch))
        return found

    def _take_fit(self, source: ScoreSource, fit: bytes | None) -> None:
        known = Calibration.from_dict(json.loads(fit)) if fit else self.inherited(source)
        if known:
            self._calibrations[source.key] = known

    def _take_rule_statistics(
        self, name: str, log_odds: Histogram, counts: Mapping[bytes, bytes], reviewers: bytes | None
    ) -> None:
        self._rule_statistics[name] = RuleStatistics(
            log_odds, Counts.from_counts(_numbers(counts)), float(reviewers) if reviewers else None
        )
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


def _of_histogram(kind: str, name: str, found: Histogram) -> Iterator[_Taken]:
    yield _Taken(kind, name, found.take_pending(), found.give_back)
    yield _Taken(f"new-{kind}", name, found.take_untested(), found.untested.update)


def _numbers(found: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in found.items()}


def _texts(names: Iterable[bytes]) -> list[str]:
    return [name.decode() for name in names]
