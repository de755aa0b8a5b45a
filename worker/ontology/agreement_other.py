"""How answers of kinds this room does not know agree: they are the same, or they are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CIRCUMSTANCES = frozenset({"confidence", "score", "mid", "isKeyFrame"})
"""What two equal answers may differ in."""


def equality(a: object, b: object) -> float:
    """Return 1 when two answers are the same but for confidences, identities and key-frame marks, else 0."""
    return float(bare(a) == bare(b))


def bare(value: Any) -> Any:
    """Leave the circumstances out of an answer, at every depth."""
    if isinstance(value, Mapping):
        return {key: bare(item) for key, item in value.items() if key not in CIRCUMSTANCES}
    return [bare(item) for item in value] if isinstance(value, list) else value
