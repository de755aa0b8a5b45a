"""Leave out of an answer what the options ask to leave out, and count what was left out as evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from worker.contract.output import (
    Answer,
    Classification,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    ModelOutput,
    OutputError,
    Several,
)
from worker.formats.options import ReadOptions

MOST_REASONS = 5
"""Refusals of dropped objects that are kept in words; all are counted."""

Item = TypeVar("Item")
FoundObject = TypeVar("FoundObject")


class LeftOut(Exception):
    """One object that is left out, and the name under which it is counted in the evidence."""

    def __init__(self, evidence_key: str) -> None:
        self.evidence_key = evidence_key
        super().__init__(evidence_key)


class Kept(Generic[FoundObject]):
    """The objects that were kept, and the evidence of those that were not."""

    __slots__ = ("_bad", "_counts", "_first", "found")

    def __init__(self) -> None:
        self.found: list[FoundObject] = []
        self._counts: Counter[str] = Counter()
        self._bad: list[str] = []
        self._first: OutputError | None = None

    def evidence(self) -> dict[str, Any] | None:
        """How many were left out, by the reason's name, and the first refusals of bad ones; None when none was."""
        if not self._counts and not self._first:
            return None
        stated: dict[str, Any] = dict(self._counts)
        if self._bad:
            stated["bad_objects"] = self._bad
        return stated

    def _drop(self, error: OutputError) -> None:
        self._counts["dropped_objects"] += 1
        self._first = self._first or error
        if len(self._bad) < MOST_REASONS:
            self._bad.append(str(error))


def keep(items: Iterable[Item], read: Callable[[Item], FoundObject], options: ReadOptions) -> Kept[FoundObject]:
    """Read every object; leave out those that ``read`` leaves out, and wrong ones where the options say so.

    Raises OutputError for a wrong object, and where every object is wrong: then the payload is, or an option.
    """
    kept: Kept[FoundObject] = Kept()
    add = kept.found.append
    for item in items:
        try:
            add(read(item))
        except LeftOut as out:
            kept._counts[out.evidence_key] += 1
        except OutputError as error:
            if options.on_bad_object != "drop":
                raise
            kept._drop(error)
    if kept._first is not None and not kept.found:
        raise kept._first
    return kept


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


def _least_score(stated: float | Mapping[str, float] | None) -> Callable[[str], float]:
    if stated is None:
        return lambda _: 0.0
    if not isinstance(stated, Mapping):
        return lambda _: stated
    by_class = {name.casefold(): score for name, score in stated.items()}
    others = by_class.get(OTHERS, 0.0)
    return lambda label: by_class.get(label.casefold(), others)
