"""Run ReviewBench: ``python -m benchmarks.review [--data FILE] [--seeds N] [--queues PATTERN] [--output FOLDER]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded

import numpy as np

from benchmarks.review.cost import microseconds_per_asset
from benchmarks.review.queues import DATA, queues
from benchmarks.review.results import Results, measure, plot, table
from benchmarks.review.structures import structures, structures_table

FIRST_SEED = {"tuning": 1, "reported": 101}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, and write JSON and a plot."""
    options = _options(arguments)
    began = time.perf_counter()
    results = _measured(options)
    content = results.summary()
    lines = [
        f"errors found in the reviewed tenth, as a share of the oracle's; {results.runs} runs",
        f"\n{table(results)}\n",
    ]
    if options.data == DATA:
        found = structures()
        cost = {name: microseconds_per_asset(name) for name in results.rules if name.startswith("worker")}
        content |= {"structures": found, "microseconds_per_asset": cost}
        lines += [f"{structures_table(found)}\n", *(f"{name}: {one:.0f} µs per asset" for name, one in cost.items())]
    sys.stdout.write("\n".join([*lines, f"{time.perf_counter() - began:.0f} s"]) + "\n")
    if options.output:
        _write(options.output, results, content)


def _measured(options: argparse.Namespace) -> Results:
    part = "tuning" if options.tuning else "reported"
    names = [
        name
        for name in queues(options.data)
        if fnmatch(name, options.queues) and (options.data != DATA or name.startswith("tuning-") == options.tuning)
    ]
    if not names:
        sys.exit(f"no queue matches {options.queues}")
    seeds = range(FIRST_SEED[part], FIRST_SEED[part] + options.seeds)
    return measure(names, seeds, data=options.data, processes=options.processes)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review")
    parser.add_argument("--data", type=Path, default=DATA, help="queues of your own (.npz), see docs/review.md")
    parser.add_argument("--seeds", type=int, default=3, help="orders of each queue")
    parser.add_argument("--queues", default="*", help="pattern of queue names")
    parser.add_argument("--tuning", action="store_true", help="the queues and seeds that settings were chosen by")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="folder for review.json and review.svg")
    return parser.parse_args(arguments)


def _write(folder: Path, results: Results, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    (folder / "review.json").write_text(json.dumps({"about": about, **content}, indent=1) + "\n")
    (folder / "review.svg").write_text(plot(results))


if __name__ == "__main__":
    main()
