"""Whether a worker gets anything done, and the heartbeat file that says so.

Liveness is progress, not a thread that runs. ``prediction-worker health`` reads the file without the worker's other
code.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from worker.environment import clock
from worker.environment.json_text import of_stored

STALE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the worker last said of itself; ``trouble`` is empty when it is ready."""

    at: float
    pid: int
    trouble: str
    draining: bool = False


class Pulse:
    """Writes the heartbeat file at most once a second.

    Args:
        path: of the file; replaced atomically.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def beat(self, trouble: str = "", *, draining: bool = False) -> None:
        """Say that the worker lives, and what keeps it from working, if anything."""
        now = clock.now()
        if now - self._last < 1.0 and not draining:
            return
        self._last = now
        beat = Heartbeat(now, os.getpid(), trouble, draining)
        draft = self._path.with_name(f"{self._path.name}.{beat.pid}")
        draft.write_text(json.dumps(asdict(beat)), "utf-8")
        draft.replace(self._path)

    def end(self) -> None:
        """The worker is gone."""
        self._path.unlink(missing_ok=True)


def read_heartbeat(path: Path) -> Heartbeat | None:
    """The last heartbeat, or None when there is none to be read."""
    try:
        return of_stored(Heartbeat, path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return None


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
