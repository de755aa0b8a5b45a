"""The table of formats, written from the registry so that the documentation cannot drift from the code."""

from __future__ import annotations

from collections.abc import Iterable

from worker.formats.registry import ANSWERS, ENVELOPES
from worker.formats.structure import Recognised

_HEAD = "| format | what it is | recognised by structure | options | limits |\n|---|---|---|---|---|\n"


def formats_table() -> str:
    """Return the Markdown table of every family and envelope, in the order in which they are registered."""
    return _HEAD + "".join(_rows((*ANSWERS, *ENVELOPES)))


def _rows(items: Iterable[Recognised]) -> Iterable[str]:
    for item in items:
        sources = ", ".join(f"[{i}]({source})" for i, source in enumerate(item.sources, 1))
        options = ", ".join(f"`{option}`" for option in item.options) or "none"
        yield f"| `{item.name}` | {item.title} ({sources}) | {item.rule} | {options} | {item.limits or 'none'} |\n"
