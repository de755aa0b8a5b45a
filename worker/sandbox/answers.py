"""Answers as they go over the wire, and what faults make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .actions import Action, Cut, Errors, Html, Lost, Padded, Partial, Reset, Status, TooLarge, Truncated
from .errors import DOMAIN_CODE

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
HTML_BODY = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>proxy</body></html>"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole or cut in the middle, or (status 0) nothing but a reset.

    `ending` says for the books how the call went: ok, errors, refused or aborted.
    """

    status: int
    body: bytes = b""
    media_type: str = TEXT
    headers: Mapping[str, str] | None = None
    ending: str = "ok"
    is_cut: bool = False


def text_answer(status: int, body: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that no client takes for GraphQL."""
    return Answer(status, body.encode(), TEXT, headers, ending="ok" if status < 400 else "refused")


def json_answer(status: int, content: Mapping[str, Any]) -> Answer:
    """Return a GraphQL answer."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Answer(status, body, JSON, ending="errors" if content.get("errors") else "ok")


def answer_instead(action: Action | None) -> Answer | None:
    """Return the answer of a fault that keeps the operation from running."""
    match action:
        case Reset():
            return Answer(0, ending="aborted")
        case TooLarge():
            return text_answer(413, "Request Entity Too Large")
        case Status(after=False) | Errors(after=False) | Html(after=False):
            return _scripted(action)
    return None


def answer_after(action: Action | None, content: Mapping[str, Any]) -> Answer:
    """Return the answer of an operation that has run, or what a fault leaves of it."""
    if isinstance(action, Partial):
        error = {"message": action.message, "extensions": {"code": DOMAIN_CODE}}
        content = {**content, "errors": [*content.get("errors", ()), error]}
    return altered(action, json_answer(200 if "data" in content else 400, content))


def altered(action: Action | None, whole: Answer) -> Answer:
    """Return a JSON answer as a fault leaves it."""
    match action:
        case Lost():
            return Answer(0, ending="aborted")
        case Cut():
            return Answer(whole.status, whole.body, JSON, ending="aborted", is_cut=True)
        case Truncated():
            return Answer(whole.status, whole.body[: len(whole.body) // 2], JSON, ending="aborted")
        case Padded(bytes=size):
            return replace(whole, body=whole.body.ljust(size))
    return _scripted(action) or whole


def _scripted(action: Action | None) -> Answer | None:
    match action:
        case Status(status=status, body=body, headers=headers):
            return text_answer(status, body, headers)
        case Errors(status=status):
            return json_answer(status, action.body())
        case Html(status=status):
            return Answer(status, HTML_BODY.format(status=status).encode(), HTML, ending="refused")
    return None
