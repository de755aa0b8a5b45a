"""What is kept as JSON, and may be read by a worker of another release."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def of_stored(kind: type[T], text: str | bytes, **more: Any) -> T:
    """A dataclass from the JSON of its fields, and ``more`` of them; keys that only later releases know are left out.

    Raises:
        ValueError: it is no JSON.
        TypeError: a field without a default is missing.
    """
    found = {**json.loads(text), **more}
    return kind(**{one.name: found[one.name] for one in fields(kind) if one.name in found})
