"""Whether a worker gets anything done: liveness is progress, not a thread that runs.

A worker is stuck when for a stated time it could not do one of three things although it tried: look for work (lease),
send calls for reasons of its own (no socket, no name service, certificates), record outcomes (settle). It is stuck too
when a project that it holds has not moved for so long: no entry leased or settled, no call ended. What lies with Kili
(an outage, a pause) is no standstill of the worker: to start it anew would not help. Readiness tells of that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from worker.environment import clock


class Activity(StrEnum):
    """What a worker must be able to do."""

    LEASE = "lease"
    SEND = "send"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Standstill:
    """What has not moved, for how many seconds, and why if that is known."""

    what: str
    seconds: float
    reason: str


@dataclass(slots=True)
class _State:
    done: float
    failing: float | None = None
    reason: str = ""


@dataclass(slots=True)
class Progress:
    """The progress of one process; its threads share it.

    Args:
        limit: seconds without progress after which the worker is not live.
        monotonic: the clock.
    """

    limit: float
    monotonic: Callable[[], float] = clock.monotonic
    _states: dict[Activity, _State] = field(init=False)
    _held: dict[str, float] = field(default_factory=dict)
    _loops: dict[str, float] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Time counts from the start."""
        self.begin()

    def begin(self) -> None:
        """The worker starts now."""
        self._states = {activity: _State(self.monotonic()) for activity in Activity}

    def done(self, activity: Activity) -> None:
        """It worked."""
        state = self._states[activity]
        state.done, state.failing, state.reason = self.monotonic(), None, ""

    def failed(self, activity: Activity, reason: str) -> None:
        """It did not; the time counts from the first failure in a row."""
        state = self._states[activity]
        if state.failing is None:
            state.failing = self.monotonic()
        state.reason = reason[:300]

    def note_iteration(self, loop: str) -> None:
        """A thread that works in a loop has come round, whatever it found."""
        self._loops[loop] = self.monotonic()

    def holds(self, project: str) -> None:
        """A wave of a project begins."""
        with self._guard:
            self._held[project] = self.monotonic()

    def moved(self, project: str | None) -> None:
        """Something of a project came on."""
        with self._guard:
            if project in self._held:
                self._held[project] = self.monotonic()

    def released(self, project: str) -> None:
        """Its wave has ended."""
        with self._guard:
            self._held.pop(project, None)

    @property
    def held(self) -> int:
        """Projects with a wave in this process."""
        return len(self._held)

    def ages(self) -> dict[str, float]:
        """Seconds since each activity last succeeded, or since the start."""
        now = self.monotonic()
        return {activity.value: max(0.0, now - state.done) for activity, state in self._states.items()}

    def stuck(self) -> list[Standstill]:
        """Everything that has not moved for longer than the limit."""
        now = self.monotonic()
        found = [
            Standstill(activity.value, now - state.failing, state.reason)
            for activity, state in self._states.items()
            if state.failing is not None and now - state.failing > self.limit
        ]
        found += [
            Standstill(loop, now - since, "its thread hangs or has ended")
            for loop, since in list(self._loops.items())
            if now - since > self.limit
        ]
        looked = self._states[Activity.LEASE]
        if looked.failing is None and now - looked.done > self.limit:
            found.append(Standstill(Activity.LEASE.value, now - looked.done, "nobody looks for work any more"))
        with self._guard:
            held = dict(self._held)
        found += [
            Standstill(f"project {project}", now - since, "nothing was leased, sent or settled")
            for project, since in held.items()
            if now - since > self.limit
        ]
        return found
