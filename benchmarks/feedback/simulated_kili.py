"""A Kili for months of virtual time: predictions of one project, and people who answer when they get to it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from worker.feedback.reading import LabelKind, LabelRow, ReadAsset, ReadLabel
from worker.ontology import Interface

JOB = "KIND"
PROJECT = "simulated"
INTERFACE = Interface.parse(
    {
        "jobs": {
            JOB: {
                "mlTask": "CLASSIFICATION",
                "content": {"input": "radio", "categories": {name: {"name": name} for name in ("YES", "NO")}},
            }
        }
    }
)
PAGE = 500


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction as the worker uploads it, and what is true of it; ``at`` and ``uploaded_at`` in Unix seconds.

    ``band``: 2 for an audit, 1 for a review by score, 0 for none; ``wrong`` is what a person would find.
    """

    asset_id: str
    model: str
    at: float
    wrong: bool
    band: int = 2
    p_error: float = 0.1
    inclusion: float = 1.0
    confidence: float = 0.9
    uploaded_at: float = 0.0


@dataclass(slots=True)
class SimulatedKili:
    """Shows what was written up to the present; a ``Source`` for the collector.

    ``now``: Unix seconds.
    """

    now: Callable[[], float]
    _assets: dict[str, ReadAsset] = field(default_factory=dict)
    _listed: dict[LabelKind, list[tuple[float, str, str]]] = field(
        default_factory=lambda: {kind: [] for kind in LabelKind}
    )
    _coming: list[tuple[float, int, str, ReadLabel | str]] = field(default_factory=list)
    _number: int = 0

    def predict(self, one: Prediction) -> None:
        """Upload a prediction."""
        at = one.uploaded_at or one.at
        metadata: dict[str, Any] = {
            "prediction_model": one.model,
            "prediction_at": datetime.fromtimestamp(one.at, UTC).isoformat(),
            "prediction_confidence": one.confidence,
            "review_band": one.band,
            "review_error_probability": one.p_error,
            "review_inclusion_probability": one.inclusion,
        }
        day = datetime.fromtimestamp(at, UTC).date()
        known = self._assets.get(one.asset_id)
        before = known.labels if known else ()
        asset = ReadAsset(
            one.asset_id, f"{one.asset_id}.jpg", known.created if known else day, "", "", metadata, before
        )
        self._assets[one.asset_id] = asset
        self._write(one.asset_id, self._label("INFERENCE", "YES", at, one.model))

    def answer(self, one: Prediction, at: float, *, wrong: bool | None = None) -> str:
        """A person will answer at a time; the id of the label."""
        says = "NO" if (one.wrong if wrong is None else wrong) else "YES"
        label = self._label("DEFAULT", says, at, "")
        self._plan(at, one.asset_id, label)
        return label.id

    def delete(self, one: Prediction, label_id: str, at: float) -> None:
        """Somebody will delete a label at a time."""
        self._plan(at, one.asset_id, label_id)

    def rows(self, project: str, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:  # noqa: ARG002
        """One page of labels, oldest first."""
        self._pass()
        listed = self._listed[kind]
        start = bisect_left(listed, (_midnight(since), "", "")) + skip
        found = [
            LabelRow(label_id, datetime.fromtimestamp(at, UTC).date(), self._assets[asset_id])
            for at, label_id, asset_id in listed[start : start + PAGE]
        ]
        return found, len(found) == PAGE

    def count(self, project: str, kind: LabelKind, since: date) -> int:  # noqa: ARG002
        """How many labels."""
        self._pass()
        return len(self._listed[kind]) - bisect_left(self._listed[kind], (_midnight(since), "", ""))

    def with_files(self, assets: Sequence[ReadAsset]) -> list[ReadAsset]:
        """Nothing is in files."""
        return list(assets)

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:  # noqa: ARG002
        """Assets by their ids."""
        self._pass()
        return [self._assets[one] for one in asset_ids if one in self._assets]

    def forget_before(self, at: float) -> None:
        """Let go of what no horizon reaches any more."""
        for listed in self._listed.values():
            del listed[: bisect_left(listed, (at, "", ""))]
        kept = {asset_id for listed in self._listed.values() for _, _, asset_id in listed}
        kept |= {asset_id for _, _, asset_id, _ in self._coming}
        self._assets = {key: asset for key, asset in self._assets.items() if key in kept}

    def _label(self, kind: str, says: str, at: float, model: str) -> ReadLabel:
        self._number += 1
        response = {JOB: {"categories": [{"name": says}]}}
        return ReadLabel(f"l{self._number:09}", kind, model, at, "ann", response, 1.0, 3.0, usable=True)

    def _plan(self, at: float, asset_id: str, what: ReadLabel | str) -> None:
        self._number += 1
        insort(self._coming, (at, self._number, asset_id, what))

    def _pass(self) -> None:
        """What was planned up to the present happens."""
        due = bisect_right(self._coming, self.now(), key=lambda row: row[0])
        for _, _, asset_id, what in self._coming[:due]:
            if isinstance(what, ReadLabel):
                self._write(asset_id, what)
            else:
                self._erase(asset_id, what)
        del self._coming[:due]

    def _write(self, asset_id: str, label: ReadLabel) -> None:
        asset = self._assets[asset_id]
        self._assets[asset_id] = replace(asset, labels=(*asset.labels, label))
        insort(self._listed[label.kind], (label.at, label.id, asset_id))

    def _erase(self, asset_id: str, label_id: str) -> None:
        asset = self._assets[asset_id]
        gone = next((label for label in asset.labels if label.id == label_id), None)
        if gone is not None:
            kept = tuple(label for label in asset.labels if label.id != label_id)
            self._assets[asset_id] = replace(asset, labels=kept)
            self._listed[gone.kind].remove((gone.at, gone.id, asset_id))


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
