"""Does a json_response fit the interface? The first thing that is wrong, in words, or nothing.

How strict Kili is with predictions is not known: `strict` holds them to every rule that Kili's public material shows,
`lenient` to the two that its server is known to have. People may leave required jobs open.
"""

from __future__ import annotations

import json
from typing import Any

from .interface import Interface
from .responses.ground import Ground
from .responses.lenient import check_leniently
from .responses.reading import Malformed
from .responses.strict import check_strictly

__all__ = ["DECODER", "Malformed", "check_json_response", "parse_response"]


def check_json_response(
    response: str,
    interface: Interface,
    *,
    text: str | None = None,
    ground: Ground | None = None,
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
            check_strictly(parsed, interface, ground or Ground(text=text), partial=partial)
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
