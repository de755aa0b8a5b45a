"""What a producer or the project's configuration says about a payload beside the payload itself.

What the options ask to leave out is left out here, and counted as evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

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

if TYPE_CHECKING:
    from worker.formats.mappings.catalogue import Catalogue


ScoreKind = Literal["probability", "logit"]
Units = Literal["pixel", "relative", "percent", "per_mille"]
BoxOrder = Literal["xyxy", "xywh", "cxcywh", "yxyx"]
Outside = Literal["clip", "drop", "refuse"]
OnBadObject = Literal["refuse", "drop"]
Strings = Literal["label", "text"]

_CHOICES: tuple[tuple[str, tuple[object, ...], object], ...] = (
    ("score_kind", get_args(ScoreKind), None),
    ("units", get_args(Units), None),
    ("strings", get_args(Strings), None),
    ("box_order", get_args(BoxOrder), None),
    ("first_class", (0, 1), None),
    ("outside", get_args(Outside), "clip"),
    ("on_bad_object", get_args(OnBadObject), "refuse"),
)
"""Options of a few words: their name, the words, and what stands for none."""

MOST_OUTSIDE = 0.5
"""Greatest ``outside_tolerance``: with more, nothing would show that the image size is wrong."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a payload; every option but ``format`` may be left out.

    - ``format``: a family's name, ``auto``, or ``envelope/family`` as ``Reading.format`` reports it.
    - ``classes``: names by index (a list), or a mapping from an index or a model's own label to a name.
    - ``image_size``: width and height in pixels, for coordinates in pixels.
    - ``score_kind``: ``logit`` where scores are raw; they are soft-maxed (sigmoid when ``exclusive`` is False).
    - ``job``: the Kili job the answer belongs to.
    - ``text``: the text the model read; entity offsets are checked against it and quote it.
    - ``image_sizes``: the same for each row of a batch.
    - ``units``: ``pixel``, ``relative`` (0 to 1), ``percent`` (0 to 100) or ``per_mille`` (0 to 1000), where the family
      does not fix the unit.
    - ``box_order``: what the four numbers of a box are, where the family does not fix it: ``xyxy`` (two corners),
      ``xywh`` (top left corner, width, height), ``cxcywh`` (centre, width, height), ``yxyx`` (two corners, y first).
    - ``first_class``: the index of the first name of a list of ``classes``: 0 or 1.
    - ``outside``: what becomes of an object that reaches over the edge by less than ``outside_tolerance`` (a share of
      the side, at least 5 pixels of it): ``clip``, ``drop`` or ``refuse``. What reaches farther is refused.
    - ``on_bad_object``: ``refuse`` the payload for one wrong object, or ``drop`` the object and count it.
    - ``nothing_found``: an empty payload says that nothing was found.
    - ``min_score``: least score of an object, entity or text, or one per class (``*``: all others).
    - ``ignored_classes``: classes of the model that are left out.
    - ``exclusive``: True for single choice, False for multi-label, None where the job decides.
    - ``field``: the tensor, column, key or control to read where the payload holds several.
    - ``point_names``: names of a pose's points in the model's order.
    - ``frames``: the rows are the frames of one video, in order, not several items.
    - ``strings``: whether a bare string is a class ``label`` or a ``text`` the model wrote; None where the job decides.
    - ``external_ids``: the assets that the message is about, where that is known; row n is about the n-th.
    - ``texts``: the text of each of them.
    - ``mappings``: the mappings that are known; None for those that are shipped.
    - ``in_reply``: whether the payload is the reply of a language model.
    - ``result``: what lies at the place that the payload only points to (see ``ResultPointer``).

    Raises OutputError when an option has no meaning.
    """

    format: str = "auto"
    classes: Sequence[str] | Mapping[str | int, str] | None = None
    image_size: tuple[int, int] | None = None
    image_sizes: Sequence[tuple[int, int]] | None = None
    score_kind: ScoreKind | None = None
    job: str | None = None
    text: str | None = None
    units: Units | None = None
    box_order: BoxOrder | None = None
    first_class: int | None = None
    outside: Outside = "clip"
    outside_tolerance: float = 0.02
    on_bad_object: OnBadObject = "refuse"
    nothing_found: bool = False
    min_score: float | Mapping[str, float] | None = None
    ignored_classes: Sequence[str] = ()
    exclusive: bool | None = None
    field: str | None = None
    point_names: Sequence[str] | None = None
    strings: Strings | None = None
    frames: bool = False
    external_ids: Sequence[str] | None = None
    texts: Sequence[str | None] | None = None
    mappings: Catalogue | None = None
    in_reply: bool = False
    result: Any = None

    def __post_init__(self) -> None:
        _check_names("classes", self.classes)
        _check_names("point_names", self.point_names)
        for name, allowed, standard in _CHOICES:
            value = getattr(self, name)
            if value is not standard and value not in allowed:
                raise OutputError(name, f"{value!r} is not known", f"use one of {', '.join(map(str, allowed))}")
        if not 0 <= self.outside_tolerance <= MOST_OUTSIDE:
            raise OutputError("outside_tolerance", "not a share of the image's side", f"use 0 to {MOST_OUTSIDE}")
        if self.image_size is not None:
            _check_size("image_size", self.image_size)
        for size in self.image_sizes or ():
            _check_size("image_sizes", size)

    def of_item(self, index: int) -> ReadOptions:
        """The options of one row of a batch: its own image size and text."""
        if self.image_sizes is None and self.texts is None:
            return self
        sizes, texts = self.image_sizes, self.texts
        if sizes is not None and index >= len(sizes):
            raise OutputError(
                "image_sizes", f"{len(sizes)} sizes, but more images", "send one size per image, in order"
            )
        return replace(
            self,
            image_size=sizes[index] if sizes is not None else self.image_size,
            text=texts[index] if texts is not None and index < len(texts) else self.text,
            image_sizes=None,
            texts=None,
        )

    def of_asset(self, external_id: str) -> ReadOptions:
        """The options of the asset with this id, where the rows name their assets."""
        ids = self.external_ids
        return self.of_item(ids.index(external_id)) if ids is not None and external_id in ids else self

    def output(
        self, answer: Answer, *, external_id: str | None = None, evidence: Mapping[str, Any] | None = None
    ) -> ModelOutput:
        """Wrap an answer for the job these options name."""
        return ModelOutput(answer, job=self.job, external_id=external_id, evidence=dict(evidence or {}))


def _check_names(field: str, names: Sequence[str] | Mapping[str | int, str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Sequence | Mapping):
        raise OutputError(field, "neither a list of names nor a mapping to names")
    values = names.values() if isinstance(names, Mapping) else names
    if not names or not all(isinstance(name, str) and name for name in values):
        raise OutputError(field, "needs at least one name, and no empty name")
    if not isinstance(names, Mapping) and len(set(names)) < len(names):
        raise OutputError(field, "a name appears twice")


def _check_size(field: str, size: tuple[int, int]) -> None:
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    if len(size) != 2 or not whole or min(size) < 1:
        raise OutputError(field, "needs two whole numbers of pixels", "send [width, height]")


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
