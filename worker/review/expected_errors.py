"""How many errors a human would find in a prediction: the sum of P(error) over its units.

A unit is whatever can be right or wrong alone: the class of a single choice, each yes or no of several choices, a
token, a character, a box, and also what the model left out (a box below its threshold, a token without an entity).

=================  =======================================================================================
single choice      1 - p₁, as the sum of the other classes where the scores are whole (exact near 0)
several choices    Σ min(p, 1 - p)
entities           Σ (1 - p) over tokens where ``evidence.token_scores`` has them, else over entities
transcription      - Σ log p over tokens, else - log of its score
detection          Σ (1 - p) over objects + Σ p over ``evidence.candidate_scores`` (below the threshold)
segmentation       ``evidence.pixel_doubt`` (mean of 1 - p₁ over pixels) where it is given, else as detection
video              the sum over key frames
several jobs       the sum over jobs
Kili response      Σ (1 - confidence) over chosen categories and objects
=================  =======================================================================================

A confidence stated in the message wins over all of these: Σ is then 1 - confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from worker.contract.output import (
    Classification,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    ModelOutput,
    Nothing,
    Several,
    Transcription,
)

LEAST = 1e-10
"""Below this an expected number of errors is not told apart."""

EMPTY = "∅ empty"
"""Stands for the predicted class of a prediction in which nothing was found."""

UNSCORED = "∅ unscored"
"""Stands for the predicted class of a prediction that tells nothing about its doubt."""

STRATA = frozenset({EMPTY, UNSCORED})

Element = tuple[str, float | None]


class ErrorReading(msgspec.Struct, frozen=True, gc=False):
    """What an output tells about its own errors.

    ``expected_errors`` is None when it tells nothing. ``elements`` are what the model asserts: label and confidence
    (0 to 1, or None). ``margin`` is p₁ - p₂ of a single choice. ``predicted`` is the asserted class, of several the
    most doubtful one; ``runner_up`` the class next to it. ``odds`` tells that the expected errors are one
    probability, so that their logit is meant where others use their logarithm.
    """

    expected_errors: float | None
    evidence: str
    predicted: str
    runner_up: str = ""
    elements: tuple[Element, ...] = ()
    margin: float | None = None
    odds: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was found in the asset."""
        return not self.elements

    @property
    def position(self) -> float | None:
        """The score on the logarithmic scale of the histograms."""
        if self.expected_errors is None:
            return None
        errors = max(self.expected_errors, LEAST)
        return math.log(errors / max(1 - errors, LEAST)) if self.odds else math.log(errors)


def read_errors(output: ModelOutput, stated: float | None = None) -> ErrorReading:
    """Expected errors of one output; ``stated`` is a confidence (0 to 1) that replaces the output's own scores."""
    reading = _read(output.answer, output.evidence)
    if stated is None:
        return reading
    return ErrorReading(
        1 - stated,
        "stated confidence",
        EMPTY if reading.empty else _least_sure(reading.elements),
        reading.runner_up,
        reading.elements,
        reading.margin,
        odds=True,
    )


def _read(answer: Any, evidence: Mapping[str, Any]) -> ErrorReading:
    match answer:
        case Classification():
            return _several(answer) if _is_several(answer) else _single(answer)
        case Detection():
            return _detection(answer, evidence)
        case Entities():
            return _entities(answer, evidence)
        case Transcription():
            return _transcription(answer)
        case Frames():
            return _frames(answer, evidence)
        case Several():
            return _several_jobs(answer)
        case Either():
            return _read(answer.answers[0], evidence)
        case Nothing():
            return _detection(Detection(()), evidence)
        case KiliResponse():
            return _sum_of(tuple(_kili_elements(answer.json_response)), "confidences in the response")
    raise TypeError(f"{type(answer).__name__} is no answer of a model")


def _is_several(answer: Classification) -> bool:
    if answer.exclusive is not None:
        return not answer.exclusive
    return math.fsum([one.score or 0.0 for one in answer.scores]) > 1.02


def _single(answer: Classification) -> ErrorReading:
    best = second = -1.0
    first = runner = ""
    for one in answer.scores:
        score = one.score
        if score is None:
            continue
        if score > best:
            best, second, first, runner = score, best, one.label, first
        elif score > second:
            second, runner = score, one.label
    if best < 0:
        label = answer.scores[0].label if answer.scores else UNSCORED
        return ErrorReading(None, "no scores", label, elements=((label, None),) if answer.scores else ())
    rest = _others(answer, best) if answer.complete else 1 - best
    margin = best - max(second, 0.0) if second >= 0 else None
    evidence = "whole distribution" if answer.complete else "best scores"
    return ErrorReading(max(rest, 0.0), evidence, first, runner, ((first, best),), margin, odds=True)


def _others(answer: Classification, best: float) -> float:
    """1 - p₁ without its rounding: the sum of all the other classes."""
    skipped, rest = False, 0.0
    for one in answer.scores:
        if not skipped and one.score == best:
            skipped = True
        else:
            rest += one.score or 0.0
    return rest


def _several(answer: Classification) -> ErrorReading:
    scored = [(one.label, one.score) for one in answer.scores if one.score is not None]
    if not scored:
        return ErrorReading(None, "no scores", UNSCORED, elements=tuple((one.label, None) for one in answer.scores))
    doubts = [(min(score, 1 - score), label) for label, score in scored]
    worst = sorted(doubts, reverse=True)
    chosen = tuple((label, score) for label, score in scored if score >= 0.5)
    runner = worst[1][1] if len(worst) > 1 else ""
    return ErrorReading(math.fsum(doubt for doubt, _ in doubts), "every class", worst[0][1], runner, chosen)


def _detection(answer: Detection, evidence: Mapping[str, Any]) -> ErrorReading:
    elements = tuple((one.label, one.score) for one in answer.objects)
    pixel_doubt = evidence.get("pixel_doubt")
    if isinstance(pixel_doubt, int | float):
        label = _least_sure(elements) if elements else EMPTY
        return ErrorReading(float(pixel_doubt), "pixels", label, _second_label(elements), elements, odds=True)
    candidates = _numbers(evidence.get("candidate_scores"))
    name = "candidates" if candidates else ""
    return _sum_of(elements, "objects", left_out=math.fsum(candidates), left_out_name=name)


def _entities(answer: Entities, evidence: Mapping[str, Any]) -> ErrorReading:
    elements = tuple((one.label, one.score) for one in answer.entities)
    tokens = _numbers(evidence.get("token_scores"))
    if not tokens:
        return _sum_of(elements, "entities")
    label = _least_sure(elements) if elements else EMPTY
    return ErrorReading(math.fsum(1 - p for p in tokens), "tokens", label, _second_label(elements), elements)


def _transcription(answer: Transcription) -> ErrorReading:
    score, logs = answer.score, answer.token_logprobs
    whole = score if score is not None else math.exp(math.fsum(logs)) if logs else None
    elements = (("text", whole),) if answer.text.strip() else ()
    label = "text" if elements else EMPTY
    if logs:
        return ErrorReading(-math.fsum(logs), "token logprobs", label, elements=elements)
    if score is not None:
        return ErrorReading(-math.log(max(score, LEAST)), "score", label, elements=elements)
    return ErrorReading(None, "no scores", UNSCORED if elements else EMPTY, elements=elements)


def _frames(answer: Frames, evidence: Mapping[str, Any]) -> ErrorReading:
    stated = evidence.get("frames")
    details = stated if isinstance(stated, list) and len(stated) == len(answer.frames) else [{}] * len(answer.frames)
    parts = [_read(one.answer, detail) for one, detail in zip(answer.frames, details, strict=True) if one.key]
    elements = tuple(element for part in parts for element in part.elements)
    known = [part.expected_errors for part in parts if part.expected_errors is not None]
    if not known:
        return ErrorReading(None, "no scores", UNSCORED if elements else EMPTY, elements=elements)
    evidence_name = f"frames of {parts[0].evidence}"
    label = _least_sure(elements) if elements else EMPTY
    return ErrorReading(math.fsum(known), evidence_name, label, _second_label(elements), elements)


def _several_jobs(answer: Several) -> ErrorReading:
    parts = [_read(one, {}) for one in answer.answers.values()]
    elements = tuple(element for part in parts for element in part.elements)
    known = [part.expected_errors for part in parts if part.expected_errors is not None]
    if not known:
        return ErrorReading(None, "no scores", UNSCORED if elements else EMPTY, elements=elements)
    label = _least_sure(elements) if elements else EMPTY
    return ErrorReading(math.fsum(known), "several jobs", label, _second_label(elements), elements)


def _kili_elements(response: Any) -> Iterator[Element]:
    """Chosen categories and objects of a response, with their confidence, wherever they are nested."""
    if isinstance(response, list):
        for item in _objects(response):
            yield from _kili_elements(item)
    elif isinstance(response, Mapping):
        label = response.get("name")
        stated = response.get("confidence", response.get("score"))
        if isinstance(label, str):
            yield label, stated / 100 if isinstance(stated, int | float) else None
        for key, value in response.items():
            if isinstance(value, Mapping | list) and key != "boundingPoly":
                yield from _kili_elements(value)


def _objects(items: list[Any]) -> Iterator[Any]:
    """The items of a list, of the parts of one object (they share a ``mid``) only the first."""
    mids: set[str] = set()
    for item in items:
        mid = item.get("mid") if isinstance(item, Mapping) else None
        if not isinstance(mid, str):
            yield item
        elif mid not in mids:
            mids.add(mid)
            yield item


def _sum_of(
    elements: tuple[Element, ...], evidence: str, left_out: float = 0.0, left_out_name: str = ""
) -> ErrorReading:
    doubts = [1 - score for _, score in elements if score is not None]
    name = f"{evidence} and {left_out_name}" if left_out_name else evidence
    if not elements:
        return ErrorReading(left_out if left_out_name else None, name if left_out_name else "nothing found", EMPTY)
    if not doubts and not left_out_name:
        return ErrorReading(None, "no scores", UNSCORED, elements=elements)
    return ErrorReading(math.fsum(doubts) + left_out, name, _least_sure(elements), _second_label(elements), elements)


def _least_sure(elements: Iterable[Element]) -> str:
    """The label of the element with the least confidence; one without any counts as certain."""
    return min(elements, key=lambda element: 1.0 if element[1] is None else element[1])[0]


def _second_label(elements: tuple[Element, ...]) -> str:
    worst = sorted(elements, key=lambda element: 1.0 if element[1] is None else element[1])
    first = worst[0][0] if worst else ""
    return next((label for label, _ in worst if label != first), "")


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float)] if isinstance(values, list) else []
