"""Which project is a call about?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .tables import Tables


def project_of(arguments: Mapping[str, Any], tables: Tables) -> str | None:
    """Return the project named by a root field's arguments, or the one of the first asset or label they name."""
    for candidate in _candidates(arguments):
        if candidate in tables.projects:
            return candidate
        row = tables.assets.get(candidate) or tables.labels.get(candidate)
        if row is not None:
            return row.project_id
    return None


def _candidates(arguments: Mapping[str, Any]) -> Iterator[str]:
    where = arguments.get("where") or {}
    wheres = where if isinstance(where, list) else [where]
    data = arguments.get("data") or {}
    yield from _strings(arguments.get("project_id"))
    for one in wheres[:1]:
        yield from _strings((one.get("project") or {}).get("id"))
        yield from _strings(((one.get("asset") or {}).get("project") or {}).get("id"))
        yield from _strings(one.get("id"))
        yield from _strings(one.get("idIn"))
    if isinstance(data, Mapping):
        yield from _strings([label.get("assetID") for label in (data.get("labelsData") or ())[:1]])
    yield from _strings(arguments.get("ids"))


def _strings(value: Any) -> Iterator[str]:
    values = value[:1] if isinstance(value, list) else [value]
    yield from (one for one in values if isinstance(one, str))
