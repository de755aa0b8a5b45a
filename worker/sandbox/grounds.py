"""What the sandbox knows of an asset's content: enough to hold labels against it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from .records import Asset
from .responses.ground import Ground, may_be_georeferenced, rich_text_parts
from .uploads import Buckets


def ground_of(asset: Asset, input_type: str, buckets: Buckets) -> Ground:
    """Return what is known of an asset; a content that lies elsewhere is not fetched."""
    if input_type == "TEXT":
        if asset.json_content:
            return Ground(parts=_parts(asset.json_content, buckets))
        return Ground(text=_text(asset.content, buckets))
    if input_type == "IMAGE":
        found = buckets.read_url(asset.content)
        return Ground(is_georeferenced=may_be_georeferenced(asset.content, found[1] if found else ""))
    return Ground()


def _text(content: str, buckets: Buckets) -> str | None:
    if "://" not in content:
        return content or None
    found = buckets.read_url(content)
    return found[0].decode("utf-8", "replace") if found else None


def _parts(content: str, buckets: Buckets) -> dict[str, str] | None:
    found = buckets.read_url(content) if "://" in content.partition("[")[0] else (content.encode(), "")
    rich: Any = None
    with suppress(ValueError):
        rich = json.loads(found[0]) if found else None
    return rich_text_parts(rich) or None
