"""Find the label, or the labels, in the text that a language model answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.formats.checks import Path, describe, fail
from worker.formats.json_text import looks_like_json, parse_json

_LABEL_KEYS = ("label", "class", "category", "answer")
_STATED_KEYS = ("confidence", "score", "probability", "reason", "reasoning", "explanation")
_FENCE = re.compile(r"\s*```\w*\n(?P<inside>.*?)\n?```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """The labels with their position in the text, whether they were a list, and what else was stated."""

    labels: tuple[tuple[str, int], ...]
    several: bool = False
    stated: dict[str, Any] = field(default_factory=dict)


def find_answer(text: str, key: str | None, at: Path) -> Found:
    """Find the labels: the whole text, or a value of the JSON object (or list) that the text is.

    Raises OutputError when the JSON holds no label, or several values that could be it.
    """
    fenced = _FENCE.fullmatch(text)
    begin, inside = (fenced.start("inside"), fenced["inside"]) if fenced else (0, text)
    if not looks_like_json(inside):
        label = inside.strip().strip("\"'").rstrip(".")
        if not label:
            fail(at, f"{describe(text)} is no label")
        return Found(((label, begin + inside.index(label)),))
    answer = parse_json(inside, at)
    stated: dict[str, Any] = {}
    if isinstance(answer, Mapping):
        name = _label_key(answer, key, at)
        stated = {other: answer[other] for other in _STATED_KEYS if other != name and _is_plain(answer.get(other))}
        begin = _value_position(text, name, begin)
        answer, at = answer[name], (*at, name)
    labels = answer if isinstance(answer, list) else [answer]
    return Found(_positions(labels, text, begin, at), isinstance(answer, list), stated)


def _label_key(answer: Mapping[str, Any], key: str | None, at: Path) -> str:
    if key is not None:
        if key not in answer:
            fail(at, f"the answer has no key {key!r}", "set field to the key of the label")
        return key
    candidates = [name for name in _LABEL_KEYS if name in answer] or [k for k in answer if k not in _STATED_KEYS]
    if len(candidates) != 1:
        names = ", ".join(candidates[:8]) or "none"
        fail(at, f"which key of the answer is the label? There are: {names}", "set field to it")
    return candidates[0]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _value_position(text: str, name: str, begin: int) -> int:
    """Where the value of a top-level key begins, as well as plain text search can tell."""
    match = re.compile(re.escape(f'"{name}"') + r"\s*:").search(text, begin)
    return match.end() if match else begin


def _positions(labels: list[Any], text: str, begin: int, at: Path) -> tuple[tuple[str, int], ...]:
    found = []
    for i, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            fail((*at, i) if len(labels) > 1 else at, f"{describe(label)} is no class name")
        position = text.find(label, begin)
        found.append((label, position))
        begin = max(begin, position + len(label))
    return tuple(found)
