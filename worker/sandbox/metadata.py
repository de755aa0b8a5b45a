"""The one rule for jsonMetadata."""

from __future__ import annotations

import json

from .errors import bad_input


def check_metadata(text: str) -> None:
    """Raise KiliError unless the text is that of a JSON object."""
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise bad_input(f"jsonMetadata is not valid JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise bad_input("jsonMetadata must be the JSON text of an object")
