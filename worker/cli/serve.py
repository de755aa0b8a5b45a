"""``prediction-worker serve``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from worker.cli.loading import fail, load_settings, start_logging
from worker.cli.signals import ended_by_signals

if TYPE_CHECKING:
    from worker.settings.tree import Settings
    from worker.sources import SourceHost
    from worker.spool import Spool
    from worker.tracing import Tracer

DRAIN_SECONDS = 15.0


@click.command()
def serve() -> None:
    """Take predictions over HTTP until SIGTERM or SIGINT; workers deliver them. Any number of instances may run.

    WORKER_SERVE__HOST and WORKER_SERVE__PORT say where it listens. A request is answered when what it holds is durable.
    With WORKER_PAGE__TOKEN or WORKER_PAGE__READ_TOKEN the operator's page is at / of the same address.
    """
    from worker.sources import SourceHost, WaitingLimit
    from worker.sources.http import check_address
    from worker.tracing import NO_TRACES
    from worker.wiring import spool_of, tracer_of

    settings = load_settings()
    start_logging(settings)
    stop = threading.Event()
    spool = spool_of(settings)
    closed = WaitingLimit(spool, settings.intake.max_waiting)
    try:
        host = SourceHost(settings, closed, stop, names=["http"])
        check_address(settings)
        tracer = tracer_of(settings) if settings.page.is_on else NO_TRACES  # only the page does what spans tell of
        watch = _page_of(settings, spool, host, stop, tracer) if settings.page.is_on else None
    except (ValueError, OSError) as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        fail(f"the operator's page needs {error.name}: pip install 'kili-prediction-worker[http]'")
    with ended_by_signals(stop.set):
        host.start()
        if watch is not None:
            watch.start()
        stop.wait()
        host.join(DRAIN_SECONDS)
        if watch is not None:
            watch.join(DRAIN_SECONDS)
        tracer.close()


def _page_of(
    settings: Settings, spool: Spool, host: SourceHost, stop: threading.Event, tracer: Tracer
) -> threading.Thread:
    """Put the operator's page beside the HTTP source; the thread that keeps its figures fresh, not yet started."""
    from worker.environment.machine import MACHINE
    from worker.monitoring.roster import Presence, Roster
    from worker.page.application import Page
    from worker.sources.http.server import HttpSource

    page = Page(settings, spool, stop, tracer)
    for source in host.sources:
        if isinstance(source, HttpSource):
            source.page = page.application()
    presence = Presence(Roster(spool.redis, spool.prefix), MACHINE.worker, "serve")
    return threading.Thread(target=page.status.watch, args=(stop, presence), name="page", daemon=True)
