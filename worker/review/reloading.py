"""The policy file, read again when it changes; a broken one never replaces one that works."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from worker import clock
from worker.review.policy_file import Policy, PolicyError, read_policy

logger = logging.getLogger(__name__)


class WatchedPolicy:
    """The policy of a file.

    Args:
        path: of the file.
        every: seconds between looks at it.
        clock: seconds, for that.

    Raises:
        PolicyError: the file is not usable to begin with.
    """

    def __init__(self, path: Path, *, every: float = 2.0, clock: Callable[[], float] = clock.monotonic) -> None:
        self.path = path
        self.problem = ""
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._policy = read_policy(path)
        self._looked_at = clock()

    def current(self) -> Policy:
        """The newest policy that could be read; ``problem`` tells what is wrong with a newer file, if anything."""
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= self._every:
                self._looked_at = now
                self._look()
            return self._policy

    def _look(self) -> None:
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._policy = read_policy(self.path)
        except PolicyError as error:
            self.problem = str(error)
            about = {"action": "policy_refused", "path": str(self.path), "version": self._policy.version}
            logger.error("policy file not taken, the earlier one stays: %s", error, extra=about)  # noqa: TRY400
            return
        self.problem = ""
        about = {"action": "policy_changed", "path": str(self.path), "version": self._policy.version}
        logger.info("policy changed", extra=about)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes with the file; None while it is away, which a deployment may do for a moment."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
