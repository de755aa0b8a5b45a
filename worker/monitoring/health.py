"""The heartbeat file: written by the running worker, read by ``prediction-worker health`` without the worker's code."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.environment import clock
from worker.environment.stored import of_stored

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
