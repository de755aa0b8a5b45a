"""How a broken response is made of a valid one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from task_shapes import SHAPES

CUT = object()
"""Stands for leaving a part out."""


class Broken(NamedTuple):
    """A project, a response it must not take, and why: the cause and the field the refusal names."""

    name: str
    json_interface: dict[str, Any]
    input_type: str
    json_response: Any
    cause: str
    field: str
    text: str | None = None


def broken(name: str, shape: str, path: str, value: Any, cause: str, field: str | None = None) -> Broken:
    """Set, add or cut the part at ``path`` (steps between slashes, indices as numbers) of a valid response."""
    case = SHAPES[shape]
    response = deepcopy(case.json_response)
    steps = [step for step in path.split("/") if step]
    if not steps:
        response = value
    else:
        holder = response
        for step in steps[:-1]:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        _put(holder, steps[-1], value)
    return Broken(name, case.json_interface, case.input_type, response, cause, field or _dotted(path), case.text)


def _put(holder: Any, last: str, value: Any) -> None:
    if isinstance(holder, list) and int(last) == len(holder):
        holder.append(value)
    elif value is CUT:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value


def _dotted(path: str) -> str:
    field = ""
    first = True
    for step in path.split("/"):
        field += f"[{step}]" if step.isdigit() and not first else ("" if first else ".") + step
        first = False
    return field
