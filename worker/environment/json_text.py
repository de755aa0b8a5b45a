"""Values as JSON text: also those that UTF-8 cannot hold, and those that a worker of another release has kept."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8; in ASCII where a text holds a lone surrogate."""
    from pydantic_core import PydanticSerializationError, to_json  # ``health`` reads its file without them

    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":")).encode()


def of_stored(kind: type[T], text: str | bytes, **more: Any) -> T:
    """A dataclass from the JSON of its fields, and ``more`` of them; keys that only later releases know are left out.

    Raises:
        ValueError: it is no JSON.
        TypeError: a field without a default is missing.
    """
    found = {**json.loads(text), **more}
    return kind(**{one.name: found[one.name] for one in fields(kind) if one.name in found})
