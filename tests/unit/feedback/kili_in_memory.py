"""A Kili in memory for the collector: labels on assets, listed in the order of creation, with reads that may lag."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from worker.feedback.label_files import Unread
from worker.feedback.reading import LabelKind, LabelRow, ReadAsset, ReadLabel
from worker.ontology import Interface

JOB = "ANIMAL"


def interface_of(classes: Sequence[str]) -> Interface:
    """One required choice among classes."""
    categories = {name: {"name": name} for name in classes}
    content = {"input": "radio", "categories": categories}
    job = {"mlTask": "CLASSIFICATION", "required": 1, "isChild": False, "content": content}
    return Interface.parse({"jobs": {JOB: job}})


INTERFACE = interface_of(("CAT", "DOG", "COW"))
START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def says(name: str) -> dict[str, Any]:
    """The json_response of a single choice."""
    return {JOB: {"categories": [{"name": name}]}}


def asset_of(asset_id: str, labels: Sequence[ReadLabel] = (), at: float = START, **metadata: Any) -> ReadAsset:
    """An asset as it is read."""
    created = datetime.fromtimestamp(at, UTC).date()
    return ReadAsset(asset_id, f"{asset_id}.jpg", created, "", "", metadata, tuple(labels))


def label_of(label_id: str, label_type: str, name: str, at: float = START, **options: Any) -> ReadLabel:
    """A label as it is read."""
    plain = {"model": "", "author": "ann", "mark": None, "seconds": None, "usable": True, **options}
    return ReadLabel(id=label_id, label_type=label_type, at=at, response=says(name), **plain)


@dataclass
class KiliInMemory:
    """Assets by id; ``hidden`` labels are not shown by any read, as if a replica lagged behind.

    ``files`` names the labels whose files cannot be read, and why.
    ``jitter`` seconds: every read lists labels in another order, as if they came that much earlier or later.
    ``on_call`` is called before each read; what it raises passes through.
    """

    assets_by_id: dict[str, ReadAsset] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    files: dict[str, Unread] = field(default_factory=dict)
    page: int = 10
    calls: int = 0
    jitter: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    on_call: Callable[[], None] = lambda: None
    _order: dict[str, int] = field(default_factory=dict)

    def add(self, asset: ReadAsset) -> None:
        """Create an asset, or replace it."""
        self.assets_by_id[asset.id] = asset
        for label in asset.labels:
            self._order.setdefault(label.id, len(self._order))

    def write(self, asset_id: str, label: ReadLabel) -> None:
        """Append a label to an asset."""
        asset = self.assets_by_id[asset_id]
        self.add(replace(asset, labels=(*asset.labels, label)))

    def edit(self, asset_id: str, label_id: str, name: str) -> None:
        """Change a label in place."""
        asset = self.assets_by_id[asset_id]
        labels = [replace(one, response=says(name)) if one.id == label_id else one for one in asset.labels]
        self.add(replace(asset, labels=tuple(labels)))

    def delete(self, asset_id: str, label_id: str) -> None:
        """Delete a label."""
        asset = self.assets_by_id[asset_id]
        self.add(replace(asset, labels=tuple(label for label in asset.labels if label.id != label_id)))

    def rows(self, project: str, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:
        self._called()
        found = self._listed(kind, since)[skip : skip + self.page]
        return found, len(found) == self.page

    def count(self, project: str, kind: LabelKind, since: date) -> int:
        self._called()
        return len(self._listed(kind, since))

    def with_files(self, assets: Sequence[ReadAsset]) -> list[ReadAsset]:
        return [replace(asset, labels=tuple(self._with_file(label) for label in asset.labels)) for asset in assets]

    def _with_file(self, label: ReadLabel) -> ReadLabel:
        problem = self.files.get(label.id)
        return replace(label, response={}, usable=False, unread=problem) if problem else label

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        self._called()
        return self.with_files([self._shown(self.assets_by_id[key]) for key in asset_ids if key in self.assets_by_id])

    def _called(self) -> None:
        self.calls += 1
        self.on_call()

    def _shown(self, asset: ReadAsset) -> ReadAsset:
        return replace(asset, labels=tuple(label for label in asset.labels if label.id not in self.hidden))

    def _listed(self, kind: LabelKind, since: date) -> list[LabelRow]:
        shown = [self._shown(asset) for asset in self.assets_by_id.values()]
        rows = [(label, asset) for asset in shown for label in asset.labels if label.kind is kind]
        late = {row[0].id: self.dice.uniform(0, self.jitter) for row in rows}
        rows.sort(key=lambda row: (row[0].at + late[row[0].id], self._order[row[0].id]))
        days = [(label.id, datetime.fromtimestamp(label.at, UTC).date(), asset) for label, asset in rows]
        return [LabelRow(*row) for row in days if row[1] >= since]
