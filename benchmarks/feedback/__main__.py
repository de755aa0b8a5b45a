"""``python -m benchmarks.feedback [coverage] [audits] [streams] [speed] [--short]``: the tables of docs/feedback.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks.feedback import audit_drift, coverage, speed, stream_drift
from benchmarks.feedback.queues import load_queues
from benchmarks.feedback.stream import Setting


def _say(words: str) -> None:
    sys.stderr.write(f"  {words} …\n")


def _coverage(short: bool) -> str:
    found = []
    for queue in load_queues():
        _say(queue.name)
        found.append(coverage.measure(queue, 25 if short else 500, Setting()))
    return coverage.table(found)


def _audits(short: bool) -> str:
    return audit_drift.table(40 if short else 400, _say)


def _streams(short: bool) -> str:
    return stream_drift.table(load_queues(), 1 if short else 5, _say)


def _speed(short: bool) -> str:
    return speed.table(5_000 if short else 100_000)


PARTS: dict[str, tuple[str, Callable[[bool], str]]] = {
    "coverage": ("Agreement of live traffic, 1,000 predictions, 10 % priority and 5 % audits", _coverage),
    "audits": ("Drift in a stream of audits", _audits),
    "streams": ("Drift in real models' streams", _streams),
    "speed": ("Cost", _speed),
}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--short", action="store_true", help="fewer repetitions, a minute or two")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"{min(unknown)} is none of {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        title, measure = PARTS[name]
        _say(name)
        begun = time.monotonic()
        found = measure(options.short)
        sys.stdout.write(f"## {title}\n\n{found}\n\n{time.monotonic() - begun:.0f} s\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
