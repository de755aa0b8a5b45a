"""``python -m benchmarks.feedback [part …]``: the figures that docs/feedback.md shows."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import RESULTS
from benchmarks.feedback import audit_drift, coverage, months, speed, stream_drift
from benchmarks.feedback.goals import Part
from benchmarks.feedback.pictures import picture
from benchmarks.feedback.workers import Spread, processes

Measure = Callable[[bool, Spread[Any]], Part]

PARTS: dict[str, tuple[str, Measure]] = {
    "coverage": (
        "Agreement of live traffic: days of 1,000 predictions, 10 % priority reviews and 5 % audits",
        lambda short, spread: coverage.part(coverage.Plan(1, 4, 10) if short else coverage.Plan(), spread),
    ),
    "audits": ("Drift in a stream of audits", lambda short, spread: audit_drift.part(40 if short else 500, spread)),
    "streams": ("Drift in real models' streams", lambda short, spread: stream_drift.part(1 if short else 13, spread)),
    "months": (
        "Drift alarms in production, over half a year",
        lambda short, spread: months.part(months.SHORT if short else months.Plan(), spread),
    ),
    "speed": ("Cost", lambda short, spread: speed.part(5_000 if short else 100_000)),  # noqa: ARG005
}

DRAWN = {"coverage", "streams"}
"""Parts that the picture shows."""


def main() -> None:
    """Run the parts that are named, or all, print their tables, and write their figures."""
    options = _options()
    parts = options.parts or list(PARTS)
    with processes(options.processes) as spread:
        for name in parts:
            title, measure = PARTS[name]
            sys.stderr.write(f"  {name} …\n")
            begun = time.monotonic()
            found = measure(options.short, spread)
            seconds = round(time.monotonic() - begun)
            sys.stdout.write(f"## {title}\n\n{found.text}\n\n{seconds} s\n\n")
            sys.stdout.flush()
            if options.output:
                _write(options.output, name, found, seconds)
    if options.output and DRAWN & set(parts):
        _draw(options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--short", action="store_true", help="fewer repetitions, a minute or two; writes nothing")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="simulations side by side")
    parser.add_argument("--output", type=Path, help="folder for feedback.json and .svg; docs/benchmarks unless --short")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{min(unknown)} is none of {', '.join(PARTS)}")
    if options.output is None and not options.short:
        options.output = RESULTS
    return options


def _write(folder: Path, name: str, found: Part, seconds: int) -> None:
    """Replace one part's figures; those of parts that did not run stay."""
    path = folder / "feedback.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    about = {"python": platform.python_version(), "machine": platform.machine(), "seconds": seconds}
    known[name] = {"about": about, "goals": [goal.row for goal in found.goals], "figures": found.figures}
    path.write_text(json.dumps(known, indent=1) + "\n")


def _draw(folder: Path) -> None:
    """Draw what is written, where both parts of the picture have run."""
    known = json.loads((folder / "feedback.json").read_text())
    if set(known) >= DRAWN:
        (folder / "feedback.svg").write_text(picture(known["coverage"]["figures"], known["streams"]["figures"]))


if __name__ == "__main__":
    main()
