"""Write what a run found: tables as text, everything as JSON, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed.charts import charts
from benchmarks.speed.figures import Figures
from benchmarks.speed.tables import tables
from benchmarks.speed.targets import verdicts


def text(figures: Figures) -> str:
    """Every table, for a terminal."""
    return "\n\n".join([*(table.text() for table in tables(figures)), _about(figures.found.about)])


def content(figures: Figures) -> dict[str, Any]:
    """Everything that was measured and what follows from it, for a script."""
    return {**asdict(figures.found), "targets": [asdict(one) for one in verdicts(figures)]}


def write(figures: Figures, folder: Path) -> list[Path]:
    """Write ``results.json``, ``results.md`` and the pictures into a folder; what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = charts(figures)
    shown = "\n\n".join(f"![{chart.title}]({chart.name})" for chart in pictures)
    page = ["# Results", _about(figures.found.about), shown, *(table.markdown() for table in tables(figures))]
    files = {
        "results.json": json.dumps(content(figures), indent=1, ensure_ascii=False) + "\n",
        "results.md": "\n\n".join(page) + "\n",
        **{chart.name: chart.svg() for chart in pictures},
    }
    for name, written in files.items():
        (folder / name).write_text(written, "utf-8")
    return [folder / name for name in files]


def _about(about: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    settings = ", ".join(f"{name}={value}" for name, value in about["settings"].items()) or "defaults"
    return (
        f"{about['processors']} processors, {about['machine']}, Python {about['python']}, Redis {about['redis']}, "
        f"{packages}. Worker settings: {settings}. Took {about.get('seconds', 0)} s; "
        f"load average {about['load_before']} before, {about.get('load_after', 0)} after."
    )
