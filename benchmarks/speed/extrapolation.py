"""What a run that was stopped would have taken, and what a call limit makes of a run."""

from __future__ import annotations

import os

from benchmarks.speed.race import Result

SDK_CALLS_PER_MINUTE = 500
"""The SDK's own limit, per process; it holds with and without a limit of Kili."""


def seconds_for(result: Result, predictions: int, calls_per_minute: int = 0) -> float:
    """Seconds for so many predictions at the pace of a result, under a limit of Kili if there is one.

    The SDK spends its 500 calls of a minute as fast as it can and then waits for the minute to end; this worker spends
    the limit evenly.
    """
    if result.is_whole and result.predictions == predictions and not calls_per_minute:
        return result.seconds
    adaptive_limit = result.calls / result.seconds
    calls = result.calls / result.finished * predictions
    limit = _limit(result.competitor, calls_per_minute)
    if not limit or adaptive_limit * 60 <= limit:
        return calls / adaptive_limit
    if result.competitor.startswith("us"):
        return calls * 60 / limit
    minutes, rest = divmod(calls, limit)
    return 60 * minutes + rest / adaptive_limit


def _limit(competitor: str, calls_per_minute: int) -> int:
    if not competitor.startswith("sdk"):
        return calls_per_minute
    processes = 1 if competitor in ("sdk-best", "sdk-tutorial") else os.cpu_count() or 1
    own = SDK_CALLS_PER_MINUTE * processes
    return min(own, calls_per_minute) if calls_per_minute else own
