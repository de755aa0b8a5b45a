"""Circuits: a project or the whole endpoint that refuses is paused, said once, probed, and resumed by itself.

What concerns the endpoint (no connection, the key, the call limit) pauses the endpoint; what this worker or its machine
lacks (sockets, memory, the name service) pauses this worker alone; anything else pauses the project. Several projects
that fail while none succeeds pause the endpoint too: one probe then asks for all of them, and its success wakes them
all. A project that fails while others succeed is probed less and less often, one that is refused least often.

A server that does not take a batch's mutations in one document is sent them apart for a while (:class:`Documents`).
"""

from __future__ import annotations

import json
import logging
import random
from dataclasses import asdict, dataclass, replace
from typing import Any

import redis

from worker.delivery.failure_policy import DEFAULT_POLICY, FailurePolicy
from worker.delivery.failures import Action, Failure, Fault, Others, Stage
from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.kili import KiliError, RefusedProject

logger = logging.getLogger(__name__)

ENDPOINT = "endpoint"
PROJECT = "project:"
WORKER = "worker:"
GONE_SECONDS = 600
"""A worker that has not tried again for so long after its pause is gone."""

REMEMBER_FAILING_SECONDS = 600
PROBE_SECONDS = 10
"""A probe of the endpoint that has not ended by then no longer keeps others from trying."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a scope waits. ``since`` and ``until`` are milliseconds since the epoch; after ``until`` it is probed."""

    scope: str
    kind: str
    reason: str
    since: int
    until: int
    failures: int


class CircuitBreaker:
    """The circuits of one spool, shared by the fleet, on the clock of Redis.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        first: seconds of the first pause.
        cap: seconds of the longest.
        retry_after_cap: seconds that a server may ask for at most.
        worker: name of this worker.
        failures: decides what a failed wave pauses.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        *,
        first: float,
        cap: float,
        retry_after_cap: float = 60.0,
        worker: str = "",
        failures: FailurePolicy = DEFAULT_POLICY,
    ) -> None:
        self._redis = client
        self._key = f"{prefix}pauses"
        self._failing = f"{prefix}failing"
        self._probe = f"{prefix}probe"
        self._first = first
        self._cap = cap
        self._retry_after_cap = retry_after_cap
        self._failures = failures
        self._own = f"{WORKER}{worker}"

    def all(self) -> list[Pause]:
        """Every pause there is, longest first; not those of workers that are gone."""
        found: Any = self._redis.hgetall(self._key)
        pauses = [_read(scope.decode(), raw) for scope, raw in found.items()]
        gone = self._now() - GONE_SECONDS * 1000
        alive = [pause for pause in pauses if pause.until > gone or not pause.scope.startswith(WORKER)]
        return sorted(alive, key=lambda pause: pause.since)

    def of(self, project: str) -> list[Pause]:
        """The pauses that concern a project here: its own, the endpoint's, and this worker's."""
        scopes = [_scope(project), ENDPOINT, self._own]
        found: Any = self._redis.hmget(self._key, scopes)
        return [_read(scope, raw) for scope, raw in zip(scopes, found, strict=True) if raw]

    def may_try(self, pauses: list[Pause]) -> bool:
        """Whether a wave may go in spite of these pauses, as their probe; of the endpoint there is one at a time."""
        if not pauses:
            return True
        if any(pause.until > self._now() for pause in pauses):
            return False
        if all(pause.scope != ENDPOINT for pause in pauses):
            return True
        return bool(insist(self._redis, "SET", self._probe, b"1", "NX", "EX", PROBE_SECONDS))

    def tried(self, pauses: list[Pause]) -> None:
        """The probe that ``may_try`` allowed has ended."""
        if any(pause.scope == ENDPOINT for pause in pauses):
            self._redis.delete(self._probe)

    def failed(self, project: str, error: Exception) -> None:
        """Pause what the error concerns; a call that was not sent for want of budget concerns nobody."""
        decision = self._failures.decide(Failure(Stage.WAVE, error))
        if decision.fault is Fault.KILI:
            others_succeed, failing = self._note(project)
            others = Others.TAKEN if others_succeed else Others.REFUSED
            decision = self._failures.decide(Failure(Stage.WAVE, error, others=others, projects=failing))
            self._pause(_scope(project), error, self._cap * decision.longest)
        match decision.action:
            case Action.PAUSE_WORKER:
                self._pause(self._own, error, self._cap)
            case Action.PAUSE_ENDPOINT:
                self._pause(ENDPOINT, error, self._cap)
            case Action.PAUSE_PROJECT if decision.fault is Fault.PROJECT:
                self._pause(_scope(project), error, self._cap * decision.longest)

    def succeeded(self, pauses: list[Pause]) -> None:
        """A wave went through: Kili is there, and what paused the wave is over."""
        self._redis.delete(self._failing)
        if not pauses:
            return
        self._redis.hdel(self._key, *(pause.scope for pause in pauses))
        for pause in pauses:
            seconds = round((self._now() - pause.since) / 1000, 1)
            extra = {"action": "resumed", "scope": pause.scope, "seconds": seconds}
            logger.info("%s goes on after %g s", pause.scope, seconds, extra=extra)
        if any(pause.scope == ENDPOINT for pause in pauses):
            self._wake_projects()

    def forget(self, project: str) -> None:
        """A project has nothing waiting any more: nobody need know that it was refused."""
        self._redis.hdel(self._key, _scope(project))

    def wake(self, project: str) -> bool:
        """Let a paused project be tried at once; False when it is not paused."""
        scope = _scope(project)
        raw = self._redis.hget(self._key, scope)
        if isinstance(raw, bytes):
            self._write(replace(_read(scope, raw), until=0))
        return isinstance(raw, bytes)

    def end(self) -> None:
        """This worker ends."""
        self._redis.hdel(self._key, self._own)

    def _note(self, project: str) -> tuple[bool, int]:
        """Whether anybody has succeeded since the project last failed, and how many now fail together."""
        is_new = bool(insist(self._redis, "SADD", self._failing, project))
        self._redis.expire(self._failing, REMEMBER_FAILING_SECONDS)
        return is_new, int(self._redis.scard(self._failing))

    def _wake_projects(self) -> None:
        for pause in self.all():
            if pause.scope.startswith(PROJECT) and pause.kind != RefusedProject.__name__:
                self._write(replace(pause, until=0))

    def _pause(self, scope: str, error: Exception, cap: float) -> None:
        raw = self._redis.hget(self._key, scope)
        earlier = _read(scope, raw) if isinstance(raw, bytes) else None
        now = self._now()
        if earlier is not None and earlier.until > now:
            return
        failures = earlier.failures + 1 if earlier else 1
        seconds = min(cap, self._first * 2 ** min(failures - 1, 20)) * random.uniform(0.75, 1)
        asked = min(getattr(error, "retry_after", None) or 0.0, self._retry_after_cap)
        until = now + int(max(seconds, asked) * 1000)
        kind = type(error).__name__
        pause = Pause(scope, kind, str(error)[:300], earlier.since if earlier else now, until, failures)
        if earlier is not None:
            self._write(pause)
        elif insist(self._redis, "HSETNX", self._key, scope, json.dumps(asdict(pause))):
            extra = {"action": "paused", "scope": scope, "kind": kind}
            logger.warning("%s is paused: %s", scope, str(error)[:300], extra=extra)

    def _write(self, pause: Pause) -> None:
        insist(self._redis, "HSET", self._key, pause.scope, json.dumps(asdict(pause)))

    def _now(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _scope(project: str) -> str:
    return f"{PROJECT}{project}"


def _read(scope: str, raw: bytes) -> Pause:
    return of_stored(Pause, raw, scope=scope)


APART_SECONDS = 600
"""After this time one document is tried again: the server may have been updated."""


@dataclass(frozen=True, slots=True)
class DocumentRejection:
    """The server took a batch's mutations apart, but not together; ``at`` is in seconds since the epoch."""

    at: float
    reason: str


class Documents:
    """Whether a batch's mutations go in one document, as the fleet knows it.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        wanted: whether the settings ask for them.
    """

    def __init__(self, client: redis.Redis, prefix: str, *, wanted: bool) -> None:
        self._redis = client
        self._key = f"{prefix}one-document-refused"
        self._wanted = wanted

    @property
    def are_taken(self) -> bool:
        """Whether to send a batch as one document."""
        return self._wanted and not self._redis.exists(self._key)

    def refused(self, error: KiliError) -> None:
        """Send separate calls for a while, and say so once."""
        rejection = DocumentRejection(clock.now(), str(error)[:300])
        if insist(self._redis, "SET", self._key, json.dumps(asdict(rejection)), "NX", "EX", APART_SECONDS):
            message = "one document a batch is refused, its calls go apart for %d s: %s"
            logger.warning(message, APART_SECONDS, rejection.reason, extra={"action": "one_document_refused"})

    def rejection(self) -> DocumentRejection | None:
        """The refusal that is in force."""
        raw = self._redis.get(self._key)
        return of_stored(DocumentRejection, raw) if isinstance(raw, bytes) else None
