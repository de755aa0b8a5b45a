"""What the envelopes of clouds and jobs have in common.

They are recognised by keys and opened at one place, and what says that it went wrong is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from worker.formats.checks import (
    ROOT,
    Path,
    array,
    describe,
    fail,
    looks_like_json,
    mapping,
    member,
    parse_base64_json,
    parse_json,
)
from worker.formats.meaning import texts_of
from worker.formats.structure import Envelope, Keys, Unwrapped, ValueKind, detect_object, near_object, needed

Opener = Callable[[Mapping[str, Any], Path], tuple[Any, Path]]

PUBLISH_SUCCESSES = "publish successful results only"


def wrapper(
    name: str,
    title: str,
    keys: Keys,
    opened: Opener,
    sources: tuple[str, ...],
    *,
    rule: str,
    limits: str = "",
    evidence: Mapping[str, str] | None = None,
    batches: bool = False,
) -> Envelope:
    """An envelope that is an object with these keys.

    Args:
        name: of the format.
        title: what it is, for the documentation.
        keys: by which it is recognised.
        opened: gives what is inside and its path; raises OutputError where the envelope says that there is no result.
        sources: addresses of its documentation.
        rule: how it is recognised, for people.
        limits: what it does not read, for people.
        evidence: which of its texts are kept, and as what.
        batches: whether a list of such objects is read one by one.
    """

    def unwrap(payload: Any, at: Path = ROOT) -> Unwrapped:
        outer = mapping(payload, *at)
        inside, place = opened(outer, at)
        kept = texts_of(outer, evidence or {})
        return Unwrapped(inside, place, {name: kept} if kept else {})

    reason = f"an object with {', '.join(keys.required)}"
    return Envelope(
        name=name,
        title=title,
        rule=rule,
        detect=detect_object(keys, reason),
        near=near_object(keys),
        needs=needed(keys),
        unwrap=unwrap,
        limits=limits,
        sources=sources,
        batches=batches,
    )


def one_of(*values: str) -> ValueKind:
    """A text that is one of these."""
    return ValueKind(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


def inside_of(*keys: str | int) -> Opener:
    """What lies under these keys, one below the other; a JSON text is parsed."""

    def opened(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
        value: Any = outer
        for key in keys:
            value = only(value, at) if isinstance(key, int) else member(mapping(value, *at), key, at)
            at = (*at, key)
        return text_or_value(value, at), at

    return opened


def only(value: Any, at: Path) -> Any:
    """The only record of a list."""
    records = array(value, *at)
    if len(records) != 1:
        fail(at, f"{len(records)} records at once", "publish one prediction per message")
    return records[0]


def text_or_value(value: Any, at: Path) -> Any:
    """A JSON text parsed, anything else as it is; raises OutputError for null, which is no result."""
    if value is None:
        fail(at, "null: there is no result", PUBLISH_SUCCESSES)
    return parse_json(value, at) if isinstance(value, str) and looks_like_json(value) else value


def base64_or_text(value: Any, at: Path) -> Any:
    """JSON in base64, or a JSON text that some gateways send in its place."""
    if isinstance(value, str) and looks_like_json(value):
        return parse_json(value, at)
    return parse_base64_json(value, at)


def require_status(
    outer: Mapping[str, Any], key: str, good: tuple[str, ...], waiting: tuple[str, ...], at: Path
) -> None:
    """Raise OutputError unless the status is good; what the envelope says of the error is told."""
    status = outer.get(key)
    if isinstance(status, str) and status.casefold() in good:
        return
    if isinstance(status, str) and status.casefold() in waiting:
        fail((*at, key), f"{status}: there is no result yet", "publish the result when it is there")
    fail((*at, key), f"{describe(status)}: {reason_of(outer)}", PUBLISH_SUCCESSES)


def require_http_success(status: Any, body: Any, at: Path) -> None:
    """Raise OutputError for a status other than 2xx."""
    if isinstance(status, int) and 200 <= status < 300:
        return
    fail(at, f"the server answered with status {describe(status)}: {reason_of(body)}", PUBLISH_SUCCESSES)


def reason_of(value: Any) -> str:
    """What an answer says of its error, or that it says nothing."""
    if isinstance(value, str) and looks_like_json(value):
        value = parse_json(value, ROOT)
    for key in ("error", "errorMessage", "message", "detail", "failureReason"):
        stated = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(stated, Mapping):
            stated = stated.get("message")
        if isinstance(stated, str) and stated.strip():
            return stated.strip()[:200]
    return value.strip()[:200] if isinstance(value, str) and value.strip() else "no reason given"
