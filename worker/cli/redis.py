"""``prediction-worker redis``."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from worker.cli.signals import ended_by_signals


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
