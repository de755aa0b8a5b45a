"""Read the results that leased messages only point to, so that they become predictions like any other."""

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

from worker.contract import Prediction, read_stored
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import RESULT_UNAVAILABLE, Action, Failure, Fault, Stage, Trouble
from worker.delivery.item import DeadLetterWriter
from worker.delivery.prepare import cause_of
from worker.environment import clock
from worker.environment.machine import threads
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import ResultElsewhere, output_of, with_result
from worker.projects.results import AWAITED, ResultReader, ResultUnavailable, unavailable
from worker.review import ReviewDecision, ReviewPolicy
from worker.review.decision import subject_of
from worker.spool import Leased, Outcome, Settlement

logger = logging.getLogger(__name__)

READERS = 4
WAVE_SECONDS = 10.0
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
        wave = _Wave(self, project, config)
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


class _Wave:
    """The results of one wave: what was read so far, and how often each place failed since it was read from last."""

    def __init__(self, tools: AwaitedResults, project: str, config: ProjectConfig) -> None:
        self._tools = tools
        self._project = project
        self._config = config
        self._letter_writer = DeadLetterWriter(project)
        self._end = clock.monotonic() + WAVE_SECONDS
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
