"""From leased entries to items that Kili should accept, or to dead letters that say why not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.deadletters import Cause
from worker.delivery.item import Burial, Item
from worker.formats import OutputError
from worker.messages import MessageError, Prediction, ReadingLimits, read_json, read_prediction
from worker.ontology import Interface, OntologyError
from worker.outputs import NO_CONFIG
from worker.projects import ProjectConfig
from worker.responses import response_of
from worker.review import ReviewDecision
from worker.spool import Fate, Leased, Settlement

NO_LIMITS = ReadingLimits(max_bytes=1 << 40, max_depth=10_000)
"""What was admitted is read whatever the limits are now."""


@dataclass(slots=True)
class Prepared:
    """Items to send, entries whose fate is known, and those that do not fit the interface as it is known."""

    items: list[Item] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)
    unfit: list[Settlement] = field(default_factory=list)


def prepare(
    project: str, entries: Sequence[Leased], interface: Interface, config: ProjectConfig = NO_CONFIG
) -> Prepared:
    """Read each entry and turn its output into the project's json_response."""
    prepared = Prepared()
    for entry in _newest(entries, prepared):
        prediction: Prediction | None = None
        try:
            prediction = read_prediction(read_json(entry.payload, NO_LIMITS))
            prepared.items.append(_item(entry, prediction, interface, config))
        except (MessageError, OutputError, OntologyError) as error:
            slug = getattr(error, "cause", "unreadable_output")
            cause = Cause(slug, "message", error.field, error.problem, error.fix)
            burial = Burial(project).of(entry, prediction, cause, "prepare")
            (prepared.unfit if isinstance(error, OntologyError) else prepared.settled).append(burial)
    return prepared


def _newest(entries: Sequence[Leased], prepared: Prepared) -> list[Leased]:
    """One entry per asset and model; after lost memories two may meet here."""
    newest: dict[tuple[str, str], Leased] = {}
    for entry in entries:
        key = (entry.asset_id, entry.model)
        other = newest.get(key)
        if other is not None:
            older, entry = sorted((other, entry), key=lambda one: (one.stamp, one.digest))
            prepared.settled.append(Settlement(older, Fate.SUPERSEDED))
        newest[key] = entry
    return list(newest.values())


def _item(entry: Leased, prediction: Prediction, interface: Interface, config: ProjectConfig) -> Item:
    response = response_of(prediction, interface, config)
    return Item(
        entry=entry,
        prediction=prediction,
        decision=ReviewDecision.from_bytes(entry.decision),
        json_response=json.dumps(response, separators=(",", ":"), ensure_ascii=False),
        asset_id=entry.asset_id,
    )
