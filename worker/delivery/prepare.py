"""From leased entries to items that Kili should accept, or to dead letters that say why not.

An entry whose result lies elsewhere is completed first (:class:`AwaitedResults`), so that it becomes a prediction like
any other.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis
from msgspec.structs import replace

from worker.contract import MessageError, Prediction, read_stored
from worker.delivery.failure_policy import DEFAULT_POLICY, FailurePolicy
from worker.delivery.failures import RESULT_UNAVAILABLE, Action, Failure, Fault, Stage, Trouble
from worker.delivery.item import DeadLetterWriter, Item
from worker.environment import clock
from worker.environment.connections import threads
from worker.formats import OutputError
from worker.kili import KiliError, TooLarge, WorkerFault
from worker.ontology import Interface, OntologyError
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import NO_CONFIG, ResultElsewhere, output_of, with_result
from worker.projects.responses import response_text
from worker.projects.results import AWAITED, ResultReader, ResultUnavailable, unavailable
from worker.review import ReviewDecision, ReviewPolicy
from worker.review.decision import subject_of
from worker.spool import Leased, Outcome, Settlement
from worker.spool.dead_letters import Cause
from worker.spool.entries import is_sent_again

logger = logging.getLogger(__name__)

READERS = 4
READING_SECONDS = 10.0
"""After this time a wave reads no further results, and delivers what it has."""


@dataclass(slots=True)
class Completed:
    """Entries with their answers in them, and those whose outcome is known; any other was not looked at."""

    entries: list[Leased] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)


class AwaitedResults:
    """Completes entries whose results are elsewhere.

    Args:
        reader: of the allowed places.
        policy: decides anew, now that the output is known.
        failures: decides how long a result that cannot be read is waited for, from the first attempt to read it.
        max_bytes: of all results of a wave together.
        stop: ends the reading.
        executor: reads several side by side.
    """

    def __init__(
        self,
        reader: ResultReader,
        policy: ReviewPolicy,
        *,
        failures: FailurePolicy,
        max_bytes: int,
        stop: threading.Event,
        executor: Callable[[int, str], Executor] = threads,
    ) -> None:
        self.reader = reader
        self.policy = policy
        self.failures = failures
        self.max_bytes = max_bytes
        self.stop = stop
        self._executor = executor

    def complete(self, project: str, entries: Sequence[Leased], config: ProjectConfig) -> Completed:
        """Read what is awaited, several at a time; entries that await nothing pass."""
        awaited = [entry for entry in entries if AWAITED.encode() in entry.decision]
        if not awaited:
            return Completed(list(entries))
        wave = _ResultsOfWave(self, project, config)
        with self._executor(READERS, "result") as pool:
            outcomes = pool.map(wave.complete, awaited)
            found = {entry.key: outcome for entry, outcome in zip(awaited, outcomes, strict=True)}
        completed = Completed()
        for entry in entries:
            outcome = found.get(entry.key, entry)
            if isinstance(outcome, Settlement):
                completed.settled.append(outcome)
            elif outcome is not None:
                completed.entries.append(outcome)
        return completed


class _PlaceDown(Exception):
    """Not tried: its place cannot be read at the moment, which is not the result's fault."""

    def __init__(self, delay_ms: int) -> None:
        super().__init__(delay_ms)
        self.delay_ms = delay_ms


class _ResultsOfWave:
    """The results of one wave: what was read so far, and how often each place failed since it was read from last."""

    def __init__(self, tools: AwaitedResults, project: str, config: ProjectConfig) -> None:
        self._tools = tools
        self._project = project
        self._config = config
        self._letter_writer = DeadLetterWriter(project)
        self._end = clock.monotonic() + READING_SECONDS
        self._bytes = 0
        self._failures: Counter[str] = Counter()

    def complete(self, entry: Leased) -> Leased | Settlement | None:
        """The entry with its answer, or its outcome; None when the wave has no time or room left for it."""
        if self._tools.stop.is_set() or clock.monotonic() > self._end or self._bytes > self._tools.max_bytes:
            return None
        prediction: Prediction | None = None
        try:
            prediction = read_stored(entry.payload)
            return self._completed(entry, prediction)
        except _PlaceDown as down:
            return Settlement(entry, Outcome.LATER, delay_ms=down.delay_ms)
        except ResultUnavailable as error:
            return self._put_off(entry, prediction, error)
        except redis.RedisError:
            raise
        except Exception as error:
            if self._tools.failures.decide(Failure(Stage.PREPARE, error)).fault is Fault.WORKER:
                logger.exception("a result cannot be used", extra={"action": "fetch_failed"})
            return self._letter_writer.of(entry, prediction, cause_of(error), "fetch")

    def _completed(self, entry: Leased, prediction: Prediction) -> Leased | Settlement:
        whole = prediction
        try:
            output = output_of(prediction, self._config)
        except ResultElsewhere as elsewhere:
            whole = with_result(prediction, self._read(elsewhere.location), self._config)
            output = output_of(whole)
        decision = self._tools.policy.decide(subject_of(prediction, output, self._project))
        if not decision.upload:
            return Settlement(entry, Outcome.SAMPLED_OUT)
        history = ReviewDecision.history_in(entry.decision)
        payload = whole.to_json()
        return replace(
            entry,
            payload=payload,
            decision=decision.to_bytes(
                history, ReviewDecision.source_in(entry.decision), ReviewDecision.trace_in(entry.decision)
            ),
            original=entry.payload,
        )

    def _read(self, location: str) -> Any:
        """One result. One that cannot be read says nothing of its neighbours; only several do, and none that can."""
        place = "/".join(urlsplit(location)[:2])
        failed = Failure(Stage.RESULT, Trouble.PLACE_FAILS, attempts=self._failures[place])
        decision = self._tools.failures.decide(failed)
        if decision.action is Action.RETRY:
            raise _PlaceDown(decision.delay_ms)
        try:
            result = self._tools.reader.read(location)
        except ResultUnavailable:
            self._failures[place] += 1
            raise
        self._failures[place] = 0
        self._bytes += result.size
        return result.value

    def _put_off(self, entry: Leased, prediction: Prediction | None, error: ResultUnavailable) -> Settlement:
        waited = entry.tried_for_ms(RESULT_UNAVAILABLE) / 1000
        decision = self._tools.failures.decide(Failure(Stage.RESULT, error, tried_for=waited))
        if decision.action is Action.DEAD_LETTER:
            return self._letter_writer.of(entry, prediction, cause_of(unavailable(error, waited)), "fetch")
        return Settlement(entry, Outcome.LATER, decision.cause, delay_ms=decision.delay_ms)


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
