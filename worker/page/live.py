"""Server-sent events: the part of a page that changes, sent again whenever it has changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import redis
from starlette.responses import Response, StreamingResponse

from worker.environment import clock
from worker.page.answers import HEADERS, plain
from worker.page.threads import in_thread

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
