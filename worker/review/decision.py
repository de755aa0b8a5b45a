"""The interface between whoever decides what humans should see first and everybody else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from worker.formats.output import ModelOutput


@dataclass(frozen=True, slots=True)
class Subject:
    """What a policy may look at: one prediction, before it is uploaded.

    ``confidence`` is the model's own, in [0, 1], or None when nothing in the prediction tells it.
    """

    project: str
    external_id: str
    asset_id: str
    model: str
    output: ModelOutput
    confidence: float | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """Where a prediction goes and why.

    ``lane`` is 0 (first) to 9; ``priority`` is Kili's integer, 0 = untouched; ``inclusion_probability`` is the
    probability, in (0, 1], with which the asset was chosen for the audit sample, or None outside of it.
    """

    lane: int
    priority: int
    reason: str
    policy: str
    confidence: float | None = None
    inclusion_probability: float | None = None

    def to_bytes(self, history: Sequence[Mapping[str, Any]] = ()) -> bytes:
        """Compact JSON, kept beside the prediction in the spool; ``history`` tells of earlier dead letters."""
        known = asdict(self) | ({"history": list(history)} if history else {})
        return json.dumps(known, separators=(",", ":")).encode()

    @staticmethod
    def history_in(raw: bytes) -> list[dict[str, Any]]:
        """The history that ``to_bytes`` was given."""
        history: list[dict[str, Any]] = json.loads(raw).get("history", [])
        return history

    @classmethod
    def from_bytes(cls, raw: bytes) -> ReviewDecision:
        """Read what ``to_bytes`` wrote; keys of newer versions are left out."""
        found = json.loads(raw)
        return cls(**{name: found[name] for name in cls.__slots__ if name in found})


class ReviewPolicy(Protocol):
    """Decides once, at admission; the same subject always gets the same decision."""

    def decide(self, subject: Subject) -> ReviewDecision:
        """Lane, priority and reason of one prediction."""
        ...
