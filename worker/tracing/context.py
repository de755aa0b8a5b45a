"""A trace context as text: a W3C ``traceparent``, and after a space its ``tracestate`` where there is one.

It is kept in this form beside the message, from the source to the settlement. What is not as W3C describes it counts as
no context: a message is never refused for its trace.
"""

from __future__ import annotations

import re

PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=-|$)")
STATE = re.compile(r"[ !#-\[\]-~]*=[ !#-\[\]-~]*")
"""Of a ``tracestate`` what needs no escape in JSON; one with quotes or backslashes is left out, as W3C allows."""

LONGEST_STATE = 512
SAMPLED = 1
ODD = "13579bdf"
VERSION = "00"


def parsed(parent: object, state: object = None) -> str:
    """The context that two headers give; empty when the first is none."""
    if not isinstance(parent, str):
        return ""
    found = PARENT.match(parent.strip())
    if found is None or (parent.startswith(VERSION) and len(parent.strip()) != len(found[0])):
        return ""
    text = f"{VERSION}{found[0][2:]}"
    if isinstance(state, str) and 0 < len(state) <= LONGEST_STATE and STATE.fullmatch(state.strip()):
        return f"{text} {state.strip()}"
    return text


def is_sampled(context: str) -> bool:
    """Whether its spans are recorded."""
    return bool(context) and context[54] in ODD


def with_flag(context: str, *, sampled: bool) -> str:
    """The same context, with its sampled flag set or not."""
    flags = int(context[53:55], 16) & ~SAMPLED | sampled
    return f"{context[:53]}{flags:02x}{context[55:]}"
