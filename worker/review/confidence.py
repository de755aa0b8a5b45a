"""The model's own confidence in its output, and the simplest review rule: below a threshold it is doubtful."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from worker.contract.output import (
    Answer,
    Classification,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    ModelOutput,
    Several,
    Transcription,
)
from worker.ontology import confidence_of
from worker.review.decision import ReviewDecision, Subject


def own_confidence(output: ModelOutput) -> float | None:
    """Confidence in [0, 1], or None when the output tells none.

    Single choice: the greatest score. Several choices: the least sure decision, min over classes of max(p, 1 - p).
    Detection and entities: the least sure element. Transcription: its score, else exp of the mean token logprob.
    A video: its least sure key frame. Several jobs: the least sure one. A Kili response: its least sure category or
    object.
    """
    return _confidence(output.answer)


def _confidence(answer: Answer) -> float | None:
    match answer:
        case Classification(scores=scores, exclusive=exclusive):
            return confidence_in([one.score for one in scores if one.score is not None], exclusive is False)
        case Detection(objects=objects):
            return _least(one.score for one in objects)
        case Entities(entities=entities):
            return _least(one.score for one in entities)
        case Transcription(score=score, token_logprobs=logs):
            return score if score is not None or not logs else math.exp(sum(logs) / len(logs))
        case Frames(frames=frames):
            return _least(_confidence(one.answer) for one in frames if one.key)
        case Several(answers=answers):
            return _least(map(_confidence, answers.values()))
        case Either(answers=answers):
            return _confidence(answers[0])
        case KiliResponse(json_response=response):
            return confidence_of(response)
    return None


def confidence_in(scores: Collection[float], independent: bool) -> float | None:
    """Confidence in a choice, from the scores of its classes; ``independent`` where several may be chosen."""
    if independent:
        return min([max(score, 1 - score) for score in scores], default=None)
    return max(scores, default=None)


def _least(scores: Iterable[float | None]) -> float | None:
    return min((score for score in scores if score is not None), default=None)


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
