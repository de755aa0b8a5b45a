"""What traces cost a worker: processor time per prediction with every trace sampled, and without, in turn.

    python -m benchmarks.speed.traces

The receiver of the spans is a process of its own that throws them away; what the worker takes to make, write and send
them is counted. Rounds alternate, so that a busy moment of the machine meets both.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import click

from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.race import run_us

PREDICTIONS = 5_000
ROUNDS = 5
SECONDS = 300.0
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


def measure(predictions: int, rounds: int) -> tuple[list[float], list[float]]:
    """Microseconds of processor time per prediction, of each round: without traces and with them."""
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert sink.stdout is not None  # noqa: S101
    traces = {
        "WORKER_TRACES__ENABLED": "true",
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.stdout.readline().strip()}",
    }
    found: tuple[list[float], list[float]] = ([], [])
    try:
        with Ground() as ground:
            for number in range(2 * rounds):
                is_on = number % 2 == 1
                ground.clear()
                _, cpu = run_us(ground, Work(predictions), SECONDS, traces if is_on else {})
                found[is_on].append(cpu / predictions * 1e6)
                click.echo(f"{'on' if is_on else 'off'}: {found[is_on][-1]:.0f} µs", err=True)
    finally:
        sink.kill()
        sink.wait()
    return found


@click.command()
@click.option("--predictions", default=PREDICTIONS, show_default=True)
@click.option("--rounds", default=ROUNDS, show_default=True)
def main(predictions: int, rounds: int) -> None:
    """Print both, and the share that traces add."""
    off, on = measure(predictions, rounds)
    for name, found in (("off", off), ("on", on)):
        click.echo(f"{name}: {median(found):.0f} µs a prediction ({min(found):.0f} to {max(found):.0f})")
    click.echo(f"traces add {_added(median(off), median(on))}; of the least {_added(min(off), min(on))}")


def _added(off: float, on: float) -> str:
    return f"{100 * (on / off - 1):.1f} %"


if __name__ == "__main__":
    main()
