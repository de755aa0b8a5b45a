"""Find what a language model answered: a label, labels, an answer per question, or JSON for another format."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from worker.contract.output import OutputError
from worker.formats.checks import Path, describe, fail, is_number, string
from worker.formats.meaning import foreign_key


def looks_like_json(text: str) -> bool:
    """Tell whether a string is meant to be a JSON object or list."""
    stripped = text.strip()
    return stripped[:1] + stripped[-1:] in ("{}", "[]")


def parse_json(text: str, at: Path) -> Any:
    """Parse JSON; NaN and Infinity are refused."""
    try:
        return json.loads(text, parse_constant=lambda name: _refuse_constant(name, at))
    except OutputError:
        raise
    except json.JSONDecodeError as error:
        fail(at, f"not JSON: {error.msg} at character {error.pos}")
    except ValueError:
        fail(at, "not JSON that can be read: a number has too many digits")
    except RecursionError:
        fail(at, "nested too deeply")


def parse_object(text: str, at: Path) -> Any:
    """Parse JSON, or an object as Python writes it (``{0: 0.03, 1: 0.97}``), whose keys become texts."""
    if not _PYTHON_KEYS.search(text):
        return parse_json(text, at)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return parse_json(text, at)
    if not isinstance(value, dict) or not all(isinstance(inner, int | float | str) for inner in value.values()):
        return parse_json(text, at)
    return {str(key): inner for key, inner in value.items()}


_PYTHON_KEYS = re.compile(r"""^\s*\{\s*(\d+|'[^']*')\s*:""")
"""How an object begins that Python has written and JSON cannot read."""


def decode_base64(value: Any, at: Path) -> bytes:
    """Decode standard base64; a ``data:`` URL's prefix is dropped."""
    text = string(value, *at)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        fail(at, "not base64")


def parse_base64_json(value: Any, at: Path) -> Any:
    """Decode base64 and parse the JSON inside; a bare text, such as a class, is given as it is."""
    try:
        text = decode_base64(value, at).decode("utf-8")
    except UnicodeDecodeError:
        fail(at, "the decoded bytes are not UTF-8 text")
    return parse_json_or_text(text, at)


def parse_json_or_text(text: str, at: Path) -> Any:
    """Parse JSON; a text that is meant to be none is given as it is. Markup is no answer, and no text either."""
    if not _BARE.match(text):
        return parse_json(text, at)
    return text


_BARE = re.compile(r"\s*(?!(?:true|false|null|NaN|-?Infinity)\s*$)[^\W\d_]")
"""How a text begins that is no JSON: with a letter, and it is no constant of JSON."""


def _refuse_constant(name: str, at: Path) -> NoReturn:
    fail(at, f"{name} is not a finite number", "send null or leave the item out")


_LABEL_KEYS = ("label", "class", "category", "answer")
_LIST_KEYS = (*_LABEL_KEYS, "labels", "classes", "categories", "tags", "answers")
_STATED_KEYS = (
    *("confidence", "score", "probability", "certainty", "reason", "reasoning", "explanation", "rationale"),
    *("thought", "thoughts", "thinking", "justification", "comment", "comments"),
)
_FENCE = re.compile(r"\s*```\w*\n(?P<inside>.*?)\n?```\s*", re.DOTALL)
_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)


PLACE = re.compile(
    r"<loc\d{1,4}>|<loc_\d{1,4}>|<\|(?:box|quad|point)_start\|>|<patch_index_\d+>|<points? [^<>]*x\d?="
    r"|<(?:box|quad|point)>\s*[\[(]|<\|det\|>|\[\[\d{3},\d{3},\d{3},\d{3}(?:;\d{3},\d{3},\d{3},\d{3})*\]\]"
)
"""How PaliGemma, Florence-2, Qwen-VL, InternVL, DeepSeek-VL, CogVLM, Kosmos-2 and Molmo write a place in the image."""


@dataclass(frozen=True, slots=True)
class Found:
    """The labels with their position in the text, whether they were a list, and what else was stated or ignored."""

    labels: tuple[tuple[str, int], ...]
    several: bool = False
    stated: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Questions:
    """One answer per question: the labels by the key that names the question."""

    answers: dict[str, Found]
    stated: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """JSON that holds no label but data of another format: boxes, entities, objects."""

    value: Any


def answer_begin(text: str) -> int:
    """Where the answer begins behind the thoughts that a model without a reasoning parser writes before it."""
    thought = _THOUGHT.match(text)
    return thought.end() if thought else 0


def find_answer(text: str, key: str | None, job: str | None, at: Path) -> Found | Questions | Data:
    """Find the labels: the whole text, or a value of the JSON object (or list) that the text is.

    ``key`` is the key of the label; else ``job`` names it where it is one of several keys. Raises OutputError when the
    JSON holds no label.
    """
    begin = answer_begin(text)
    fenced = _FENCE.fullmatch(text, begin)
    begin, inside = (fenced.start("inside"), fenced["inside"]) if fenced else (begin, text[begin:])
    if not looks_like_json(inside):
        label = inside.strip().strip("\"'`*").strip().rstrip(".")
        if not label:
            fail(at, f"{describe(text)} is no label")
        return Found(((label, begin + inside.index(label)),))
    answer = parse_json(inside, at)
    if isinstance(answer, Mapping):
        return _in_object(answer, key, job, text, begin, at)
    listed = [_only_label(one) for one in answer]
    if answer and all(listed):
        return Found(_positions(listed, text, begin, at), several=True)
    if not answer or any(isinstance(one, Mapping | list) for one in answer):
        return Data(answer)
    return Found(_positions(answer, text, begin, at), several=True)


def _only_label(value: Any) -> str | None:
    """The label of an object that holds nothing else."""
    label = value.get(next(iter(value))) if isinstance(value, Mapping) and len(value) == 1 else None
    return label if isinstance(label, str) and next(iter(value)) in _LABEL_KEYS else None


def _in_object(
    answer: Mapping[str, Any], key: str | None, job: str | None, text: str, begin: int, at: Path
) -> Found | Questions | Data:
    name = _named(answer, key, job, at)
    if name is None and (foreign_key(answer, ()) or any(map(_is_data, answer.values()))):
        return Data(answer)
    asked = [name] if name is not None else [one for one in answer if one not in _STATED_KEYS]
    questions = asked if len(asked) == 1 else [one for one in asked if _is_stated(answer[one])]
    if name is None and not any(_is_stated(answer[one]) for one in asked) and _is_hollow(answer, asked):
        return Data(answer)
    if not questions:
        fail(at, "which key of the answer is the label? There are: " + (", ".join(answer) or "none"), _SET_FIELD)
    stated = {one: answer[one] for one in _STATED_KEYS if one not in questions and _is_plain(answer.get(one))}
    ignored = tuple(one for one in answer if one not in questions and one not in stated)
    if name is not None:
        carried = foreign_key(answer, (name,))
        if carried is not None:
            fail((*at, carried), "is geometry or a place in a text, which a label cannot carry", "leave field out")
    if len(questions) == 1:
        labels, several = _labels(answer, questions[0], text, begin, at)
        return Found(labels, several, stated, ignored, is_json=True)
    parts = {one: Found(*_labels(answer, one, text, begin, at)) for one in questions}
    return Questions(parts, {**stated, **({"ignored": list(ignored)} if ignored else {})})


_SET_FIELD = "set field to it"


def _named(answer: Mapping[str, Any], key: str | None, job: str | None, at: Path) -> str | None:
    """The key that ``field`` names, or that is called as the job is."""
    if key is not None:
        if key not in answer:
            fail(at, f"the answer has no key {key!r}", "set field to the key of the label")
        return key
    plain = {_letters(one): one for one in answer}
    return plain.get(_letters(job)) if job is not None and len(answer) > 1 else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _is_hollow(answer: Mapping[str, Any], asked: list[str]) -> bool:
    """Whether lists of objects are empty; an empty list of labels is no such list."""
    return any(answer[one] == [] and one not in _LIST_KEYS for one in asked)


def _is_stated(value: Any) -> bool:
    """Whether a value can be a label, or several."""
    return isinstance(value, str) or (
        bool(value) and isinstance(value, list) and all(isinstance(v, str) for v in value)
    )


def _is_data(value: Any) -> bool:
    """Whether a value is an object, or a list of something else than texts and numbers."""
    if isinstance(value, list):
        return any(isinstance(one, Mapping | list) for one in value)
    return isinstance(value, Mapping)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)


def _labels(
    answer: Mapping[str, Any], name: str, text: str, begin: int, at: Path
) -> tuple[tuple[tuple[str, int], ...], bool]:
    value = answer[name]
    labels = value if isinstance(value, list) else [value]
    place = _value_position(text, name, begin)
    return _positions(labels, text, place, (*at, name)), isinstance(value, list)


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
