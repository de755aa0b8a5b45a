"""What brings messages into the inbox: the port that every source implements, and the loop of those that receive.

A source acknowledges only what ``put`` has returned for. So a process that dies loses nothing: what was not
acknowledged is delivered again, and what is delivered again with the same id is taken once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.environment import clock
from worker.intake import RawMessage, Stored

logger = logging.getLogger(__name__)

AHEAD = 200
"""Entries of the inbox at which sources that receive let admission catch up."""

LAG_SECONDS = 5.0
"""So often the server is asked how much it still holds."""

FULL_WAIT = 0.02
TROUBLE_WAIT = 0.5
TROUBLE_WAIT_CAP = 10.0


class Put(Protocol):
    """Stores messages, all or none. Raises InboxUnavailable: none is stored, and the source keeps them."""

    def __call__(self, messages: Sequence[RawMessage], *, strict: bool = False) -> Sequence[Stored]:
        """What became of each; ``strict`` raises IdReused for a known id with other content."""


class InboxUnavailable(Exception):
    """The inbox takes nothing now: Redis is away or full, or too much waits."""


class InboxIsFull(InboxUnavailable):
    """Too much waits."""


class SourceError(Exception):
    """The source's own server is away or refuses; its words are for the log."""


class GivenBack(SourceError):
    """The source ends its connection of itself, so that its server may give the messages to others."""


class Source(Protocol):
    """Brings messages into the inbox. Acknowledge only what ``put`` has returned for."""

    name: str
    ahead: int
    """Entries of the inbox up to which it brings more."""

    def run(self, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:
        """Bring messages until stopped; outlives every failure of its own server."""


class Receiver(Protocol):
    """A connection to a server from which messages are received and to which they are acknowledged."""

    def open(self) -> None:
        """Connect. Raises SourceError."""

    def receive(self) -> Sequence[RawMessage]:
        """The next messages, after a wait of a second at most; none when there are none. Raises SourceError."""

    def acknowledge(self) -> None:
        """The messages of the last ``receive`` are stored. Raises SourceError: they will come again."""

    def rest(self) -> None:
        """Nothing is taken now; keep the connection, and what was received, alive. Raises SourceError."""

    def lag(self) -> int:
        """Messages that the server holds and are not in the inbox yet, as far as it tells. Raises SourceError."""

    def close(self) -> None:
        """End the connection; what is not acknowledged goes back. Raises nothing."""


class ReceivingSource:
    """A source that receives from a server: one batch at a time, acknowledged when it is stored.

    Args:
        name: of the source.
        connect: makes a receiver, not yet open.
    """

    def __init__(self, name: str, connect: Callable[[], Receiver]) -> None:
        self.name = name
        self.ahead = AHEAD
        self._connect = connect
        self.trouble = ""
        """What keeps it from receiving, empty when nothing does."""
        self.lag: int | None = None
        """Messages that the server still holds, when it was last asked; None while that is not known."""
        self._asked = float("-inf")

    def run(self, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:
        """Receive until stopped; a connection that fails is opened again, later and later."""
        pause = TROUBLE_WAIT
        while not stop.is_set():
            receiver = self._connect()
            try:
                receiver.open()
                pause = TROUBLE_WAIT
                self._receive(receiver, put, may_take, stop)
            except GivenBack as error:
                logger.info(
                    "source %s: %s", self.name, error, extra={"action": "source_given_back", "source": self.name}
                )
            except SourceError as error:
                self.lag = None
                self._report(str(error))
            finally:
                receiver.close()
            clock.wait(stop, pause)
            pause = min(2 * pause, TROUBLE_WAIT_CAP)

    def _receive(self, receiver: Receiver, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:
        while not stop.is_set():
            self._measure_lag(receiver)
            if not may_take():
                receiver.rest()
                clock.wait(stop, FULL_WAIT)
                continue
            messages = receiver.receive()
            self._report("")
            if messages and self._stored(messages, receiver, put, stop):
                receiver.acknowledge()

    def _stored(self, messages: Sequence[RawMessage], receiver: Receiver, put: Put, stop: threading.Event) -> bool:
        """Whether the messages are in the inbox; False when the process stops before."""
        while not stop.is_set():
            try:
                put(messages)
            except InboxUnavailable as error:
                logger.debug("not stored yet: %s", error, extra={"action": "source_waits", "source": self.name})
                receiver.rest()
                clock.wait(stop, FULL_WAIT)
            else:
                return True
        return False

    def _measure_lag(self, receiver: Receiver) -> None:
        if clock.monotonic() - self._asked > LAG_SECONDS:
            self._asked = clock.monotonic()
            self.lag = receiver.lag()

    def _report(self, trouble: str) -> None:
        """Log a trouble when it begins and when it ends."""
        if trouble and trouble != self.trouble:
            message = "source %s cannot receive: %s"
            logger.warning(message, self.name, trouble, extra={"action": "source_failed", "source": self.name})
        if self.trouble and not trouble:
            logger.info("source %s receives again", self.name, extra={"action": "source_resumed", "source": self.name})
        self.trouble = trouble
