"""All rules on all queues, and what came out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import numpy as np

from benchmarks.review.loop import AFTER, Found, run
from benchmarks.review.queues import WINDOWS, queues, stream
from benchmarks.review.rules import RULES
from worker.review.plot import line_chart

BASELINE = "least confidence"


@dataclass
class Results:
    """Per rule and run: the plain stream, and the one with a re-deployed model (up to the windows after it)."""

    plain: dict[str, list[Found]] = field(default_factory=lambda: {name: [] for name in RULES})
    redeployed: dict[str, list[Found]] = field(default_factory=lambda: {name: [] for name in RULES})
    names: list[tuple[str, int]] = field(default_factory=list)

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
            "rules": {rule: self.row(rule) | {"queues": self.per_queue(rule)} for rule in RULES},
        }


def measure(*, tuning: bool, seeds: Iterable[int], pattern: str = "*") -> Results:
    """Run every rule on every stream."""
    results = Results()
    chosen = [name for name in queues() if name.startswith("tuning-") == tuning and fnmatch(name, pattern)]
    for queue in chosen:
        for seed in seeds:
            windows = stream(queue, seed)
            redeployed = stream(queue, seed, redeploy=True)[: WINDOWS // 2 + AFTER]
            results.names.append((queue, seed))
            for name, make in RULES.items():
                results.plain[name].append(run(make(), windows, seed))
                results.redeployed[name].append(run(make(), redeployed, seed))
    return results


def table(results: Results) -> str:
    """For the terminal."""
    lines = [
        f"{'rule':36} {'all':>6} {'first 3':>8} {'2nd half':>9} {'re-deploy':>10}   against {BASELINE}",
        *(_line(rule, results.row(rule)) for rule in RULES),
        "",
        "per queue: " + ", ".join(RULES),
    ]
    shares = [results.per_queue(rule) for rule in RULES]
    lines += [f"{queue:16} " + " ".join(f"{one[queue]:.3f}" for one in shares) for queue in sorted(shares[0])]
    return "\n".join(lines)


def _line(rule: str, row: dict[str, float]) -> str:
    shares = f"{row['all']:6.3f} {row['early']:8.3f} {row['late']:9.3f} {row['after_redeploy']:10.3f}"
    return f"{rule:36} {shares}   {row['against']:+.3f} ± {row['error']:.3f}"


def plot(results: Results) -> str:
    """Errors found so far, as a share of the oracle's, window by window."""
    lines = {}
    for rule in RULES:
        errors = np.cumsum(np.sum([found.errors for found in results.plain[rule]], axis=0))
        possible = np.cumsum(np.sum([found.possible for found in results.plain[rule]], axis=0))
        lines[rule] = (errors / possible).tolist()
    return line_chart("Errors found with a tenth reviewed", "window of 200", "share of the oracle's, so far", lines)
