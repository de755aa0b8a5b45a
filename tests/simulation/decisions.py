"""What must hold of priorities when a ranked policy decides: Kili has those of the newest decision."""

from __future__ import annotations

import json
from datetime import datetime

from tests.simulation.judge import Key, Published
from tests.simulation.servers import SimulatedKili
from tests.simulation.world import Violation
from worker.review.triage import priority_of

NEAR = 1
"""P(error) is rounded in metadata: its thousandth may differ by one."""


def compare_decisions(kili: SimulatedKili, published: Published, buried: set[Key]) -> None:
    """Each asset has the metadata of its newest prediction, and the priority that this metadata speaks of."""
    tables = kili.sandbox.store.tables
    newest: dict[tuple[str, str], str] = {}
    uncertain = {(project, name) for project, name, _ in buried}
    for (project, name, _), (at, _, _) in published.newest.items():
        newest[project, name] = max(at, newest.get((project, name), ""))
    wrong = []
    for (project, name), at in newest.items():
        if project in published.may_die or (project, name) in uncertain:
            continue
        asset = tables.assets_called(project, name)[0]
        metadata = json.loads(asset.json_metadata)
        said = priority_of(int(metadata.get("review_band", 0)), float(metadata.get("review_error_probability", 0.0)))
        is_newest = datetime.fromisoformat(str(metadata.get("prediction_at"))) == datetime.fromisoformat(at)
        if not is_newest or abs(asset.priority - said) > NEAR:
            wrong.append((name, at, metadata.get("prediction_at"), said, asset.priority))
    if wrong:
        raise Violation(f"{len(wrong)} priorities are not of the newest decision: {wrong[:3]}")
