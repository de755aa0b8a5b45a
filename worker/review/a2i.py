"""Amazon A2I's ``HumanLoopActivationConditions``, translated.

Every member of ``Conditions`` starts a review on its own; ``And`` and ``Or`` nest. Confidences are 0 to 100 there. A
form key or moderation label is a class here; its key-value block and word blocks are one element, so that a threshold
on either starts the review, while both ends of a range on the same block must hold. ``Sampling`` is a draw.

Source: Amazon SageMaker developer guide, "JSON Schema for Human Loop Activation Conditions in Amazon Augmented AI".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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


def translate(given: Mapping[str, Any] | str) -> Translated:
    """Turn the JSON (text or parsed) into conditions of a policy file: ``{"any": […]}``.

    Raises:
        ValueError: names the condition that cannot be translated, and why.
    """
    found = json.loads(given) if isinstance(given, str) else given
    conditions = found.get("Conditions") if isinstance(found, Mapping) else None
    if not isinstance(conditions, list):
        raise ValueError("Conditions: must be a list")  # noqa: TRY004 - pydantic reports ValueError with its place
    return {"any": [_condition(one, f"Conditions[{i}]") for i, one in enumerate(conditions)]}


def _condition(given: Any, at: str) -> Translated:
    if not isinstance(given, Mapping):
        raise ValueError(f"{at}: must be an object")  # noqa: TRY004
    for word, ours in (("And", "all"), ("Or", "any")):
        if word in given:
            return {ours: [_condition(one, f"{at}.{word}[{i}]") for i, one in enumerate(given[word])]}
    kind, parameters = given.get("ConditionType"), given.get("ConditionParameters") or {}
    match kind:
        case "Sampling":
            return {"type": "random", "share": _share(parameters.get("RandomSamplingPercentage"), at)}
        case "MissingImportantFormKey":
            return {"type": "missing", "target": _classes(parameters, at)}
        case "ModerationLabelConfidenceCheck" | "ImportantFormKeyConfidenceCheck":
            return _confidence_check(kind, parameters, at)
    raise ValueError(f"{at}.ConditionType: {kind!r} is not one that A2I documents")


def _confidence_check(kind: str, parameters: Mapping[str, Any], at: str) -> Translated:
    classes = _classes(parameters, at)
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
        name: _share(parameters[f"{block}{suffix}"], f"{at}.{block}{suffix}")
        for suffix, names in _COMPARISONS.items()
        if f"{block}{suffix}" in parameters
        for name in names
    }
    named: Translated = {"class": classes} if classes else {}
    return {"type": "confidence_within", **bounds, **named} if bounds else None


def _classes(parameters: Mapping[str, Any], at: str) -> list[str]:
    names = [parameters[name] for name in _NAMES if name in parameters]
    if not names:
        raise ValueError(f"{at}.ConditionParameters: needs ModerationLabelName or ImportantFormKey")
    names += parameters.get(_ALIASES) or []
    return [] if "*" in names else names


def _share(percentage: Any, at: str) -> float:
    if not isinstance(percentage, int | float) or not 0 <= percentage <= 100:
        raise ValueError(f"{at}: {percentage!r} is not a percentage from 0 to 100")
    return percentage / 100
