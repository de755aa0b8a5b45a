"""What an import looks like that Kili's SDK has sent.

The SDK sends video files in the background only, and frames and rich text as a file in the bucket; frames are a map
from index to address there. What the server makes of anything else is not known: the switch `imports` decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import KiliError, bad_input
from .uploads import Buckets

VIDEOS = frozenset({"VIDEO", "VIDEO_LEGACY"})

#: What goes in the background, by input type.
UPLOAD_TYPES: Mapping[str, frozenset[str]] = {
    "IMAGE": frozenset({"TILED_IMAGE"}),
    "GEOSPATIAL": frozenset({"GEO_SATELLITE"}),
    **{video: frozenset({"NATIVE_VIDEO", "FRAME_VIDEO"}) for video in VIDEOS},
}


def check_in_background(input_type: str, upload_type: str) -> None:
    """Raise KiliError when a project takes no such import in the background."""
    if upload_type not in UPLOAD_TYPES.get(input_type, frozenset()):
        raise bad_input(f"uploadType {upload_type} is not for projects of {input_type}")


def check_shape(input_type: str, content: str, json_content: str, buckets: Buckets) -> None:
    """Raise KiliError for an asset that the SDK would not import at once, or not in this form."""
    if input_type in VIDEOS and content and not json_content:
        raise KiliError(
            "videoMustBeImportedAsynchronously",
            "A video file is imported in the background: use appendManyAssetsAsynchronously.",
        )
    if json_content and input_type in VIDEOS | {"TEXT"}:
        _check_json_content(input_type, _uploaded(json_content, buckets))


def _uploaded(url: str, buckets: Buckets) -> Any:
    found = buckets.read_url(url)
    if found is None:
        raise bad_input("jsonContent must be the address of a file in the bucket")
    try:
        return json.loads(found[0])
    except ValueError as error:
        raise bad_input(f"jsonContent: the file is not valid JSON: {error}") from error


def _check_json_content(input_type: str, content: Any) -> None:
    if input_type == "TEXT":
        if not isinstance(content, list):
            raise bad_input("jsonContent: rich text is a list of elements")
        return
    if not _is_index_map(content):
        raise bad_input("jsonContent: frames are a map from index to address, such as {'0': 'https://…'}")


def _is_index_map(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    indexes = {str(number) for number in range(len(content))}
    return indexes == set(content) and all(isinstance(url, str) for url in content.values())
