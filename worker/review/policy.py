"""The review policies: what humans see first, what they see as a sample, and what they need not see.

The threshold policy looks at the model's own confidence alone. The ranked policy turns scores into probabilities of an
error that models of different calibration can be compared by, and learns from verdicts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol
from uuid import uuid4

from worker.environment import clock
from worker.review.calibration import KEPT_EXAMPLES, Example, Features, fit
from worker.review.decision import ReviewDecision, ScoreSource, Subject, own_confidence
from worker.review.expected_errors import ErrorReading, read_errors
from worker.review.policy_file import Policy, ReviewRule
from worker.review.state import MemoryState, ReviewState
from worker.review.triage import Ranked, Work, rule_key, triage
from worker.review.vectors import ScorerChoice, StrongerScorer, scorer_of

ROUTINE_LANE = 9
UNKNOWN_LANE = 5


@dataclass(frozen=True, slots=True)
class ThresholdPolicy:
    """Doubtful when confidence < ``threshold``.

    The priority of a doubtful prediction is 100 * (1 - confidence), rounded half up and at least 1; of any other, 0.
    Doubtful predictions take lanes 0 to 8 in equal widths of confidence, the others lane 9. A prediction
    without any confidence has priority 0 and lane 5.
    """

    threshold: float

    @property
    def name(self) -> str:
        """Name and parameter, stored with each decision."""
        return f"threshold/{self.threshold:g}"

    def decide(self, subject: Subject) -> ReviewDecision:
        """Apply the rule to the model's own confidence."""
        return self._decision(subject.confidence, self.name)

    def _decision(self, confidence: float | None, name: str) -> ReviewDecision:
        if confidence is None:
            return ReviewDecision(UNKNOWN_LANE, 0, "confidence unknown", name)
        if confidence >= self.threshold:
            return ReviewDecision(ROUTINE_LANE, 0, "confident", name, confidence)
        priority = max(1, math.floor(round(100 * (1 - confidence), 6) + 0.5))
        lane = min(ROUTINE_LANE - 1, int(ROUTINE_LANE * confidence / self.threshold))
        return ReviewDecision(lane, priority, "below threshold", name, confidence)

    def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
        """Apply the rule to each."""
        name = self.name
        return [self._decision(subject.confidence, name) for subject in subjects]

    def keep(self) -> None:
        """Nothing is counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a human found: ``wrong`` is 0 (the prediction was right) to 1 (it was wrong).

    ``decision`` is the one that was made about the prediction, as it came from the policy or back from Kili's
    jsonMetadata (``ReviewDecision.from_metadata``).
    """

    project: str
    model: str
    decision: ReviewDecision
    wrong: float
    external_id: str = ""

    @property
    def source(self) -> ScoreSource:
        """Whose prediction it was."""
        return ScoreSource(self.project, self.decision.job, self.model)

    @property
    def example(self) -> Example:
        """What the calibration learns from."""
        one = self.decision
        return Example(Features(one.percentile, one.deviation, one.predicted, one.runner_up), self.wrong)


class ErrorRanker:
    """Scores in, log odds of an error out; verdicts make it better.

    Args:
        state: where distributions and fits are kept.
    """

    def __init__(self, state: ReviewState) -> None:
        self._state = state

    def rank(self, source: ScoreSource, readings: Sequence[ErrorReading]) -> list[Ranked]:
        """Count the scores of one source, then rank them among all that it has shown so far."""
        histogram = self._state.histogram(source)
        positions = [reading.position for reading in readings]
        known = [position for position in positions if position is not None]
        histogram.observe(known)
        places = zip(histogram.percentiles(known), histogram.deviations(known), strict=True)
        calibration = self._state.calibration(source)
        ranked = []
        for reading, position in zip(readings, positions, strict=True):
            percentile, deviation = next(places) if position is not None else (None, None)
            features = Features(percentile, deviation, reading.predicted, reading.runner_up)
            ranked.append(Ranked(features, calibration.log_odds(features)))
        return ranked

    def learn(self, verdicts: Iterable[Verdict]) -> None:
        """Fit anew the model versions that got verdicts; a second verdict on an asset replaces the first."""
        ordered = sorted(verdicts, key=lambda verdict: verdict.source.key)
        for _, found in groupby(ordered, key=lambda verdict: verdict.source.key):
            group = list(found)
            self._learn(group[0].source, {one.external_id or uuid4().hex: one.example for one in group})

    def _learn(self, source: ScoreSource, examples: Mapping[str, Example]) -> None:
        kept = self._state.add_examples(source, examples, KEPT_EXAMPLES)
        start = self._state.calibration(source)
        self._state.save_calibration(source, fit(kept, start, self._state.inherited(source)))


REMEMBERED = 4096
"""Combinations of project, job and model whose rule is remembered."""

SAME_CONFIDENCE = 1e-9
"""A confidence that differs less from the output's own was not stated by the producer."""


class PolicySource(Protocol):
    """Knows the policy that is in force."""

    def current(self) -> Policy:
        """The policy to decide by."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """A policy that never changes."""

    policy: Policy = Policy()  # noqa: RUF009 - immutable

    def current(self) -> Policy:
        """The policy to decide by."""
        return self.policy


class RankedPolicy:
    """Ranks by calibrated expected errors, within the reviewers' capacity, with an audit sample.

    Args:
        policies: the policy in force.
        state: what is remembered; in this process alone by default.
        clock: seconds since the epoch.
        scorer: looks at more than the score, where messages carry more; by default what the policy asks for, see
            ``scorer_of``.
    """

    def __init__(
        self,
        policies: PolicySource | None = None,
        state: ReviewState | None = None,
        clock: Callable[[], float] = clock.now,
        scorer: StrongerScorer | None = None,
    ) -> None:
        self._policies = policies or FixedPolicy()
        self._state = state or MemoryState()
        self._ranker = ErrorRanker(self._state)
        self._clock = clock
        self._given_scorer = scorer
        self._scorers: dict[ScorerChoice, StrongerScorer | None] = {}
        self._rules: dict[tuple[str, str, str], tuple[ScoreSource, ReviewRule, str]] = {}
        self._rules_of: Policy | None = None
        self._lock = threading.RLock()

    def decide(self, subject: Subject) -> ReviewDecision:
        """Lane, priority and reason of one prediction."""
        return self.decide_all([subject])[0]

    def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
        """Decide on predictions that arrive together, in their order; their scores are counted first."""
        with self._lock:
            return self._decide(subjects, self._policies.current())

    def keep(self) -> None:
        """Let the fleet know now what was counted here.

        Raises:
            redis.RedisError: it is kept for the next time.
        """
        with self._lock:
            self._state.send()

    def learn(self, verdicts: Iterable[Verdict]) -> None:
        """Learn from what humans found; the decisions that follow are better for it."""
        known = [verdict for verdict in verdicts if verdict.decision.error_probability is not None]
        with self._lock:
            self._state.refresh({verdict.source for verdict in known}, ())
            self._ranker.learn(known)
            if scorer := self._scorer(self._policies.current()):
                for source, examples in _examples_of(known).items():
                    scorer.learn(source, examples, self._state.calibration(source))

    def set_reviewers(self, project: str, rule: str, per_day: float) -> None:
        """Tell how many reviews a day the reviewers of a project finish, for rules that follow them."""
        self._state.set_reviewers(rule_key(project, rule), per_day)

    def _scorer(self, policy: Policy) -> StrongerScorer | None:
        if self._given_scorer:
            return self._given_scorer
        if policy.scorer not in self._scorers:
            self._scorers[policy.scorer] = scorer_of(policy.scorer, self._state.vectors)
        return self._scorers[policy.scorer]

    def _decide(self, subjects: Sequence[Subject], policy: Policy) -> list[ReviewDecision]:
        scorer = self._scorer(policy)
        if policy is not self._rules_of or len(self._rules) >= REMEMBERED:
            self._rules_of = policy
            self._rules.clear()
        works = [self._work_of(subject, policy) for subject in subjects]
        by_source, by_rule = (
            _grouped(works, lambda work: id(work.source)),
            _grouped(works, lambda work: work.rule_key),
        )
        self._state.refresh({group[0].source for group in by_source}, {group[0].rule_key for group in by_rule})
        for group in by_source:
            self._rank(group, scorer)
        for group in by_rule:
            triage(group, policy, self._state.rule_statistics(group[0].rule_key), self._clock())
        self._state.flush()
        if scorer:
            for group in by_source:
                reviewed = [work.decision is not None and work.decision.band > 0 for work in group]
                scorer.remember(group[0].source, [work.subject for work in group], reviewed)
        return [work.decision for work in works if work.decision is not None]

    def _work_of(self, subject: Subject, policy: Policy) -> Work:
        output = subject.output
        found = self._rules.get((subject.project, output.job or "", subject.model))
        source, rule, key = found or self._rule_for(
            ScoreSource(subject.project, output.job or "", subject.model), policy
        )
        return Work(subject, read_errors(output, _stated(subject)), source, rule, key)

    def _rule_for(self, source: ScoreSource, policy: Policy) -> tuple[ScoreSource, ReviewRule, str]:
        """The one source that stands for all that are equal, its rule, and the name of this in its project."""
        rule = policy.rule_for(source.project, source.job, source.model)
        found = source, rule, rule_key(source.project, rule.name)
        return self._rules.setdefault((source.project, source.job, source.model), found)

    def _rank(self, works: Sequence[Work], scorer: StrongerScorer | None) -> None:
        """Rank the predictions of one source."""
        source = works[0].source
        ranks = self._ranker.rank(source, [work.reading for work in works])
        if scorer:
            predicted = [ranked.features.predicted for ranked in ranks]
            more = scorer.corrections(source, [work.subject for work in works], predicted)
            ranks = [Ranked(one.features, one.log_odds + add) for one, add in zip(ranks, more, strict=True)]
        for work, ranked in zip(works, ranks, strict=True):
            work.ranked = ranked


def _stated(subject: Subject) -> float | None:
    """The confidence that the producer stated: one that is not the output's own."""
    if subject.derived or subject.confidence is None:
        return None
    own = own_confidence(subject.output)
    return None if own is not None and abs(subject.confidence - own) < SAME_CONFIDENCE else subject.confidence


def _examples_of(verdicts: Iterable[Verdict]) -> dict[ScoreSource, dict[str, Example]]:
    found: dict[ScoreSource, dict[str, Example]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.source, {})[verdict.external_id] = verdict.example
    return found


def _grouped(works: Iterable[Work], key: Callable[[Work], str | int]) -> list[list[Work]]:
    groups: dict[str | int, list[Work]] = {}
    for work in works:
        groups.setdefault(key(work), []).append(work)
    return list(groups.values())
