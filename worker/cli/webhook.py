"""``prediction-worker webhook``."""

from __future__ import annotations

import threading

import click

from worker.cli.loading import fail, load_settings, start_logging
from worker.cli.signals import ended_by_signals


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
    from worker.feedback.interval_lock import IntervalLock
    from worker.feedback.webhook_receiver import receiver
    from worker.wiring import spool_of

    settings = load_settings()
    start_logging(settings)
    spool = spool_of(settings)
    interval_lock = IntervalLock(spool.redis, spool.prefix)
    try:
        server = receiver(
            (host, port), interval_lock.put, known=lambda project: spool.ledger(project).received > 0, secret=secret
        )
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error}")
    with server, ended_by_signals(lambda: threading.Thread(target=server.shutdown).start()):
        click.echo(f"webhook receiver: http://{host}:{server.server_port}/", err=True)
        server.serve_forever(poll_interval=0.1)
