"""Hugging Face pipelines: classification, zero-shot classification, questions, speech, objects and masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.contract.output import (
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Either,
    ModelOutput,
    Transcription,
)
from worker.formats.checks import (
    ROOT,
    Path,
    array,
    describe,
    fail,
    integer,
    is_number,
    mapping,
    member,
    same_length,
    sides,
    string,
)
from worker.formats.coordinates import Canvas, canvas_for
from worker.formats.masks import shape_of_png
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import LeftOut, ReadOptions, keep
from worker.formats.reply import refuse_place
from worker.formats.scores import SUM_TOLERANCE, label_of, label_scores, probability
from worker.formats.structure import (
    ANY,
    LABEL,
    LIST,
    NUMBER,
    NUMBER_OR_NULL,
    OBJECT,
    TEXT,
    Family,
    Keys,
    Row,
    detect_items,
    near_items,
    needed,
    row_reader,
    rows_of,
)

_CLASS_KEYS = Keys({"label": LABEL, "score": NUMBER})


def read_class(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the class scores of one item."""
    labels = [label_of(member(item, "label", place), options, (*place, "label")) for item, place in row]
    scores = [member(item, "score", place) for item, place in row]
    return options.output(label_scores(labels, scores, options, at, lambda i: (*row[i][1], "score")))


CLASSIFICATION = Family(
    name="hf-classification",
    title="Hugging Face text, image and audio classification",
    rule="a list (per item) of objects with `label` and `score` and no geometry",
    detect=detect_items(_CLASS_KEYS, "objects with label and score"),
    near=near_items(_CLASS_KEYS),
    needs=needed(_CLASS_KEYS),
    read=row_reader(read_class, _CLASS_KEYS),
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "A flat list is one item with several classes; send a batch as a list of lists. "
        "Unnamed labels (LABEL_0) are named by `classes`."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/text-classification",),
)


_SEQUENCE_KEYS = Keys({"sequence": TEXT, "labels": LIST, "scores": LIST})


def read_zero_shot(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one item per sequence; the task API's ``[{"label", "score"}]`` form is read as well."""
    if isinstance(payload, Mapping):
        return (_read_sequence(payload, options, at),)
    items = array(payload, *at)
    if items and isinstance(items[0], Mapping) and "sequence" in items[0]:
        return tuple(_read_sequence(item, options, (*at, i)) for i, item in enumerate(items))
    return tuple(_read_pairs(row, options, path) for row, path in rows_of(payload, at))


def _read_sequence(item: Any, options: ReadOptions, at: Path) -> ModelOutput:
    result = mapping(item, *at)
    _SEQUENCE_KEYS.refuse_stranger(result, at)
    labels = array(member(result, "labels", at), *at, "labels")
    scores = array(member(result, "scores", at), *at, "scores")
    same_length({"labels": labels, "scores": scores}, at)
    names = [label_of(label, options, (*at, "labels", i)) for i, label in enumerate(labels)]
    ignored = unused_keys([result], {"sequence", "labels", "scores"})
    return with_ignored(_scored(names, scores, options, (*at, "scores")), ignored)


def _read_pairs(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    settled = _settle([item.get("score") for item, _ in row], options)
    return read_class(row, settled, at)


def _scored(names: list[str], scores: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    if not names:
        fail(at, f"{describe(scores)} without any label")
    settled = _settle(scores, options)
    return options.output(label_scores(names, scores, settled, at, whole=True))


def _settle(scores: list[Any], options: ReadOptions) -> ReadOptions:
    """A single-label pipeline soft-maxes over the labels, so another sum can only come from multi_label."""
    if options.exclusive is not None or options.score_kind == "logit":
        return options
    total = math.fsum(float(score) for score in scores if is_number(score) and abs(score) < 2)
    return options if abs(total - 1) <= SUM_TOLERANCE else replace(options, exclusive=False)


ZERO_SHOT = Family(
    name="hf-zero-shot",
    title="Hugging Face zero-shot classification",
    rule="an object (or a list of them) with `sequence`, `labels` and `scores`",
    detect=detect_items(_SEQUENCE_KEYS, "an object with sequence, labels and scores"),
    near=near_items(_SEQUENCE_KEYS),
    needs=needed(_SEQUENCE_KEYS),
    read=read_zero_shot,
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "Scores that do not sum to 1 can only come from multi_label and are read as independent. "
        "Name the format to read the `[{label, score}]` form as zero-shot."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/zero-shot-classification",),
)


_ANSWER_KEYS = Keys(
    {"answer": TEXT, "score": NUMBER},
    {"start": NUMBER_OR_NULL, "end": NUMBER_OR_NULL, "words": LIST, "page": NUMBER_OR_NULL},
)


def _read_answer(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
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


QUESTION_ANSWERING = Family(
    name="hf-question-answering",
    title="Hugging Face question answering",
    rule="an object (or a list of candidates, or a list of such lists) with `answer` and `score`",
    detect=detect_items(_ANSWER_KEYS, "objects with answer and score"),
    near=near_items(_ANSWER_KEYS),
    needs=needed(_ANSWER_KEYS),
    read=row_reader(_read_answer, _ANSWER_KEYS),
    options=("strings", "classes"),
    limits=(
        "The best-scored candidate is the answer, the others are kept as evidence. It is a transcription, or the class "
        "that it names where the project asks for a class and the answer has no place in a text."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/question-answering",),
)


_BESIDE = (
    "chunks",
    "segments",
    "words",
    "timestamps",
    "x_groq",
    "usage",
    "duration",
    "language",
    "language_code",
    "logprobs",
)
_MORE = ("language_probability", "task", "id", "model", "request_id", "timestamp", "processing_time")
_SPEECH_KEYS = Keys({"text": TEXT}, dict.fromkeys((*_BESIDE, *_MORE), ANY), closed=True)
_SPEECH_USED = frozenset(("text",))


def read_speech(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one transcription per object; an empty text is an answer (silence)."""
    if isinstance(payload, Mapping):
        return (_read_recording(payload, options, at),)
    return tuple(_read_recording(item, options, (*at, i)) for i, item in enumerate(array(payload, *at)))


def _read_recording(item: Any, options: ReadOptions, at: Path) -> ModelOutput:
    entry = mapping(item, *at)
    _SPEECH_KEYS.refuse_stranger(entry, at)
    text = member(entry, "text", at)
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a string")
    if options.strings != "text":
        refuse_place(text, (*at, "text"))
    return with_ignored(options.output(Transcription(text.strip())), unused_keys([entry], _SPEECH_USED))


SPEECH = Family(
    catch_all=True,
    name="hf-speech",
    title="Hugging Face and Whisper speech recognition",
    rule="an object (or a list, one per recording) with `text`, and beside it at most times, the language and the like",
    detect=detect_items(_SPEECH_KEYS, "an object with a text and its times"),
    near=near_items(_SPEECH_KEYS),
    needs=needed(_SPEECH_KEYS),
    read=read_speech,
    limits="The pipeline sends no probability, so the transcription has none; times are not used.",
    sources=("https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition",),
)


_OBJECT_KEYS = Keys({"label": LABEL, "score": NUMBER, "box": OBJECT})
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _read_objects(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Detection(()))
    canvas = canvas_for(options, at)
    kept = keep(row, lambda one: _object(one[0], options, canvas, one[1]), options)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _object(item: Mapping[str, Any], options: ReadOptions, canvas: Canvas, at: Path) -> DetectedObject:
    place = (*at, "box")
    x1, y1, x2, y2 = sides(member(item, "box", at), _SIDES, place)
    return DetectedObject(
        label_of(member(item, "label", at), options, (*at, "label")),
        canvas.box(x1, y1, x2, y2, place),
        probability(item.get("score"), options, (*at, "score")),
    )


OBJECT_DETECTION = Family(
    name="hf-object-detection",
    title="Hugging Face object detection and zero-shot object detection",
    rule="a list (per image) of objects with `label`, `score` and a `box` object",
    detect=detect_items(_OBJECT_KEYS, "objects with label, score and box"),
    near=near_items(_OBJECT_KEYS),
    needs=needed(_OBJECT_KEYS),
    read=row_reader(_read_objects, _OBJECT_KEYS),
    options=("image_size", "units", "classes"),
    limits="Boxes are in pixels unless `units` says otherwise.",
    sources=("https://huggingface.co/docs/inference-providers/tasks/object-detection",),
)


_MASK_KEYS = Keys({"label": LABEL, "mask": TEXT}, {"score": NUMBER_OR_NULL, "box": OBJECT})
_MASK_USED = frozenset(("label", "mask", "score"))


def _read_masks(row: Row, options: ReadOptions, _at: Path) -> ModelOutput:
    kept = keep(row, lambda one: _masked(*one, options), options)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _masked(item: Mapping[str, Any], at: Path, options: ReadOptions) -> DetectedObject:
    label = label_of(member(item, "label", at), options, (*at, "label"))
    score = probability(item.get("score"), options, (*at, "score"))
    shape = shape_of_png(member(item, "mask", at), (*at, "mask"))
    if shape is None:
        raise LeftOut("empty_masks")
    return DetectedObject(label, shape, score)


SEGMENTATION = Family(
    name="hf-segmentation",
    title="Hugging Face image segmentation",
    rule="a list (per image) of objects with `label`, `mask` and perhaps `score`",
    detect=detect_items(_MASK_KEYS, "objects with label and mask"),
    near=near_items(_MASK_KEYS),
    needs=needed(_MASK_KEYS),
    read=row_reader(_read_masks, _MASK_KEYS, _MASK_USED),
    options=("classes",),
    limits=(
        "Masks are grayscale PNG in base64, 16 megapixels at most; 128 and lighter is inside, in a mask of 0 and 1 "
        "alone 1. Outlines are simplified by at most 1 pixel. A mask without a pixel is left out and counted in the "
        "evidence."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/image-segmentation",),
)
