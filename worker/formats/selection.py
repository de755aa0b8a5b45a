"""Leave out of an answer what the options ask to leave out: classes, and objects with too little a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from worker.formats.options import ReadOptions
from worker.formats.output import (
    Answer,
    Classification,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    ModelOutput,
    Several,
)

Found = TypeVar("Found", DetectedObject, Entity)

OTHERS = "*"
"""Stands for all classes that ``min_score`` does not name."""


def selected(output: ModelOutput, options: ReadOptions) -> ModelOutput:
    """Return the output without ignored classes and without objects and entities below their least score.

    What is left out is counted in the evidence (``left_out``); scores below the least one are ``candidate_scores``,
    unless the payload has sent its own. An object without a score stays.
    """
    if options.min_score is None and not options.ignored_classes:
        return output
    selection = _Selection(options)
    answer = selection.of(output.answer)
    if answer is output.answer:
        return output
    evidence: dict[str, Any] = {"left_out": dict(selection.counts), **output.evidence}
    if selection.below:
        evidence.setdefault("candidate_scores", selection.below)
    return replace(output, answer=answer, evidence=evidence)


class _Selection:
    def __init__(self, options: ReadOptions) -> None:
        self._ignored = {name.casefold() for name in options.ignored_classes}
        self._least = _least_score(options.min_score)
        self.counts: Counter[str] = Counter()
        self.below: list[float] = []

    def of(self, answer: Answer) -> Answer:
        match answer:
            case Classification():
                return self._classification(answer)
            case Detection(objects=objects):
                kept = self._kept(objects)
                return answer if len(kept) == len(objects) else Detection(tuple(kept))
            case Entities(entities=entities):
                spans = self._kept(entities)
                return answer if len(spans) == len(entities) else Entities(tuple(spans))
            case Frames(frames=frames):
                return Frames(tuple(Frame(one.index, self._of_frame(one.answer), one.key) for one in frames))
            case Several(answers=answers):
                return Several({job: self.of(one) for job, one in answers.items()})  # type: ignore[misc]
            case _:
                return answer

    def _of_frame(self, answer: Classification | Detection) -> Classification | Detection:
        if isinstance(answer, Classification):
            return self._classification(answer)
        return Detection(tuple(self._kept(answer.objects)))

    def _classification(self, answer: Classification) -> Classification:
        kept = tuple(one for one in answer.scores if one.label.casefold() not in self._ignored)
        if len(kept) == len(answer.scores):
            return answer
        self.counts.update(one.label for one in answer.scores if one.label.casefold() in self._ignored)
        return replace(answer, scores=kept, complete=False)

    def _kept(self, found: Sequence[Found]) -> list[Found]:
        return [one for one in found if self._keeps(one)]

    def _keeps(self, one: DetectedObject | Entity) -> bool:
        if one.label.casefold() in self._ignored:
            self.counts[one.label] += 1
            return False
        if one.score is None or one.score >= self._least(one.label):
            return True
        self.counts["below_min_score"] += 1
        self.below.append(one.score)
        return False


def _least_score(told: float | Mapping[str, float] | None) -> Callable[[str], float]:
    if told is None:
        return lambda _: 0.0
    if not isinstance(told, Mapping):
        return lambda _: told
    by_class = {name.casefold(): score for name, score in told.items()}
    others = by_class.get(OTHERS, 0.0)
    return lambda label: by_class.get(label.casefold(), others)
