"""The answers to two questions: would it help to start this worker anew, and can it work now."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import redis

from worker.delivery import Pause
from worker.environment import clock
from worker.monitoring import metrics
from worker.monitoring.endpoint import EndpointAnswer
from worker.monitoring.progress import Progress
from worker.monitoring.series import Family, family_of

PAUSES_EVERY = 1.0
STALE_SECONDS = 30.0
"""So old may be what the main loop last said of itself."""

ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Reason:
    """What keeps a worker from working: the part concerned, and words for a person."""

    part: str
    reason: str


class Probes:
    """Liveness and readiness of one worker. Answering asks nobody: neither Redis nor Kili nor the broker.

    Args:
        progress: of this worker.
        pauses: reads what is paused; called from the main loop.
        worker: its name in the fleet.
        stop: set when it drains.
    """

    def __init__(
        self, progress: Progress, pauses: Callable[[], Sequence[Pause]], worker: str, stop: threading.Event
    ) -> None:
        self._progress = progress
        self._read_pauses = pauses
        self._worker = worker
        self._stop = stop
        self._troubles: Mapping[str, str] = {"start": "the worker has just started"}
        self._pauses: Sequence[Pause] = ()
        self._beaten = clock.monotonic()
        self._next_pauses = float("-inf")

    def beat(self, troubles: Mapping[str, str]) -> None:
        """Called by the main loop: what is wrong, by part; empty words are no trouble."""
        self._troubles = {part: message for part, message in troubles.items() if message}
        self._beaten = clock.monotonic()
        if self._beaten >= self._next_pauses and not self._troubles:
            self._next_pauses = self._beaten + PAUSES_EVERY
            try:
                self._pauses = self._read_pauses()
            except redis.RedisError as error:
                self._troubles = {"delivery": f"{type(error).__name__}: {error}"[:200]}

    def live(self) -> EndpointAnswer:
        """200 while the worker makes progress; a worker that drains is given its time."""
        stuck = [] if self._stop.is_set() else self._progress.stuck()
        body = {
            "live": not stuck,
            "worker": self._worker,
            "limit_seconds": self._progress.limit,
            "last_done_seconds": {name: round(age, 1) for name, age in self._progress.ages().items()},
            "stuck": [asdict(one) | {"seconds": round(one.seconds, 1)} for one in stuck],
        }
        return _answer(body, ok=not stuck)

    def ready(self) -> EndpointAnswer:
        """200 when nothing keeps the worker from working; else what does. Paused projects are no hindrance."""
        reasons = list(self._reasons())
        body = {
            "ready": not reasons,
            "worker": self._worker,
            "reasons": [asdict(one) for one in reasons],
            "paused_projects": sum(pause.scope.startswith("project:") for pause in self._pauses),
        }
        return _answer(body, ok=not reasons)

    def families(self) -> Iterator[Family]:
        """Both answers as metrics."""
        yield family_of(metrics.LIVE, float(self.live().status == HTTPStatus.OK))
        yield family_of(metrics.READY, float(self.ready().status == HTTPStatus.OK))

    def _reasons(self) -> Iterator[Reason]:
        if self._stop.is_set():
            yield Reason("worker", "draining: it was asked to end")
        silent = clock.monotonic() - self._beaten
        if silent > STALE_SECONDS:
            yield Reason("worker", f"its main loop has not come round for {silent:.0f} s")
        for part, message in self._troubles.items():
            yield Reason(part, message)
        for pause in self._pauses:
            if pause.scope in (ENDPOINT, f"worker:{self._worker}"):
                who = "Kili" if pause.scope == ENDPOINT else "this worker"
                yield Reason(pause.scope.partition(":")[0], f"{who} is paused and probed: {pause.reason}")


def _answer(body: dict[str, Any], *, ok: bool) -> EndpointAnswer:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return EndpointAnswer(status, "application/json; charset=utf-8", json.dumps(body, indent=1).encode() + b"\n")
