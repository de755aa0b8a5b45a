"""Hints that a project has a wave due: sent through the broker, answered here while the broker takes none.

A hint carries nothing, so losing or doubling one does no harm; but a full Redis refuses them, and delivering is what
frees it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor

import redis
from kombu.exceptions import OperationalError

from worker.environment import machine

logger = logging.getLogger(__name__)


class Hints:
    """Sends hints to the fleet and answers them.

    Args:
        publish: sends a hint for a project through the broker.
        deliver: runs one wave of a project; True when much is left.
        threads: waves that may run here at once while the broker takes no hints.
        executor: runs them.
    """

    def __init__(
        self,
        publish: Callable[[str], None],
        deliver: Callable[[str], bool],
        *,
        threads: int,
        executor: Callable[[int, str], Executor] = machine.threads,
    ) -> None:
        self._publish = publish
        self._deliver = deliver
        self._threads = threads
        self._pool = executor(threads, "wave")
        self._here: set[str] = set()
        self._guard = threading.Lock()
        self._refused = False

    def send(self, project: str) -> None:
        """Tell the fleet that a wave is due; never raises."""
        try:
            self._publish(project)
        except (OperationalError, redis.RedisError, OSError) as error:
            self._say(refused=True, error=error)
            self._answer_here(project)
        else:
            self._say(refused=False)

    def answer(self, project: str) -> None:
        """Run one wave of a project, and ask for the next when much is left."""
        try:
            more = self._deliver(project)
        except redis.RedisError as error:
            logger.warning("wave ended: %s", error, extra={"action": "wave_ended", "project": project})
            return
        if more:
            self.send(project)

    def close(self) -> None:
        """Wait for the waves that run here."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer_here(self, project: str) -> None:
        with self._guard:
            if project in self._here or len(self._here) >= self._threads:
                return  # a later tick asks again
            self._here.add(project)
        try:
            self._pool.submit(self._run, project)
        except RuntimeError:  # closed: the worker is ending
            self._here.discard(project)

    def _run(self, project: str) -> None:
        try:
            self.answer(project)
        except Exception:
            logger.exception("wave failed", extra={"action": "wave_failed", "project": project})
        finally:
            with self._guard:
                self._here.discard(project)

    def _say(self, *, refused: bool, error: Exception | None = None) -> None:
        if refused and not self._refused:
            words = "the broker takes no hints, waves run here: %s"
            logger.warning(words, str(error)[:200], extra={"action": "hints_refused"})
        elif self._refused and not refused:
            logger.info("the broker takes hints again", extra={"action": "hints_resumed"})
        self._refused = refused
