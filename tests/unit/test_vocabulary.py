"""Names say what a thing is in the field's words, and no two public classes share one."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NOT = {
    "room": "package",
    "rooms": "packages",
    "house": "package",
    "door": "source",
    "doors": "sources, the inbox",
    "hear": "receive",
    "heard": "received",
    "hears": "receives",
    "ear": "observer",
    "ears": "observers",
    "knock": "webhook",
    "knocks": "webhooks",
    "listening": "wiring",
    "surroundings": "environment",
    "ground": "environment",
    "fate": "outcome",
    "fates": "outcomes",
    "burial": "dead letter",
    "bury": "dead-letter",
    "buried": "dead-lettered",
    "flight": "in flight",
    "supply": "leasing",
    "pace": "adaptive limit",
    "circuit": "circuit breaker",
    "pauses": "circuit breaker",
    "callers": "clients",
    "patient": "retrying",
    "turns": "interval lock, schedule",
    "hint": "wake-up",
    "hints": "wake-ups",
    "understanding": "parsing",
    "understood": "parsed",
    "refusal": "rejection",
    "refusals": "rejections",
    "lesson": "training example",
    "lessons": "training examples",
    "judged": "with verdicts",
    "round": "collection cycle",
    "rounds": "collection cycles",
    "figures": "report data",
    "population": "samples",
    "units": "samples",
    "notice": "notification",
    "notices": "notifications",
    "posted": "notified",
    "wording": "text",
    "words": "message, text",
    "coin": "audit draw",
    "stake": "wealth",
    "stakes": "wealth",
    "capital": "wealth",
    "bet": "bets, inside the detectors",
    "bets": "bets, inside the detectors",
    "board": "rule statistics",
    "boards": "rule statistics",
    "race": "comparison",
    "arriving": "batch arrival",
    "visible": "latency",
    "counted": "evidence",
    "promise": "assertion",
    "promises": "assertions",
    "finding": "conclusion",
    "findings": "conclusions",
    "people": "labelers",
    "balance": "conservation check",
    "say": "log, notify",
    "says": "logs, notifies",
    "said": "logged, notified",
    "tell": "log, notify",
    "told": "logged, notified",
    "ask": "query",
    "asks": "queries",
}
"""Words that no name of ``worker/`` holds, and what stands for them."""

PHRASES = {"under_way": "in flight", "at_the_doors": "in the inbox", "conservation_sum": "conservation check"}
"""Words that are of the field, or plain English, alone."""

FIELD = re.compile(r"(?<![a-z])(in_flight|circuit_breaker|ground_truth)(?![a-z])")
"""Where a word of the list is the field's own."""

DETECTORS = "worker/statistics/"
"""Where bets, stakes and capital are those of the literature on testing by betting."""

EXCEPTIONS = {
    "PAUSES": "the metric prediction_worker_pauses is published",
    "pauses": "several Pause records of the circuit breaker, as `status` publishes them under this key",
    "_pauses": "the same",
    "_read_pauses": "the same",
    "_next_pauses": "the same",
    "PAUSES_EVERY": "the same",
    "population": "a column of the report's published JSON",
    "figures_seconds": "the setting WORKER_FEEDBACK__FIGURES_SECONDS is published",
    "dead_letter_notice_hours": "the setting WORKER_SPOOL__DEAD_LETTER_NOTICE_HOURS is published",
    "units": "units of measure of coordinates, an option of the message contract; code units of UTF-16",
    "_units": "the same",
    "Units": "the same",
    "unit_canvas": "the same",
    "_UNITS": "units of time in the policy file",
    "words": "the words of a recognised text",
    "visible": "COCO's visibility of a keypoint",
    "VISIBLE": "the same",
    "safe_say": "Celery's name",
    "broken_promises": "a key of the demo's published JSON",
}
"""Names that hold a word of the list all the same, and why."""

PLAIN = {"ground", "round", "people", "board", "bet", "words", "units", "hint", "visible", "supply", "listening"}
LOG_WORDS = {*NOT} - PLAIN
"""Words that no log message holds; the others are plain English there."""


FILES = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "worker").rglob("*.py"))}


@dataclass(slots=True)
class Words:
    """What a module names and logs, each with its line, and its public classes."""

    names: list[tuple[int, str]]
    logs: list[tuple[int, str]]
    classes: list[str]


@cache
def words_of(path: Path) -> Words:
    """It names itself, its folder, classes, functions, parameters, variables, attributes."""
    module = ast.parse(path.read_text("utf-8"))
    found = Words([(0, path.stem), (0, path.parent.name)], [], [])
    for node in ast.walk(module):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.names.append((node.lineno, name))
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.names.append((node.lineno, name))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logger")), args=[first, *_]):
                texts = (one.value for one in ast.walk(first) if isinstance(one, ast.Constant))
                found.logs += [(node.lineno, text) for text in texts if isinstance(text, str)]
    found.classes = [one.name for one in module.body if isinstance(one, ast.ClassDef) and not one.name.startswith("_")]
    return found


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def wrong_words(name: str) -> list[str]:
    """The words of a name that have a better one."""
    plain = FIELD.sub("", snake(name))
    return [word for word in plain.split("_") if word in NOT] + [one for one in PHRASES if one in plain]


def is_exception(file: str, name: str) -> bool:
    return name in EXCEPTIONS or (
        file.startswith(DETECTORS) and {*wrong_words(name)} <= {"bet", "bets", "stake", "stakes", "capital"}
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PatientCaller", ["patient"]),
        ("_tell_of_rounds", ["tell", "rounds"]),
        ("in_flight", []),
        ("InFlightBatches", []),
        ("flight_of", ["flight"]),
        ("is_under_way", ["under_way"]),
        ("CircuitBreaker", []),
        ("background", []),
        ("reworded", []),
    ],
)
def test_a_name_is_taken_apart(name: str, words: list[str]) -> None:
    assert wrong_words(name) == words


def test_names_are_words_of_the_field() -> None:
    wrong = [
        f"{file}:{line}: {name}, better: {', '.join((NOT | PHRASES)[word] for word in words)}"
        for file, path in FILES.items()
        for line, name in words_of(path).names
        if (words := wrong_words(name)) and not is_exception(file, name)
    ]
    assert wrong == []


def test_every_exception_is_one() -> None:
    found = {name for path in FILES.values() for _, name in words_of(path).names}
    assert [name for name in EXCEPTIONS if name not in found] == []


def test_log_messages_are_words_of_the_field() -> None:
    wrong = [
        f"{file}:{line}: {word}, better: {NOT[word]}: {text}"
        for file, path in FILES.items()
        for line, text in words_of(path).logs
        for word in re.findall("[a-z]+", text.lower().replace("in flight", ""))
        if word in LOG_WORDS
    ]
    assert wrong == []


TEXTS = re.compile(
    r"\b(doors?|(?:feedback|waiting|these) rooms?|knocks?|fates?|bur(?:y|ied|ial)|coins?|the operator's word)\b",
    re.IGNORECASE,
)
"""Words of our own that are none of plain English in a text about this product."""


def texts() -> Iterator[Path]:
    """Every page and module, but for the pages that the benchmarks write with the keys of their results."""
    yield ROOT / "README.md"
    yield from (path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "benchmarks")
    yield from FILES.values()
    for kind in ("*.lua", "*.html", "*.jq"):
        yield from sorted((ROOT / "worker").rglob(kind))


PUBLISHED = re.compile(r"at_the_doors|doors_(?:closed|open)|`knock`|\"knock\"")
"""Keys and actions that machines read."""


def test_no_text_uses_the_old_metaphors() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in texts()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (found := TEXTS.search(PUBLISHED.sub("", line)))
    ]
    assert wrong == []


def test_no_two_public_classes_share_a_name() -> None:
    """The sandbox imports nothing of the worker and writes Kili's notions down a second time: it is one for itself."""
    places = defaultdict(list)
    for file, path in FILES.items():
        for name in words_of(path).classes:
            places[name, file.startswith("worker/sandbox/")].append(file)
    assert {name: files for (name, _), files in places.items() if len(files) > 1} == {}
