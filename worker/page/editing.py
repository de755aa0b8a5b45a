"""The original of a dead letter as text that can be edited, and what an edit has changed."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from worker.intake import MessageParser
from worker.spool.dead_letters import DeadLetter, Form

MAX_SHOWN = 20_000
MAX_EDITED = 200_000
MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class Draft:
    """What is edited: the text, and the form of a message that has it; ``problem`` says why it cannot be."""

    text: str
    form: Form
    problem: str = ""


def draft_of(letter: DeadLetter, parser: MessageParser) -> Draft:
    """The prediction that an original carries, or the original itself where it carries no single one."""
    form: Form = letter.about.get("form", "message")
    message = parser.message_in(form, letter.original)
    raw, form = (letter.original, form) if message is None else (message, "message")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Draft(raw.decode("utf-8", "replace"), form, "the original is no text in UTF-8")
    if len(raw) > MAX_EDITED:
        return Draft(text, form, f"the original is larger than {MAX_EDITED:,} bytes")
    return Draft(laid_out(text), form)


def laid_out(text: str) -> str:
    """JSON over several lines; as it is where that would change anything, or where it is no JSON."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        shown = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        return shown if json.loads(shown) == found else text
    except (ValueError, RecursionError):
        return text


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ, with their surroundings: ``+``, ``-``, `` `` or ``@``, and the text."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    found = [(line[:1], line[1:]) for line in lines if not line.startswith(("---", "+++"))]
    return found if len(found) <= MAX_LINES else [*found[:MAX_LINES], ("@", f"{len(found) - MAX_LINES} more lines")]


def diff_text(rows: list[tuple[str, str]]) -> str:
    """The same as text, without what has not changed."""
    return "\n".join(f"{sign}{line}" for sign, line in rows if sign in "+-")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
