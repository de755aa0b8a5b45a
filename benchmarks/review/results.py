"""All rules on all queues, and what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.review.loop import AFTER, Found, run
from benchmarks.review.queues import stream
from benchmarks.review.rules import EMBEDDED, RULES
from worker.review.inspection import line_chart

BASELINE = "least confidence"


@dataclass
class Results:
    """Per rule and run: the plain stream, and the one with a re-deployed model (up to the windows after it)."""

    plain: dict[str, list[Found]] = field(default_factory=lambda: {name: [] for name in RULES})
    redeployed: dict[str, list[Found]] = field(default_factory=lambda: {name: [] for name in RULES})
    names: list[tuple[str, int]] = field(default_factory=list)

    @property
    def rules(self) -> list[str]:
        """The rules that ran on every stream."""
        return [rule for rule in RULES if len(self.plain[rule]) == self.runs]

    @property
    def runs(self) -> int:
        """Queues times seeds."""
        return len(self.names)

    def row(self, rule: str) -> dict[str, float]:
        """Means over all runs; ``against`` is the paired difference to the baseline, ``error`` its standard error."""
        plain = [found.share() for found in self.plain[rule]]
        paired = np.subtract(plain, [found.share() for found in self.plain[BASELINE]])
        return {
            "all": float(np.mean(plain)),
            "early": float(np.mean([found.early for found in self.plain[rule]])),
            "late": float(np.mean([found.late for found in self.plain[rule]])),
            "after_redeploy": float(np.mean([found.after_redeploy for found in self.redeployed[rule]])),
            "against": float(np.mean(paired)),
            "error": float(np.std(paired) / math.sqrt(max(1, len(paired) - 1))),
        }

    def per_queue(self, rule: str) -> dict[str, float]:
        """Mean over the seeds of each queue."""
        shares: dict[str, list[float]] = {}
        for (queue, _), found in zip(self.names, self.plain[rule], strict=True):
            shares.setdefault(queue, []).append(found.share())
        return {queue: float(np.mean(values)) for queue, values in shares.items()}

    def summary(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "queues": sorted({queue for queue, _ in self.names}),
            "seeds": sorted({seed for _, seed in self.names}),
            "rules": {rule: self.row(rule) | {"queues": self.per_queue(rule)} for rule in self.rules},
        }


def measure(names: Sequence[str], seeds: Sequence[int], *, data: Path, processes: int) -> Results:
    """Run every rule on the streams of these queues, in so many processes."""
    results = Results()
    results.names = [(queue, seed) for queue in names for seed in seeds]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for found in pool.map(_run_all, repeat(data), *zip(*results.names, strict=True)):
            for rule, (plain, redeployed) in found.items():
                results.plain[rule].append(plain)
                results.redeployed[rule].append(redeployed)
    return results


def _run_all(data: Path, queue: str, seed: int) -> dict[str, tuple[Found, Found]]:
    windows = stream(queue, seed, data=data)
    half = len(windows) // 2
    redeployed = stream(queue, seed, redeploy=True, data=data)[: half + AFTER]
    embedded = bool(windows and len(windows[0][0].columns))
    return {
        name: (run(make(), windows, seed, half), run(make(), redeployed, seed, half))
        for name, make in RULES.items()
        if embedded or name != EMBEDDED
    }


def table(results: Results) -> str:
    """For the terminal."""
    lines = [
        f"{'rule':36} {'all':>6} {'first 3':>8} {'2nd half':>9} {'re-deploy':>10}   against {BASELINE}",
        *(_line(rule, results.row(rule)) for rule in results.rules),
        "",
        "per queue: " + ", ".join(results.rules),
    ]
    shares = [results.per_queue(rule) for rule in results.rules]
    lines += [f"{queue:16} " + " ".join(f"{one[queue]:.3f}" for one in shares) for queue in sorted(shares[0])]
    return "\n".join(lines)


def _line(rule: str, row: dict[str, float]) -> str:
    shares = f"{row['all']:6.3f} {row['early']:8.3f} {row['late']:9.3f} {row['after_redeploy']:10.3f}"
    return f"{rule:36} {shares}   {row['against']:+.3f} ± {row['error']:.3f}"


def plot(results: Results) -> str:
    """Errors found so far, as a share of the oracle's, window by window."""
    lines = {}
    for rule in results.rules:
        windows = min(len(found.errors) for found in results.plain[rule])
        errors = np.cumsum(np.sum([found.errors[:windows] for found in results.plain[rule]], axis=0))
        possible = np.cumsum(np.sum([found.possible[:windows] for found in results.plain[rule]], axis=0))
        lines[rule] = (errors / possible).tolist()
    return line_chart("Errors found with a tenth reviewed", "window of 200", "share of the oracle's, so far", lines)
