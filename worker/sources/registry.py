"""The sources there are. A new one is a module beside this one, and a line here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from worker.settings.tree import Settings
from worker.sources.base import Source
from worker.sources.broker_queue import celery_source, rabbitmq_source
from worker.sources.http import http_source
from worker.sources.in_redis import InRedis
from worker.sources.kafka import kafka_source
from worker.sources.sqs import sqs_source


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
