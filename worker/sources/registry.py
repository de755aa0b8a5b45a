"""The sources there are, and the threads of a process that run them and give them the inbox.

A new source is a module beside this one, and a line here.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

import redis

from worker.environment import clock
from worker.environment.connections import MACHINE, Environment
from worker.intake import InboxFull, RawMessage, Stored
from worker.settings.tree import Settings
from worker.sources.base import InboxIsFull, InboxUnavailable, Put, ReceivingSource, Source
from worker.sources.broker_queue import celery_source, rabbitmq_source
from worker.sources.http import http_source
from worker.sources.kafka import kafka_source
from worker.sources.sqs import sqs_source
from worker.spool import Spool
from worker.wiring import inbox_of, put_limits_of, spool_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
REOPEN = 0.8
"""Share of the most that may wait at which intake goes on."""

TEND_SECONDS = 1.0
"""So often the wait of logged events is ended whose other half has not come in time, and the lag is noted."""


def _celery(settings: Settings) -> Source:
    return InRedis("celery") if settings.broker_is_redis else celery_source(settings)


SOURCES: dict[str, Callable[[Settings], Source]] = {
    "celery": _celery,
    "stream": lambda _settings: InRedis("stream"),
    "http": http_source,
    "rabbitmq": rabbitmq_source,
    "kafka": kafka_source,
    "sqs": sqs_source,
}
"""By the name that WORKER_SOURCES gives."""


class UnknownSource(ValueError):
    """WORKER_SOURCES names a source that does not exist."""

    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(SOURCES)}"
        super().__init__(f"{name!r} is no source; {known}")


def make_sources(settings: Settings, names: Sequence[str] | None = None) -> list[Source]:
    """The sources of these names, by default those that the settings name.

    Raises:
        UnknownSource: one of them does not exist.
        ValueError: a setting that one of them needs is missing; names it.
    """
    chosen = settings.sources if names is None else names
    for name in chosen:
        if name not in SOURCES:
            raise UnknownSource(name)
    return [SOURCES[name](settings) for name in dict.fromkeys(chosen)]


class InRedis:
    """A source that needs no process of ours between producer and inbox; running it is waiting for the end.

    Producers add to the inbox stream themselves, and a Celery queue in the same Redis is moved by the script that reads
    the inbox: a message is written to the inbox before it leaves its list.

    Args:
        name: of the source.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ahead = 0

    def run(self, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:  # noqa: ARG002
        """Wait for the end."""
        clock.wait(stop)


class SourceHost:
    """The sources of one process.

    Args:
        settings: name the sources.
        closed: whether intake is paused because too much waits.
        stop: set when the process ends.
        environment: where it runs.
        names: of the sources, in the place of those of the settings.

    Raises:
        ValueError: a source does not exist, or a setting that it needs is missing.
    """

    def __init__(
        self,
        settings: Settings,
        closed: Callable[[], bool],
        stop: threading.Event,
        environment: Environment = MACHINE,
        names: Sequence[str] | None = None,
    ) -> None:
        self._inbox = inbox_of(settings, environment=environment)
        self._limits = put_limits_of(settings)
        self._closed = closed
        self._spool = spool_of(settings, environment)
        self._worker = environment.worker
        self._stop = stop
        self.sources = make_sources(settings, names)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to receive."""
        runs = [(source.name, lambda source=source: self._run(source)) for source in self.sources]
        self._threads = [
            threading.Thread(target=run, name=f"source-{name}", daemon=True)
            for name, run in (*runs, ("tend", self._tend))
        ]
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the sources have ended, once ``stop`` is set."""
        end = clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - clock.monotonic()))

    def may_take(self, ahead: int) -> bool:
        """Whether fewer entries are in the inbox and intake is not paused; False while Redis is away."""
        try:
            return not self._closed() and self._inbox.length() < ahead
        except redis.RedisError as error:
            logger.debug("inbox not reached: %s", error, extra={"action": "source_waits"})
            return False

    def _put(self, messages: Sequence[RawMessage], source: str, *, strict: bool = False) -> Sequence[Stored]:
        try:
            if self._closed():
                raise InboxIsFull("intake is paused: too much waits")
            return self._inbox.put(messages, source, self._limits, strict=strict)
        except InboxFull as error:
            raise InboxIsFull(f"the inbox is full: {error}") from error
        except redis.RedisError as error:
            raise InboxUnavailable(f"{type(error).__name__}: {error}") from error

    def _run(self, source: Source) -> None:
        """Run a source until the process ends; one that fails in a way that nobody foresaw begins again."""
        while not self._stop.is_set():
            try:
                source.run(partial(self._put, source=source.name), partial(self.may_take, source.ahead), self._stop)
            except Exception:
                message = "source %s begins again"
                logger.exception(message, source.name, extra={"action": "thread_failed", "source": source.name})
                clock.wait(self._stop, 1)

    def _tend(self) -> None:
        """End the wait of halves, and let the fleet know what the sources' servers still hold."""
        while not clock.wait(self._stop, TEND_SECONDS):
            try:
                for source in self.sources:
                    if isinstance(source, ReceivingSource) and source.lag is not None:
                        self._spool.note_lag(source.name, self._worker, source.lag)
                while self._inbox.expire_halves():
                    pass
            except redis.RedisError as error:
                logger.debug("not tended: %s", error, extra={"action": "source_waits"})


class WaitingLimit:
    """Whether so much waits that intake is paused, for processes that do not admit; asked of Redis now and then.

    Args:
        spool: asked how much waits.
        most: predictions that may wait.
    """

    def __init__(self, spool: Spool, most: int) -> None:
        self._spool = spool
        self._most = most
        self._next = 0.0
        self._is_closed = False

    def __call__(self) -> bool:
        """Whether intake is paused. Raises redis.RedisError."""
        if clock.monotonic() >= self._next:
            self._next = clock.monotonic() + LOOK_SECONDS
            self._is_closed = self._spool.ledger().waiting >= self._most * (REOPEN if self._is_closed else 1)
        return self._is_closed
