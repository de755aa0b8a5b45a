"""The figures as a picture: how soon drift is found, and how near the estimate of live traffic is to the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.feedback.stream_drift import NAMED, SCENARIOS, WATCHERS
from worker.review.inspection import HEIGHT, WIDTH, line_chart

RIVALS = tuple(name for name in WATCHERS if name.startswith("ADWIN on audits"))


def picture(coverage: Sequence[Mapping[str, Any]], streams: Mapping[str, Any]) -> str:
    """Both charts, one below the other, as one SVG; the arguments are the parts' figures as in feedback.json."""
    charts = [_delays(streams), _agreement(coverage)]
    placed = [chart.replace("<svg ", f'<svg y="{HEIGHT * place}" ', 1) for place, chart in enumerate(charts)]
    size = f'width="{WIDTH}" height="{HEIGHT * len(charts)}" viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{"".join(placed)}</svg>\n'


def _delays(streams: Mapping[str, Any]) -> str:
    """Share of streams in which a detector has found the change, by day."""
    harmful = [one.name for one in SCENARIOS if not one.harmless]
    lines = {
        f"{name.partition(' (')[0]}: {scenario.partition(',')[0]}": streams["scenarios"][scenario][name]["found"]
        for name in (NAMED, *RIVALS)
        for scenario in harmful
    }
    return line_chart(
        f"Drift: 10 points of accuracy lost, {streams['runs']} streams", "day after the change", "share found", lines
    )


def _agreement(coverage: Sequence[Mapping[str, Any]]) -> str:
    """Truth, estimate and plain average, queue by queue; the rows of all queues together name the coverage."""
    queues = [row for row in coverage if not row["queue"].startswith("all")]
    every = next(row for row in coverage if row["queue"] == "all")
    lines = {
        "truth": [row["agreement"] for row in queues],
        f"estimate, covers {100 * every['coverage']:.1f} %": [row["agreement"] + row["bias"] for row in queues],
        f"plain average, covers {100 * every['coverage_of_naive']:.1f} %": [
            row["agreement"] + row["naive_bias"] for row in queues
        ],
    }
    names = ", ".join(row["queue"] for row in queues)
    return line_chart("Agreement of live traffic, and its 95 % intervals", f"queue: {names}", "% agreement", lines)
