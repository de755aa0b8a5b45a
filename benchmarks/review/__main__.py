"""Run ReviewBench: ``python -m benchmarks.review [--seeds N] [--queues PATTERN] [--output FOLDER] [--tuning]``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.review.cost import microseconds_per_asset
from benchmarks.review.queues import WINDOWS
from benchmarks.review.results import Results, measure, plot, table
from benchmarks.review.structures import structures, structures_table

FIRST_SEED = {"tuning": 1, "reported": 11}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, and write JSON and a plot."""
    options = _options(arguments)
    part = "tuning" if options.tuning else "reported"
    seeds = range(FIRST_SEED[part], FIRST_SEED[part] + options.seeds)
    began = time.perf_counter()
    results = measure(tuning=options.tuning, seeds=seeds, pattern=options.queues)
    found = structures()
    cost = {name: microseconds_per_asset(name) for name in ("worker, no numpy", "worker", "worker, embedding sent")}
    lines = [
        f"errors found in the reviewed tenth, as a share of the oracle's; {results.runs} runs of {WINDOWS} windows",
        f"\n{table(results)}\n\n{structures_table(found)}\n",
        *(f"{name}: {one:.0f} µs per asset" for name, one in cost.items()),
        f"{time.perf_counter() - began:.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if options.output:
        content = {**results.summary(), "structures": found, "microseconds_per_asset": cost}
        _write(options.output, results, content)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review")
    parser.add_argument("--seeds", type=int, default=3, help="orders of each queue")
    parser.add_argument("--queues", default="*", help="pattern of queue names")
    parser.add_argument("--tuning", action="store_true", help="the queues that settings were chosen by")
    parser.add_argument("--output", type=Path, help="folder for review.json and review.svg")
    return parser.parse_args(arguments)


def _write(folder: Path, results: Results, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    (folder / "review.json").write_text(json.dumps({"about": about, **content}, indent=1) + "\n")
    (folder / "review.svg").write_text(plot(results))


if __name__ == "__main__":
    main()
