"""``prediction-worker publish``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Literal

import click
import redis

from worker.cli.loading import fail, load_settings


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--via", type=click.Choice(["celery", "stream"]), default="stream", help="The door to use.")
@click.option("--chunk", type=click.IntRange(1, 10_000), default=100, help="Predictions sent at once.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def publish(file: IO[bytes], via: Literal["celery", "stream"], chunk: int, quiet: bool) -> None:
    """Send FILE (JSON Lines, one prediction a line; - for standard input) to a door.

    Lines are sent as they are: the worker says what is wrong with them.
    """
    from kombu.exceptions import OperationalError

    from worker.producer import Publisher

    settings = load_settings()
    if via == "stream" and not settings.broker_is_redis:
        fail("the stream door needs a Redis broker; use --via celery")
    sent = 0
    try:
        publisher = Publisher(
            settings.broker, via=via, queue=settings.intake.queue, inbox=settings.intake.inbox, chunk=chunk
        )
        with publisher, _progress(file, quiet) as bar:
            for line in file:
                if line.strip():
                    publisher.send(line.strip())
                    sent += 1
                bar.update(len(line))
    except (redis.RedisError, OperationalError) as error:
        fail(f"the broker cannot be reached, after {sent} predictions: {error}")
    click.echo(f"{sent} predictions sent")


def _progress(file: IO[bytes], quiet: bool) -> Any:
    length = None
    if file.seekable():
        start = file.tell()
        length = file.seek(0, 2)
        file.seek(start)
    stream = Path(os.devnull).open("w", encoding="utf-8") if quiet else click.get_text_stream("stderr")  # noqa: SIM115
    return click.progressbar(length=length or None, label="publishing", file=stream)
