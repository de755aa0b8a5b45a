"""``prediction-worker publish``."""

from __future__ import annotations

import codecs
import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING

import click
import redis

from worker.cli.loading import fail, load_settings
from worker.cli.wording import counted

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from worker.settings.tree import Settings

VIA = ("celery", "stream", "http", "kafka", "rabbitmq", "sqs")
GZIP = b"\x1f\x8b"


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--via", type=click.Choice(VIA), default="stream", help="The source to send to.")
@click.option("--chunk", type=click.IntRange(1, 10_000), default=100, help="Predictions sent at once.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def publish(file: IO[bytes], via: str, chunk: int, quiet: bool) -> None:
    """Send FILE (JSON Lines, one prediction a line, gzip or not; - for standard input) to a source.

    Lines are sent as they are: the worker says what is wrong with them.
    """
    from kombu.exceptions import OperationalError

    from worker.producer import Publisher

    settings = load_settings()
    if via not in ("celery", "stream"):
        _send(file, via, settings, chunk, quiet)
        return
    if via == "stream" and not settings.broker_is_redis:
        fail("the stream needs a Redis broker; use --via celery")
    intake = settings.intake
    publisher = Publisher(
        settings.broker,
        via="celery" if via == "celery" else "stream",
        queue=intake.queue,
        inbox=intake.inbox,
        chunk=chunk,
    )
    try:
        with publisher, _progress(file, quiet) as advance:
            for line, read in _lines(file):
                publisher.send(line)
                advance(read)
    except (redis.RedisError, OperationalError) as error:
        fail(f"the broker took {counted(publisher.sent, 'prediction')} and then no more: {error}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fail(f"{file.name}: the gzip file is broken: {error}; sent before: {counted(publisher.sent, 'prediction')}")
    click.echo(f"{counted(publisher.sent, 'prediction')} sent")


def _send(file: IO[bytes], via: str, settings: Settings, chunk: int, quiet: bool) -> None:
    """Send to a source that has a server of its own, chunk by chunk."""
    from worker.cli.sending import NotSent, sending

    sent = 0
    try:
        with sending(via, settings) as send, _progress(file, quiet) as advance:
            lines = _lines(file)
            while part := list(islice(lines, chunk)):
                send([line for line, _ in part])
                sent += len(part)
                advance(sum(read for _, read in part))
    except NotSent as error:
        fail(f"the {via} source took {counted(sent, 'prediction')} and then no more: {error}")
    except ModuleNotFoundError as error:
        fail(f"--via {via} needs {error.name}: pip install 'kili-prediction-worker[{via}]'")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fail(f"{file.name}: the gzip file is broken: {error}; sent before: {counted(sent, 'prediction')}")
    click.echo(f"{counted(sent, 'prediction')} sent")


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines that are not empty, each with the bytes of FILE that it took; one document of many lines is refused."""
    peek = getattr(file, "peek", None)
    packed = peek is not None and peek(len(GZIP))[: len(GZIP)] == GZIP
    lines: Iterable[bytes] = gzip.GzipFile(fileobj=file) if packed else file
    before = b""
    for line in lines:
        text = line.strip() if before else line.removeprefix(codecs.BOM_UTF8).strip()
        if not before and text in (b"[", b"{"):
            fail(f"{file.name} is one JSON document over many lines; write one prediction a line, as jq -c '.[]' does")
        before = before or text
        if text:
            yield text, 0 if packed else len(line)


@contextmanager
def _progress(file: IO[bytes], quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar on standard error where there is a length to measure by; to be told of bytes that are read."""
    length = None if quiet else _length(file)
    if length is None:
        yield lambda _bytes: None
        return
    bar: ProgressBar[int]
    with click.progressbar(length=length, label="publishing", file=click.get_text_stream("stderr")) as bar:
        yield bar.update


def _length(file: IO[bytes]) -> int | None:
    """Bytes of a file on disk that are left to read; None for a pipe, a terminal, a device."""
    try:
        found = os.fstat(file.fileno())
        return found.st_size - file.tell() if stat.S_ISREG(found.st_mode) else None
    except OSError:
        return None
