"""Does a json_response fit the interface? The first thing that is wrong, in words, or nothing.

The rules are those of `worker.ontology`, pure functions that know nothing of HTTP or of the worker. How strict Kili is
with predictions is not known; here they are held to every rule (unless `open_jobs` says otherwise), while people may
leave required jobs open.
"""

from __future__ import annotations

import json
from typing import Any

from worker.ontology import Interface, OntologyError, validate


class Malformed(ValueError):
    """The reason why a json_response is refused."""


def check_json_response(response: str, interface: Interface, *, text: str | None = None, partial: bool = False) -> None:
    """Raise Malformed when a json_response (a JSON string) does not fit the interface.

    `text` is the asset's, where it is known; `partial` lets required jobs stay open.
    """
    try:
        validate(_parse(response), interface, text=text, partial=partial)
    except OntologyError as error:
        raise Malformed(f"{error.field}: {error.problem}") from error
    except RecursionError as error:
        raise Malformed("it is nested too deep") from error


def _parse(response: str) -> Any:
    try:
        return DECODER.decode(response)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
