"""The clock that finds projects with a wave due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

import redis

from worker.environment import clock
from worker.spool import Spool

logger = logging.getLogger(__name__)


class HintSender(Protocol):
    """Sends ``predictions.deliver`` for a project."""

    def __call__(self, project: str) -> None:
        """Fire and forget: a lost hint is sent again by a later tick."""


class Ticker:
    """The clock of a process: looks for due projects and sends hints; harmless in numbers.

    Args:
        spool: asked for due projects.
        send: sends a hint.
        beat: called at every tick with what the tick found out (the heartbeat).
        full: waiting predictions that make a batch.
        linger: longest wait for a batch to fill, in seconds.
        every: seconds between ticks.
        stop: ends the clock.
    """

    SILENCE_MS = 2000
    AHEAD = 1.5
    """Ticks by which a hint goes out before the linger time is over, so that the wave begins by then."""

    def __init__(
        self,
        spool: Spool,
        send: HintSender,
        beat: Callable[[str], None],
        *,
        full: int,
        linger: float,
        every: float,
        stop: threading.Event,
    ) -> None:
        self._spool = spool
        self._send = send
        self._beat = beat
        self._full = full
        self._linger_ms = max(0, int((linger - self.AHEAD * every) * 1000))
        self._every = every
        self._stop = stop
        self._trouble = ""

    def run(self) -> None:
        """Tick until the worker stops; survives every failure of Redis and the broker."""
        while not clock.wait(self._stop, self._every):
            self.step()

    def step(self) -> None:
        """Tick once."""
        trouble = self._tick()
        if trouble and trouble != self._trouble:
            logger.warning("delivery waits: %s", trouble, extra={"action": "delivery_waits"})
        elif self._trouble and not trouble:
            logger.info("delivery goes on", extra={"action": "delivery_resumed"})
        self._trouble = trouble
        self._beat(trouble)

    def _tick(self) -> str:
        try:
            for project in self._spool.due(full=self._full, linger_ms=self._linger_ms, silence_ms=self.SILENCE_MS):
                self._send(project)
        except (redis.RedisError, OSError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        return ""
