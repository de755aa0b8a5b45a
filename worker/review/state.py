"""What the policy remembers, in this process alone: for simulations, tests and benchmarks.

The same interface over Redis is in ``redis_state``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from worker.review.calibration import Calibration, Example
from worker.review.decision import ScoreSource
from worker.review.histogram import Histogram
from worker.review.triage import RuleStatistics
from worker.review.vectors import MemoryVectors, VectorStore


class ReviewState(Protocol):
    """What the policy remembers. Whatever is handed out is changed in place and kept by ``flush``."""

    def refresh(self, sources: Collection[ScoreSource], rules: Collection[str]) -> None:
        """Bring what will be asked for up to date."""

    def histogram(self, source: ScoreSource) -> Histogram:
        """The scores of a source."""
        ...

    def calibration(self, source: ScoreSource) -> Calibration:
        """The fit of a source; of the model's previous version or none, when it has no verdicts."""
        ...

    def rule_statistics(self, name: str) -> RuleStatistics:
        """A rule in a project."""
        ...

    def flush(self) -> None:
        """Keep what was counted, now or soon."""

    def send(self) -> None:
        """Keep what was counted, now."""

    def add_examples(self, source: ScoreSource, examples: Mapping[str, Example], keep: int) -> list[Example]:
        """Keep verdicts by external id; return the newest ``keep`` of the source, oldest first."""
        ...

    def inherited(self, source: ScoreSource) -> Calibration | None:
        """The fit of the model's version before this one."""
        ...

    def save_calibration(self, source: ScoreSource, calibration: Calibration) -> None:
        """Keep a fit."""

    def set_reviewers(self, rule: str, per_day: float) -> None:
        """Keep how many reviews the reviewers finish a day."""

    @property
    def vectors(self) -> VectorStore:
        """What the stronger scorer remembers."""
        ...


class MemoryState:
    """Everything in dictionaries."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self._calibrations: dict[str, Calibration] = {}
        self._newest: dict[str, list[str]] = {}
        self._rule_statistics: dict[str, RuleStatistics] = {}
        self._examples: dict[str, dict[str, Example]] = {}
        self.vectors: VectorStore = MemoryVectors()

    def refresh(self, sources: Collection[ScoreSource], rules: Collection[str]) -> None:
        """Nothing is anywhere else."""

    def histogram(self, source: ScoreSource) -> Histogram:
        """The scores of a source."""
        if source.key not in self._histograms:
            self._histograms[source.key] = Histogram()
        return self._histograms[source.key]

    def calibration(self, source: ScoreSource) -> Calibration:
        """The fit of a source; of the model's previous version or none, when it has no verdicts."""
        return self._calibrations.get(source.key) or self.inherited(source) or Calibration()

    def rule_statistics(self, name: str) -> RuleStatistics:
        """A rule in a project."""
        if name not in self._rule_statistics:
            self._rule_statistics[name] = RuleStatistics()
        return self._rule_statistics[name]

    def flush(self) -> None:
        """Nothing is anywhere else: what was counted is let go."""
        for histogram in self._histograms.values():
            histogram.take_pending()
        for rule_statistics in self._rule_statistics.values():
            rule_statistics.log_odds.take_pending()
            rule_statistics.counts.take_pending()
            rule_statistics.counts.take_grants()

    def send(self) -> None:
        """As ``flush``."""
        self.flush()

    def add_examples(self, source: ScoreSource, examples: Mapping[str, Example], keep: int) -> list[Example]:
        """Keep verdicts by external id; return the newest ``keep`` of the source, oldest first."""
        kept = self._examples.setdefault(source.key, {})
        for external_id, example in examples.items():
            kept.pop(external_id, None)
            kept[external_id] = example
        for old in list(kept)[:-keep]:
            del kept[old]
        return list(kept.values())

    def inherited(self, source: ScoreSource) -> Calibration | None:
        """The fit of the model's version before this one."""
        versions = self._newest.get(source.family, [])
        before = versions[: versions.index(source.key)] if source.key in versions else versions
        return self._calibrations[before[-1]] if before else None

    def save_calibration(self, source: ScoreSource, calibration: Calibration) -> None:
        """Keep a fit."""
        versions = self._newest.setdefault(source.family, [])
        if source.key not in versions:
            versions.append(source.key)
        self._calibrations[source.key] = calibration

    def set_reviewers(self, rule: str, per_day: float) -> None:
        """Keep how many reviews the reviewers finish a day."""
        self.rule_statistics(rule).reviewers = per_day
