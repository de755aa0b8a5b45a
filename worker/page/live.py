"""The status that the page shows, and the part of it that is sent again whenever it has changed.

What ``status`` collects is read at most once a second. Those who look have threads of their own, so that they never
take the place of those who send.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import anyio
import redis
from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from worker.environment import clock
from worker.monitoring.exporter import Rate, Rates
from worker.monitoring.roster import Presence
from worker.monitoring.status import collect
from worker.page.answers import HEADERS, plain
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.wiring import inbox_of

P = ParamSpec("P")
T = TypeVar("T")

MOST = 10
_LIMITER = anyio.CapacityLimiter(MOST)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in one of the threads."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=_LIMITER)


logger = logging.getLogger(__name__)

AGE_SECONDS = 1.0
WINDOW_SECONDS = 300.0
WATCH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found, the rate of each project as far as it is known, and when (seconds since the epoch)."""

    found: dict[str, Any]
    rates: dict[str, Rate]
    at: float


class FleetStatus:
    """Looks at the fleet; threads share it.

    Args:
        settings: of the fleet.
        spool: to ask.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._inbox = inbox_of(settings)
        self._rates = Rates(WINDOW_SECONDS)
        self._guard = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._looked = float("-inf")

    def snapshot(self) -> Snapshot:
        """The figures, at most a second old. Raises redis.RedisError."""
        with self._guard:
            if self._snapshot is None or clock.monotonic() - self._looked > AGE_SECONDS:
                found = collect(self._settings, self._spool, self._inbox)
                self._looked = clock.monotonic()
                self._snapshot = Snapshot(found, self._rates.measure(found["projects"], self._looked), clock.now())
            return self._snapshot

    def watch(self, stop: threading.Event, presence: Presence) -> None:
        """Look now and then although nobody asks, so that rates are known when somebody does; until stopped."""
        while True:
            try:
                presence.tick()
                self.snapshot()
            except (redis.RedisError, OSError) as error:
                logger.debug("not looked: %s", error, extra={"action": "figures_wait"})
            if clock.wait(stop, WATCH_SECONDS):
                presence.end()
                return


EVERY_SECONDS = 2.0
STOP_SECONDS = 0.25
BEAT_SECONDS = 15.0
"""So often something is sent although nothing has changed, so that a connection that is gone is noticed."""

MOST_STREAMS = 50
LONGEST_SECONDS = 1800.0
"""After this time the browser connects anew, and its session is looked at again."""


class Live:
    """Sends parts of pages to those who look.

    Args:
        stop: set when the process ends.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._open = 0

    def response(self, part: Callable[[], str]) -> Response:
        """A stream of what ``part`` renders."""
        if self._open >= MOST_STREAMS:
            return plain("too many people look at the page", 503)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(part), headers=headers, media_type="text/event-stream")

    async def _events(self, part: Callable[[], str]) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            begun, sent, reported = clock.monotonic(), "", clock.monotonic()
            while not self._stop.is_set() and clock.monotonic() - begun < LONGEST_SECONDS:
                text = await self._rendered(part)
                if text and text != sent:
                    sent, reported = text, clock.monotonic()
                    yield event("change", text)
                elif clock.monotonic() - reported > BEAT_SECONDS:
                    reported = clock.monotonic()
                    yield b": still here\n\n"
                await self._rest()
        finally:
            self._open -= 1

    async def _rendered(self, part: Callable[[], str]) -> str:
        """The part, or nothing while Redis is away: what is on the screen stays, with its time."""
        try:
            return await in_thread(part)
        except redis.RedisError:
            return ""

    async def _rest(self) -> None:
        end = clock.monotonic() + EVERY_SECONDS
        while not self._stop.is_set() and clock.monotonic() < end:
            await asyncio.sleep(STOP_SECONDS)


def event(name: str, text: str) -> bytes:
    """One event; every line of its text is a line of data."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode()
