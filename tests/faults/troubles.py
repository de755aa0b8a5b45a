"""What the workers of a house complain of: a complaint that no fault of the case explains fails the case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TROUBLES = ("wave_ended", "wave_failed", "thread_failed")
"""Actions in the log that mean: something happened that nobody has foreseen, or Redis refused."""


class Troubles:
    """The complaints of the workers since the case began.

    Args:
        folder: of the logs of all workers that the house ever had.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._explained: set[str] = set()
        self._read: dict[Path, int] = {}

    def begin(self) -> None:
        """A new case begins; what was said before does not concern it."""
        self._explained = set()
        self._read = {path: path.stat().st_size for path in self._folder.glob("*.log")}

    def expect(self, *actions: str) -> None:
        """What the case does explains these complaints: they may be there."""
        assert set(actions) <= set(TROUBLES), actions
        self._explained |= set(actions)

    def unexplained(self) -> list[dict[str, Any]]:
        """The complaints that the case has not announced."""
        return [line for line in self._complaints() if line["action"] not in self._explained]

    def _complaints(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._folder.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                for line in log:
                    if line.endswith(b"\n") and any(f'"{action}"'.encode() in line for action in TROUBLES):
                        found = json.loads(line)
                        if found["action"] in TROUBLES:
                            yield found
