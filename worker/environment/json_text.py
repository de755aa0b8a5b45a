"""Values as JSON text, also those with a text that UTF-8 cannot hold."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8; in ASCII where a text holds a lone surrogate."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":")).encode()
