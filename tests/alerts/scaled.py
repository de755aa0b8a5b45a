"""The rules with every time made shorter, so that a run takes minutes instead of hours.

What is scaled: ``for``, and what a metric in seconds is compared with. Nothing else: expressions, labels and other
bounds are those that are shipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

SECONDS = {"s": 1, "m": 60, "h": 3600}
BOUND = re.compile(r"(_seconds(?:\{[^}]*\})?\)? > )(\d+)")


def scaled(path: Path, factor: float) -> dict[str, Any]:
    """The rules of a file, with times divided by a factor."""
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    for group in found["groups"]:
        for rule in group["rules"]:
            number, unit = int(rule["for"][:-1]), rule["for"][-1]
            rule["for"] = f"{max(1, round(1000 * number * SECONDS[unit] / factor))}ms"
            rule["expr"] = BOUND.sub(lambda bound: f"{bound[1]}{int(bound[2]) / factor:g}", rule["expr"])
    return found
