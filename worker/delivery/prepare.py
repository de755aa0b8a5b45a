"""From leased entries to items that Kili should accept, or to dead letters that say why not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.contract import MessageError, Prediction, read_stored
from worker.delivery.failure_policy import DEFAULT_POLICY, FailurePolicy
from worker.delivery.failures import Action, Failure, Fault, Stage
from worker.delivery.item import DeadLetterWriter, Item
from worker.formats import OutputError
from worker.kili import KiliError, TooLarge, WorkerFault
from worker.ontology import Interface, OntologyError
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import NO_CONFIG
from worker.projects.responses import response_text
from worker.review import ReviewDecision
from worker.spool import Leased, Outcome, Settlement
from worker.spool.dead_letters import Cause
from worker.spool.late_writes import is_sent_again

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Prepared:
    """Items to send, entries whose outcome is known, and those that do not fit the interface as it is known."""

    items: list[Item] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)
    unfit: list[Settlement] = field(default_factory=list)

    def __iadd__(self, other: Prepared) -> Prepared:
        self.items += other.items
        self.settled += other.settled
        self.unfit += other.unfit
        return self


def prepare(
    project: str,
    entries: Sequence[Leased],
    interface: Interface,
    config: ProjectConfig = NO_CONFIG,
    failures: FailurePolicy = DEFAULT_POLICY,
) -> Prepared:
    """Read each entry and turn its output into the project's json_response."""
    prepared = Prepared()
    letter_writer = DeadLetterWriter(project)
    for entry in _newest(entries, prepared):
        prediction: Prediction | None = None
        try:
            prediction = read_stored(entry.payload)
            prepared.items.append(_item(entry, prediction, interface, config))
        except Exception as error:
            decision = failures.decide(Failure(Stage.PREPARE, error))
            if decision.fault is Fault.WORKER:
                logger.exception("a prediction cannot be prepared", extra={"action": "prepare_failed"})
            settled = prepared.unfit if decision.action is Action.READ_INTERFACE else prepared.settled
            settled.append(letter_writer.of(entry, prediction, cause_of(error), "prepare"))
    return prepared


def refit(
    items: Sequence[Item], interface: Interface, config: ProjectConfig = NO_CONFIG
) -> dict[int, OntologyError] | None:
    """Turn outputs into json_responses again, for an interface that has changed.

    Returns:
        Those that no longer fit, by position; None when nothing has changed for any of them.
    """
    unfit: dict[int, OntologyError] = {}
    changed = False
    for position, item in enumerate(items):
        try:
            response = response_text(item.prediction, interface, config)
            changed = changed or response != item.json_response
            item.json_response = response
        except OntologyError as error:
            unfit[position] = error
    return unfit if unfit or changed else None


def cause_of(error: Exception) -> Cause:
    """Why a prediction dies of an error."""
    match error:
        case MessageError() | OutputError() | OntologyError():
            slug = getattr(error, "cause", "unreadable_output")
            return Cause(slug, "message", error.field, error.problem, error.fix)
        case KiliError() if not isinstance(error, WorkerFault):
            slug = error.code or ("too_large" if isinstance(error, TooLarge) else "refused_by_kili")
            fix = "mend what Kili names and replay"
            return Cause(slug, "refused", error.operation or "", str(error), fix, error.server_message)
    problem = str(error) if isinstance(error, WorkerFault) else f"{type(error).__name__}: {error}"
    return Cause("worker_fault", "message", "", problem, "report it with the worker's log; replay when it is mended")


def _newest(entries: Sequence[Leased], prepared: Prepared) -> list[Leased]:
    """One entry per asset and model, and the one that brings the asset where the newest may not; others are superseded.

    Several meet here after lost memories, and where an older one was admitted for the content that the newest lacks.
    """
    if len({(entry.asset_id, entry.model) for entry in entries}) == len(entries):
        return list(entries)
    known: dict[tuple[str, str], list[Leased]] = {}
    for entry in entries:
        known.setdefault((entry.asset_id, entry.model), []).append(entry)
    kept: list[Leased] = []
    for same in known.values():
        *older, newest = sorted(same, key=lambda one: one.rank)
        wanted = None if _may_hold_content(newest) else next(filter(_may_hold_content, reversed(older)), None)
        kept += [newest] if wanted is None else [newest, wanted]
        prepared.settled += [Settlement(entry, Outcome.SUPERSEDED) for entry in older if entry is not wanted]
    return kept


def _may_hold_content(entry: Leased) -> bool:
    """Whether a payload may hold an asset's content, as the spool's scripts guess."""
    return b'"asset"' in entry.payload


def _item(entry: Leased, prediction: Prediction, interface: Interface, config: ProjectConfig) -> Item:
    response = response_text(prediction, interface, config)
    return Item(
        entry=entry,
        prediction=prediction,
        decision=ReviewDecision.from_bytes(entry.decision),
        json_response=response,
        asset_id=entry.asset_id,
        size=len(entry.payload) + len(response),
        content=prediction.asset,
        is_again=is_sent_again(entry),
    )
