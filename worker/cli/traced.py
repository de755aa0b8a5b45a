"""Commands that do what the spans of traces tell of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli.loading import fail
from worker.settings.tree import Settings
from worker.tracing import Tracer
from worker.wiring import tracer_of


@contextmanager
def traced(settings: Settings) -> Iterator[Tracer]:
    """The tracer that the settings ask for; what is left of its spans is sent at the end."""
    try:
        tracer = tracer_of(settings)
    except ValueError as error:
        fail(str(error))
    try:
        yield tracer
    finally:
        tracer.close()
