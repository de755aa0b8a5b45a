"""Does a jsonResponse fit the project's interface? The first thing that is wrong, as text, or nothing.

How strict Kili is with predictions is not known: `strict` holds them to every rule that Kili's public material shows,
`lenient` to the two that its server is known to have. People may leave required jobs open.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from worker.sandbox.interface import Interface
from worker.sandbox.records import Asset
from worker.sandbox.responses.reading import AnnotatedContent, Malformed, may_be_georeferenced, rich_text_parts
from worker.sandbox.responses.strict import check_leniently, check_strictly
from worker.sandbox.uploads import Buckets


def content_of(asset: Asset, input_type: str, buckets: Buckets) -> AnnotatedContent:
    """Return what is known of an asset; a content that lies elsewhere is not fetched."""
    if input_type == "TEXT":
        if asset.json_content:
            return AnnotatedContent(parts=_parts(asset.json_content, buckets))
        return AnnotatedContent(text=_text(asset.content, buckets))
    if input_type == "IMAGE":
        found = buckets.read_url(asset.content)
        return AnnotatedContent(is_georeferenced=may_be_georeferenced(asset.content, found[1] if found else ""))
    return AnnotatedContent()


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


__all__ = ["DECODER", "Malformed", "check_json_response", "parse_response"]


def check_json_response(
    response: str,
    interface: Interface,
    *,
    text: str | None = None,
    asset_content: AnnotatedContent | None = None,
    partial: bool = False,
    lenient: bool = False,
) -> None:
    """Raise Malformed when a json_response (a JSON string) does not fit the interface.

    `ground` is what is known of the asset (`text` alone is a shorter way), `partial` lets required jobs stay open.
    """
    parsed = parse_response(response)
    try:
        if lenient:
            check_leniently(parsed, interface)
        else:
            check_strictly(parsed, interface, asset_content or AnnotatedContent(text=text), partial=partial)
    except RecursionError as error:
        raise Malformed("it is nested too deep") from error


def parse_response(response: str) -> Any:
    """Read the JSON of a response; raises Malformed."""
    try:
        return DECODER.decode(response)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
