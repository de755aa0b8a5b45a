"""Hugging Face (document) question answering: ``{"answer", "score", "start", "end"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import Classification, ClassScore, Either, ModelOutput, Transcription
from worker.formats.checks import Path, fail, integer, member, string
from worker.formats.families.items import Row, row_reader
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, probability
from worker.formats.structure import LIST, NUMBER, NUMBER_OR_NULL, TEXT, Family, Keys, detect_items, near_items, needed

_KEYS = Keys(
    {"answer": TEXT, "score": NUMBER},
    {"start": NUMBER_OR_NULL, "end": NUMBER_OR_NULL, "words": LIST, "page": NUMBER_OR_NULL},
)


def _read_row(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        fail(at, "no answer")
    answers = [_answer(item, options, place) for item, place in row]
    best = max(range(len(row)), key=lambda i: answers[i].score or 0.0)
    others = [{"text": a.text, "score": a.score} for i, a in enumerate(answers) if i != best]
    evidence: dict[str, Any] = _span(*row[best])
    if others:
        evidence["other_answers"] = others
    if evidence.keys() & {"start", "end"} or options.strings == "text":
        return options.output(answers[best], evidence=evidence)
    return options.output(Either((answers[best], _as_class(answers[best], options, at))), evidence=evidence)


def _as_class(best: Transcription, options: ReadOptions, at: Path) -> Classification:
    """The best answer as the class it names, for a project that asks for a class."""
    return Classification((ClassScore(label_of(best.text, options, at), best.score),), chosen=True)


def _span(item: Mapping[str, Any], at: Path) -> dict[str, int]:
    return {key: integer(item[key], *at, key) for key in ("start", "end") if item.get(key) is not None}


def _answer(item: Mapping[str, Any], options: ReadOptions, at: Path) -> Transcription:
    text = string(member(item, "answer", at), *at, "answer")
    return Transcription(text, probability(member(item, "score", at), options, (*at, "score")))


FAMILY = Family(
    name="hf-question-answering",
    title="Hugging Face question answering",
    rule="an object (or a list of candidates, or a list of such lists) with `answer` and `score`",
    detect=detect_items(_KEYS, "objects with answer and score"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=row_reader(_read_row, _KEYS),
    options=("strings", "classes"),
    limits=(
        "The best-scored candidate is the answer, the others are kept as evidence. It is a transcription, or the class "
        "that it names where the project asks for a class and the answer has no place in a text."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/question-answering",),
)
