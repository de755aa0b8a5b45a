"""BentoML's ``bentoml.monitor`` log lines: free columns beside ``timestamp`` and ``request_id``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping
from worker.formats.families.rows import read_row
from worker.formats.meaning import texts_of, unused_keys, with_evidence, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.structure import LABEL, TEXT, Family, Keys, detect_items, near_items, needed, refuse_foreign

_KEYS = Keys({"timestamp": TEXT, "request_id": LABEL}, open=True)


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the prediction's column of one line, or of a list of lines."""
    if isinstance(payload, Mapping):
        return (_read_line(payload, options, at),)
    return tuple(_read_line(line, options, (*at, i)) for i, line in enumerate(array(payload, *at)))


def _read_line(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    line = mapping(value, *at)
    refuse_foreign(line, (), at)
    column = _column(line, options, at)
    evidence = texts_of(line, {"request_id": "request_id", "timestamp": "timestamp"})
    output = with_evidence(read_row(line[column], options, (*at, column)), evidence)
    return with_ignored(output, unused_keys([line], (column, *_KEYS.required)))


def _column(line: Mapping[str, Any], options: ReadOptions, at: Path) -> str:
    columns = [key for key in line if key not in _KEYS.required]
    if options.field is not None:
        if options.field not in columns:
            fail(at, f"no column is called {options.field!r}", f"set field to one of {', '.join(columns[:8])}")
        return options.field
    if len(columns) != 1:
        names = ", ".join(columns[:8]) or "none"
        fail(
            at,
            f"which column is the prediction? There are: {names}",
            "set field to the column of role prediction",
        )
    return columns[0]


FAMILY = Family(
    catch_all=True,
    name="bentoml-monitor",
    title="BentoML monitoring log lines",
    rule="an object (or a list of them) with `timestamp`, `request_id` and further columns",
    detect=detect_items(_KEYS, "an object with timestamp and request_id"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=read,
    options=("field", "classes", "score_kind", "exclusive", "strings"),
    limits="A line does not say which column is the prediction: with several columns `field` names it.",
    sources=(
        "https://docs.bentoml.com/en/latest/build-with-bentoml/observability/monitoring-and-data-collection.html",
    ),
)
