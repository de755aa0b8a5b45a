"""Conditions under which a prediction must be reviewed, whatever its rank.

Each is one line of a policy file; ``any`` and ``all`` nest them. Confidences are the model's own, 0 to 1: a fixed
threshold has its place here, where a rule asks for it, and nowhere else.

Amazon A2I's ``HumanLoopActivationConditions`` are translated into these. Every member of its ``Conditions`` starts a
review on its own; ``And`` and ``Or`` nest. Confidences are 0 to 100 there. A form key or moderation label is a class
here; its key-value block and word blocks are one element, so that a threshold on either starts the review, while both
ends of a range on the same block must hold. ``Sampling`` is a draw.

Source: Amazon SageMaker developer guide, "JSON Schema for Human Loop Activation Conditions in Amazon Augmented AI".
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from worker.review.expected_errors import ErrorReading

Share = Annotated[float, Field(ge=0, le=1)]
Label = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Case:
    """What conditions look at: the reading of an output, the message's metadata, and a draw in [0, 1)."""

    reading: ErrorReading
    metadata: Mapping[str, Any]
    draw: float

    def confidences(self, classes: frozenset[str]) -> Iterable[float]:
        """Confidences of what the model asserts, of the given classes or of all (empty set)."""
        return (
            confidence
            for label, confidence in self.reading.elements
            if confidence is not None and (not classes or label in classes)
        )


class _Condition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def holds(self, case: Case) -> bool:
        """Whether the prediction must be reviewed by this condition."""


class _OfClasses(_Condition):
    classes: frozenset[Label] = Field(frozenset(), alias="class", description="Labels meant; all when absent.")

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(given.get("class"), str):
            return {**given, "class": [given["class"]]}
        return given


class ConfidenceBelow(_OfClasses):
    """Something (of these classes) is asserted with a confidence below the value."""

    type: Literal["confidence_lt"]
    value: Share

    def holds(self, case: Case) -> bool:
        """Look at every asserted class, object or entity."""
        return any(one < self.value for one in case.confidences(self.classes))


class ConfidenceAbove(_OfClasses):
    """Something (of these classes) is asserted with a confidence above the value."""

    type: Literal["confidence_gt"]
    value: Share

    def holds(self, case: Case) -> bool:
        """Look at every asserted class, object or entity."""
        return any(one > self.value for one in case.confidences(self.classes))


class ConfidenceWithin(_OfClasses):
    """Something (of these classes) is asserted with a confidence within these bounds, all of those that are given."""

    type: Literal["confidence_within"]
    above: Share | None = None
    at_least: Share = 0.0
    at_most: Share = 1.0
    below: Share | None = None

    def holds(self, case: Case) -> bool:
        """Look at every asserted class, object or entity."""
        return any(self._contains(one) for one in case.confidences(self.classes))

    def _contains(self, confidence: float) -> bool:
        return (
            self.at_least <= confidence <= self.at_most
            and (self.above is None or confidence > self.above)
            and (self.below is None or confidence < self.below)
        )


class MarginBelow(_Condition):
    """The best class leads the second by less than the value."""

    type: Literal["margin_lt"]
    value: Share

    def holds(self, case: Case) -> bool:
        """Only single choices have a margin."""
        return case.reading.margin is not None and case.reading.margin < self.value


class ClassIn(_Condition):
    """One of these classes is asserted."""

    type: Literal["class_in"]
    values: frozenset[Label] = Field(min_length=1)

    def holds(self, case: Case) -> bool:
        """Look at every asserted class, object or entity."""
        return any(label in self.values for label, _ in case.reading.elements)


class Missing(_Condition):
    """An expected class is not asserted; with several targets, none of them is."""

    type: Literal["missing"]
    target: Label | frozenset[Label]

    def holds(self, case: Case) -> bool:
        """Look at every asserted class, object or entity."""
        wanted = {self.target} if isinstance(self.target, str) else self.target
        return not any(label in wanted for label, _ in case.reading.elements)


class EmptyPrediction(_Condition):
    """Nothing was found."""

    type: Literal["empty_prediction"]

    def holds(self, case: Case) -> bool:
        """No object, entity or text."""
        return case.reading.empty


class Metadata(_Condition):
    """A key of the message's metadata has a value; a key that is not there fulfils only ``exists = false``."""

    type: Literal["metadata"]
    key: Label
    equals: str | int | float | bool | None = None
    any_of: tuple[str | int | float | bool, ...] = ()
    lt: float | None = None
    gt: float | None = None
    exists: bool | None = None

    @model_validator(mode="after")
    def _checked(self) -> Metadata:
        if not self.model_fields_set & {"equals", "any_of", "lt", "gt", "exists"}:
            raise ValueError("needs equals, any_of, lt, gt or exists")
        return self

    def holds(self, case: Case) -> bool:
        """Everything that is given must hold."""
        if self.key not in case.metadata:
            return self.exists is False
        value = case.metadata[self.key]
        return (
            self.exists is not False
            and ("equals" not in self.model_fields_set or _same(value, self.equals))
            and (not self.any_of or any(_same(value, one) for one in self.any_of))
            and (self.lt is None or (_is_number(value) and value < self.lt))
            and (self.gt is None or (_is_number(value) and value > self.gt))
        )


class Random(_Condition):
    """A share of the predictions, by the deterministic draw."""

    type: Literal["random"]
    share: Share

    def holds(self, case: Case) -> bool:
        """The same prediction falls the same way."""
        return case.draw < self.share


class AnyOf(_Condition):
    """One of the conditions holds."""

    any: tuple[Condition, ...]

    def holds(self, case: Case) -> bool:
        """False without conditions."""
        return any(one.holds(case) for one in self.any)


class AllOf(_Condition):
    """All of the conditions hold."""

    all: tuple[Condition, ...] = Field(min_length=1)

    def holds(self, case: Case) -> bool:
        """There is at least one."""
        return all(one.holds(case) for one in self.all)


def _kind(given: Any) -> str | None:
    if isinstance(given, Mapping):
        return "any" if "any" in given else "all" if "all" in given else given.get("type")
    return "any" if isinstance(given, AnyOf) else "all" if isinstance(given, AllOf) else getattr(given, "type", None)


Condition = Annotated[
    Annotated[AnyOf, Tag("any")]
    | Annotated[AllOf, Tag("all")]
    | Annotated[ConfidenceBelow, Tag("confidence_lt")]
    | Annotated[ConfidenceAbove, Tag("confidence_gt")]
    | Annotated[ConfidenceWithin, Tag("confidence_within")]
    | Annotated[MarginBelow, Tag("margin_lt")]
    | Annotated[ClassIn, Tag("class_in")]
    | Annotated[Missing, Tag("missing")]
    | Annotated[EmptyPrediction, Tag("empty_prediction")]
    | Annotated[Metadata, Tag("metadata")]
    | Annotated[Random, Tag("random")],
    Discriminator(
        _kind,
        custom_error_type="unknown_condition",
        custom_error_message="needs `any`, `all`, or a `type` among confidence_lt, confidence_gt, confidence_within, "
        "margin_lt, class_in, missing, empty_prediction, metadata, random",
    ),
]


def describe(condition: Any) -> str:
    """One line about a condition, for reasons and terminals."""
    if isinstance(condition, AnyOf | AllOf):
        word = " or " if isinstance(condition, AnyOf) else " and "
        parts = condition.any if isinstance(condition, AnyOf) else condition.all
        return word.join(f"({describe(one)})" if isinstance(one, AnyOf | AllOf) else describe(one) for one in parts)
    given = condition.model_dump(exclude={"type"}, exclude_defaults=True, by_alias=True)
    shown = " ".join(f"{key}={_shown(value)}" for key, value in given.items())
    return f"{condition.type} {shown}".strip()


def _shown(value: Any) -> str:
    return ",".join(sorted(map(str, value))) if isinstance(value, frozenset | tuple) else f"{value}"


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


AnyOf.model_rebuild()
AllOf.model_rebuild()


_COMPARISONS = {
    "LessThan": ("below",),
    "LessThanEquals": ("at_most",),
    "GreaterThan": ("above",),
    "GreaterThanEquals": ("at_least",),
    "Equals": ("at_least", "at_most"),
}
_BLOCKS = {
    "ModerationLabelConfidenceCheck": ("Confidence",),
    "ImportantFormKeyConfidenceCheck": ("KeyValueBlockConfidence", "WordBlockConfidence"),
}
_NAMES = ("ModerationLabelName", "ImportantFormKey")
_ALIASES = "ImportantFormKeyAliases"

Translated = dict[str, Any]


def translate_a2i(given: Mapping[str, Any] | str) -> Translated:
    """Turn the JSON (text or parsed) into conditions of a policy file: ``{"any": […]}``.

    Raises:
        ValueError: names the condition that cannot be translated, and why.
    """
    found = json.loads(given) if isinstance(given, str) else given
    conditions = found.get("Conditions") if isinstance(found, Mapping) else None
    if not isinstance(conditions, list):
        raise ValueError("Conditions: must be a list")  # noqa: TRY004 - pydantic reports ValueError with its place
    return {"any": [_condition_of_a2i(one, f"Conditions[{i}]") for i, one in enumerate(conditions)]}


def _condition_of_a2i(given: Any, at: str) -> Translated:
    if not isinstance(given, Mapping):
        raise ValueError(f"{at}: must be an object")  # noqa: TRY004
    for word, ours in (("And", "all"), ("Or", "any")):
        if word in given:
            return {ours: [_condition_of_a2i(one, f"{at}.{word}[{i}]") for i, one in enumerate(given[word])]}
    kind, parameters = given.get("ConditionType"), given.get("ConditionParameters") or {}
    match kind:
        case "Sampling":
            return {"type": "random", "share": _share_of(parameters.get("RandomSamplingPercentage"), at)}
        case "MissingImportantFormKey":
            return {"type": "missing", "target": _classes_of(parameters, at)}
        case "ModerationLabelConfidenceCheck" | "ImportantFormKeyConfidenceCheck":
            return _confidence_check(kind, parameters, at)
    raise ValueError(f"{at}.ConditionType: {kind!r} is not one that A2I documents")


def _confidence_check(kind: str, parameters: Mapping[str, Any], at: str) -> Translated:
    classes = _classes_of(parameters, at)
    blocks = [found for block in _BLOCKS[kind] if (found := _block(block, parameters, classes, at))]
    unknown = set(parameters) - {*_NAMES, _ALIASES} - set(_parameter_names(kind))
    if unknown:
        raise ValueError(f"{at}.ConditionParameters: {min(unknown)!r} is not a parameter of {kind}")
    if not blocks:
        raise ValueError(f"{at}.ConditionParameters: needs a threshold such as {_BLOCKS[kind][0]}LessThan")
    return blocks[0] if len(blocks) == 1 else {"any": blocks}


def _parameter_names(kind: str) -> list[str]:
    return [f"{block}{suffix}" for block in _BLOCKS[kind] for suffix in _COMPARISONS]


def _block(block: str, parameters: Mapping[str, Any], classes: list[str], at: str) -> Translated | None:
    """The thresholds on one block: one condition, because one element must fulfil them all."""
    bounds = {
        name: _share_of(parameters[f"{block}{suffix}"], f"{at}.{block}{suffix}")
        for suffix, names in _COMPARISONS.items()
        if f"{block}{suffix}" in parameters
        for name in names
    }
    named: Translated = {"class": classes} if classes else {}
    return {"type": "confidence_within", **bounds, **named} if bounds else None


def _classes_of(parameters: Mapping[str, Any], at: str) -> list[str]:
    names = [parameters[name] for name in _NAMES if name in parameters]
    if not names:
        raise ValueError(f"{at}.ConditionParameters: needs ModerationLabelName or ImportantFormKey")
    names += parameters.get(_ALIASES) or []
    return [] if "*" in names else names


def _share_of(percentage: Any, at: str) -> float:
    if not isinstance(percentage, int | float) or not 0 <= percentage <= 100:
        raise ValueError(f"{at}: {percentage!r} is not a percentage from 0 to 100")
    return percentage / 100
