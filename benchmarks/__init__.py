"""Benchmarks of the worker."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "benchmarks"
"""Where whole runs leave what they found."""
