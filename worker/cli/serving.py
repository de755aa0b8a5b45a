"""Commands that run until they are ended: ``start``, ``serve``, ``exporter``, ``webhook`` and ``redis``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.running import ended_by_signals, fail, load_settings, start_logging

if TYPE_CHECKING:
    from worker.settings.tree import Settings
    from worker.sources import SourceHost
    from worker.spool import Spool
    from worker.tracing import Tracer


@click.command()
@click.option("--unchecked", is_flag=True, help="Start even if a check fails.")
def start(unchecked: bool) -> None:
    """Run the worker until SIGTERM or SIGINT."""
    from worker.app import bind_runtime, create_app
    from worker.monitoring.checks import startup_checks

    settings = load_settings()
    start_logging(settings)
    refused = [check for check in startup_checks(settings) if check.level == "refused"]
    if refused and not unchecked:
        fail("\n".join(["will not start:", *(f"  {check.name}: {check.problem}; {check.fix}" for check in refused)]))
    app = create_app(settings)
    bind_runtime(app, settings)
    worker = app.Worker(
        pool="threads",
        loglevel=settings.log.level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    raise SystemExit(worker.exitcode or 0)


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
    from worker.environment.connections import MACHINE
    from worker.monitoring.status import Presence, Roster
    from worker.page.application import Page
    from worker.sources.http.server import HttpSource

    page = Page(settings, spool, stop, tracer)
    for source in host.sources:
        if isinstance(source, HttpSource):
            source.page = page.application()
    presence = Presence(Roster(spool.redis, spool.prefix), MACHINE.worker, "serve")
    return threading.Thread(target=page.status.watch, args=(stop, presence), name="page", daemon=True)


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:9465",
    show_default=True,
    envvar="EXPORTER_LISTEN",
    show_envvar=True,
    help="HOST:PORT of /metrics, /livez and /readyz.",
)
@click.option(
    "--rate-seconds",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Time that the rate behind the drain time looks back.",
)
def exporter(listen: str, rate_seconds: float) -> None:
    """Serve the metrics of all workers to Prometheus. Run one, however many workers there are."""
    from worker.monitoring.endpoint import Endpoint
    from worker.monitoring.exporter import MetricsExporter
    from worker.settings.groups import Address

    settings = load_settings()
    start_logging(settings)
    try:
        address = Address.parse(listen)
    except ValueError as error:
        fail(f"--listen: {error}")
    endpoint = Endpoint(address, MetricsExporter(settings, rate_seconds).routes())
    stop = threading.Event()
    with ended_by_signals(stop.set):
        try:
            endpoint.open()
        except OSError as error:
            fail(f"cannot listen on {address}: {error}")
        stop.wait()
        endpoint.close()


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, envvar="WEBHOOK_HOST", show_envvar=True, help="Where to listen."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8767,
    show_default=True,
    envvar="WEBHOOK_PORT",
    show_envvar=True,
    help="Where to listen; 0 for any free port.",
)
@click.option(
    "--secret", default="", envvar="WEBHOOK_SECRET", show_envvar=True, help="The Authorization header to expect."
)
def webhook(host: str, port: int, secret: str) -> None:
    """Receive Kili's webhooks, so that new labels are read soon and not after the next interval.

    Optional: the workers read new labels at every interval. A webhook makes the next collection cycle start at once.
    """
    from worker.feedback.collection_cycle import webhook_receiver
    from worker.feedback.store import IntervalLock
    from worker.wiring import spool_of

    settings = load_settings()
    start_logging(settings)
    spool = spool_of(settings)
    interval_lock = IntervalLock(spool.redis, spool.prefix)
    try:
        server = webhook_receiver(
            (host, port), interval_lock.put, known=lambda project: spool.ledger(project).received > 0, secret=secret
        )
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error}")
    with server, ended_by_signals(lambda: threading.Thread(target=server.shutdown).start()):
        click.echo(f"webhook receiver: http://{host}:{server.server_port}/", err=True)
        server.serve_forever(poll_interval=0.1)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=6379, show_default=True, help="Where to listen.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default="redis-data",
    show_default=True,
    help="Where its data and its log are kept.",
)
def redis(port: int, folder: Path) -> None:
    """Run a Redis for first steps on this machine, until Ctrl-C; not for production.

    It is the server that is installed here, or the one of the extra `redis-server`, with the settings that the worker
    needs. What it holds is in --folder and is there again the next time.
    """
    from worker.environment.embedded_redis import EmbeddedRedis

    try:
        with ended_by_signals(_interrupt, (signal.SIGTERM,)), EmbeddedRedis(folder, port=port) as server:
            click.echo(f"Redis: {server.url}, its data in {folder}")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        click.echo("Redis has ended", err=True)


def _interrupt() -> None:
    raise KeyboardInterrupt
