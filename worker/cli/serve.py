"""``prediction-worker serve``."""

from __future__ import annotations

import threading

import click

from worker.cli.loading import fail, load_settings, start_logging
from worker.cli.signals import ended_by_signals

DRAIN_SECONDS = 15.0


@click.command()
def serve() -> None:
    """Take predictions over HTTP until SIGTERM or SIGINT; workers deliver them. Any number of instances may run.

    WORKER_SERVE__HOST and WORKER_SERVE__PORT say where it listens. A request is answered when what it holds is durable.
    """
    from worker.sources import SourceHost, WaitingLimit
    from worker.sources.http import check_address
    from worker.wiring import spool_of

    settings = load_settings()
    start_logging(settings)
    stop = threading.Event()
    closed = WaitingLimit(spool_of(settings), settings.intake.max_waiting)
    try:
        host = SourceHost(settings, closed, stop, names=["http"])
        check_address(settings)
    except (ValueError, OSError) as error:
        fail(str(error))
    with ended_by_signals(stop.set):
        host.start()
        stop.wait()
        host.join(DRAIN_SECONDS)
