"""From scores to probabilities of an error that models of different calibration can be compared by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import uuid4

import msgspec

from worker.review.calibration import KEPT_EXAMPLES, Example, Features, fit
from worker.review.decision import ReviewDecision, ScoreSource
from worker.review.expected_errors import ErrorReading
from worker.review.state import ReviewState


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


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A reading with its place among the same model's scores and the log odds of an error."""

    features: Features
    log_odds: float


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
