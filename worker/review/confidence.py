"""The model's own confidence in its output, when the message does not state one."""

from __future__ import annotations

import math
from collections.abc import Iterable

from worker.formats.output import (
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
        case Classification(scores=scores, exclusive=False):
            return _least(max(one.score, 1 - one.score) for one in scores if one.score is not None)
        case Classification(scores=scores):
            return max((one.score for one in scores if one.score is not None), default=None)
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


def _least(scores: Iterable[float | None]) -> float | None:
    return min((score for score in scores if score is not None), default=None)
