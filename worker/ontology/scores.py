"""From a model's probabilities to Kili's whole percents."""

from __future__ import annotations

from typing import Any

from .errors import OntologyError


def percent(score: float) -> int:
    """Turn a probability into Kili's 0-100: rounded (halves to even) and clamped."""
    return min(100, max(0, round(score * 100)))


def checked(score: float | None, field: str) -> float | None:
    """Return a score that is None or a probability; raise ``bad_score`` for anything else."""
    if score is None or 0.0 <= score <= 1.0:
        return score
    raise OntologyError(
        field,
        f"{score!r} is not a probability between 0 and 1",
        "send probabilities, or say that the scores are logits",
        "bad_score",
    )


def category(name: str, score: float | None) -> dict[str, Any]:
    """Write one chosen category, with its confidence where the model gave a score."""
    return {"name": name} if score is None else {"name": name, "confidence": percent(score)}
