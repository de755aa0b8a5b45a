"""What the workers of a house complain of: a complaint that no fault of the case explains fails the case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worker.demo.processes import WorkerProcess

TROUBLES = ("wave_ended", "wave_failed", "thread_failed")
"""Actions in the log that mean: something happened that nobody has foreseen, or Redis refused."""


class Troubles:
    """The complaints of the workers since the case began.

    Args:
        workers: all that the house ever had; others may join.
    """

    def __init__(self, workers: Sequence[WorkerProcess]) -> None:
        self._workers = workers
        self._explained: set[str] = set()
        self._read: dict[Path, int] = {}

    def begin(self) -> None:
        """A new case begins; what was said before does not concern it."""
        self._explained = set()
        self._read = {worker.log: worker.log.stat().st_size for worker in self._workers}

    def expect(self, *actions: str) -> None:
        """What the case does explains these complaints: they may be there."""
        assert set(actions) <= set(TROUBLES), actions
        self._explained |= set(actions)

    def unexplained(self) -> list[dict[str, Any]]:
        """The complaints that the case has not announced."""
        return [line for line in self._complaints() if line["action"] not in self._explained]

    def _complaints(self) -> Iterator[dict[str, Any]]:
        for worker in self._workers:
            with worker.log.open("rb") as log:
                log.seek(self._read.get(worker.log, 0))
                for line in log:
                    if line.endswith(b"\n") and any(f'"{action}"'.encode() in line for action in TROUBLES):
                        found = json.loads(line)
                        if found["action"] in TROUBLES:
                            yield found
