"""``python -m tests.simulation --seeds 1-200 --days 1``: many seeds; a failing one prints the line that replays it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.run import Plan

HASHES = "PYTHONHASHSEED"
MONTHS_FROM = 7.0
"""Simulations of so many days and more are of everybody."""


def main() -> int:
    """Run the seeds; 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="a number, or first-last")
    parser.add_argument("--days", type=float, default=1.0, help="simulated days of each")
    parser.add_argument("--messages", type=float, help="predictions a day: 4000, over months 2000")
    parser.add_argument("--months", action="store_true", help="everybody acts; so it is from seven days on, anyway")
    parser.add_argument("--trace", type=Path, help="write everything that happens into this file")
    parser.add_argument("--without", default="", help="parts of the plan to leave out, one after another: 3,0,7")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for a smaller plan that fails too")
    parser.add_argument("--plant", action="store_true", help="let Kili forget labels, to see that it is found")
    parser.add_argument("--bare", action="store_true", help="new answers about known assets may have no content")
    parser.add_argument(
        "--revert",
        default="",
        help="take a mending back: carrier, grace, upload, read-lag, lost-lease, late-write, old-look, windows",
    )
    options = parser.parse_args()
    if os.environ.get(HASHES) != "0":  # the order of sets is a part of what a seed decides
        os.environ[HASHES] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    from tests.simulation.months import months_of
    from tests.simulation.run import plan_of, simulate
    from tests.simulation.shrink import line_of, shrunk

    months = options.months or options.days >= MONTHS_FROM
    messages = options.messages or (2000.0 if months else 4000.0)
    failed = 0
    for seed in _numbers(options.seeds):
        begun = time.process_time()
        if months:
            plan: Plan = months_of(seed, options.days, messages)
        else:
            plan = plan_of(seed, options.days, messages, forgets=options.plant, bare=options.bare)
        plan = replace(plan, reverted=options.revert)
        left_out = [int(part) for part in options.without.split(",") if part]
        for part in left_out:
            plan = plan.without(part)
        if options.trace:
            with options.trace.open("w", encoding="utf-8") as file:
                outcome = simulate(plan, file)
        else:
            outcome = simulate(plan)
        took = time.process_time() - begun
        figures = f"{outcome.published} published, {outcome.calls} calls, {outcome.steps} steps, {took:.1f} s of CPU"
        print(f"seed {seed}: {outcome.problem or 'ok'} ({figures}, trace {outcome.fingerprint})", flush=True)
        if outcome.problem:
            failed += 1
            if not options.no_shrink:
                left_out, outcome = shrunk(plan, outcome, left_out)
            print("  " + line_of(plan, messages, left_out, outcome), flush=True)
    return 1 if failed else 0


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
