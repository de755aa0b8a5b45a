"""What traces and metrics cost a worker: processor time per prediction with and without them, side by side.

    python -m benchmarks.speed.overhead

Both workers live in this process and take turns, a few thousand predictions each, so that a busy moment of the machine
meets both. All of it is counted: intake, delivery, and making, writing and sending what is measured. What throws the
spans away, Redis and Kili are processes of their own.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import click

from benchmarks.speed.competitors.us import settings_of
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from worker.runtime import Runtime
from worker.settings.tree import Settings

PREDICTIONS = 2_000
ROUNDS = 12
WARM_UP = 3
SINK = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Side:
    """A worker that works when it is told to.

    Args:
        ground: what it stands on.
        extra: its settings, beside those of the ground.
    """

    def __init__(self, ground: Ground, extra: Mapping[str, str]) -> None:
        with patch.dict(os.environ, {**settings_of(ground), "WORKER_HTTP__LISTEN": "", **extra}):
            self._inbox = Settings().intake.inbox
            self._runtime = Runtime(Settings())
        self._ground = ground

    def microseconds(self, work: Work) -> float:
        """Processor time of this process for each of the predictions, from the inbox to Kili."""
        before = self._ground.spool.ledger().delivered
        self._ground.stage_stream(work, self._inbox)()
        begun = time.process_time()
        while self._runtime.reader.step():
            pass
        while self._runtime.deliverer.deliver(self._ground.project):
            pass
        self._flush()
        taken = time.process_time() - begun
        delivered = self._ground.spool.ledger().delivered - before
        if delivered != work.count:
            raise RuntimeError(f"{delivered} of {work.count} predictions were delivered")
        return 1e6 * taken / work.count

    def close(self) -> None:
        """End it."""
        self._runtime.close()

    def _flush(self) -> None:
        """Spans that still wait are sent at this side's expense."""
        processor: Any = getattr(self._runtime.tracer, "_processor", None)
        if processor is not None:
            processor.force_flush()


def measure(extra: Mapping[str, str], predictions: int, rounds: int) -> list[tuple[float, float]]:
    """Microseconds of each round: with the settings as they are by default, but for metrics, and with ``extra``."""
    found: list[tuple[float, float]] = []
    with Ground() as ground:
        off, on = Side(ground, {}), Side(ground, extra)
        gc.collect()
        gc.freeze()
        for number in range(WARM_UP + rounds):
            works = [Work(predictions, (2 * number + turn) * predictions) for turn in range(2)]
            turns = ((off, works[0]), (on, works[1])) if number % 2 else ((on, works[1]), (off, works[0]))
            taken = {side: side.microseconds(work) for side, work in turns}
            if number >= WARM_UP:
                found.append((taken[off], taken[on]))
        off.close()
        on.close()
    return found


@contextmanager
def traces() -> Iterator[dict[str, str]]:
    """Settings with which every trace is sampled and sent."""
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert sink.stdout is not None  # noqa: S101
        yield {
            "WORKER_TRACES__ENABLED": "true",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.stdout.readline().strip()}",
        }
    finally:
        sink.kill()
        sink.wait()


@contextmanager
def metrics() -> Iterator[dict[str, str]]:
    """Settings with which metrics are counted."""
    yield {"WORKER_HTTP__LISTEN": "127.0.0.1:0"}


@click.command()
@click.argument("what", type=click.Choice(["traces", "metrics"]), nargs=-1)
@click.option("--predictions", default=PREDICTIONS, show_default=True, help="Of each turn.")
@click.option("--rounds", default=ROUNDS, show_default=True)
def main(what: tuple[str, ...], predictions: int, rounds: int) -> None:
    """Print what WHAT costs, by default traces and metrics."""
    for name, settings in (("traces", traces), ("metrics", metrics)):
        if what and name not in what:
            continue
        with settings() as extra:
            found = measure(extra, predictions, rounds)
        off, on = (sorted(column)[: len(found) // 4 + 1] for column in zip(*found, strict=True))
        shares = sorted(100 * (after / before - 1) for before, after in found)
        quarter = len(shares) // 4
        click.echo(
            f"{name}: {median(off):.0f} → {median(on):.0f} µs a prediction in the quickest quarter of the rounds, "
            f"{100 * (median(on) / median(off) - 1):+.1f} %; round by round {median(shares):+.1f} % "
            f"(half of them between {shares[quarter]:+.1f} and {shares[-quarter - 1]:+.1f} %)"
        )


if __name__ == "__main__":
    main()
