"""``prediction-worker exporter``."""

from __future__ import annotations

import threading

import click

from worker.cli.loading import fail, load_settings, start_logging
from worker.cli.signals import ended_by_signals


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
    from worker.settings.address import Address

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
