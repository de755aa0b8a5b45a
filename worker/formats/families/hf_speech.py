"""Hugging Face automatic speech recognition: ``{"text": …, "chunks": […]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput, Transcription
from worker.formats.checks import ROOT, Path, array, describe, fail, mapping, member
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.reply import refuse_place
from worker.formats.structure import ANY, TEXT, Family, Keys, detect_items, near_items, needed

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
_KEYS = Keys({"text": TEXT}, dict.fromkeys((*_BESIDE, *_MORE), ANY), closed=True)
_USED = frozenset(("text",))


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one transcription per object; an empty text is an answer (silence)."""
    if isinstance(payload, Mapping):
        return (_read_one(payload, options, at),)
    return tuple(_read_one(item, options, (*at, i)) for i, item in enumerate(array(payload, *at)))


def _read_one(item: Any, options: ReadOptions, at: Path) -> ModelOutput:
    entry = mapping(item, *at)
    _KEYS.refuse_stranger(entry, at)
    text = member(entry, "text", at)
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a string")
    if options.strings != "text":
        refuse_place(text, (*at, "text"))
    return with_ignored(options.output(Transcription(text.strip())), unused_keys([entry], _USED))


FAMILY = Family(
    catch_all=True,
    name="hf-speech",
    title="Hugging Face and Whisper speech recognition",
    rule="an object (or a list, one per recording) with `text`, and beside it at most times, the language and the like",
    detect=detect_items(_KEYS, "an object with a text and its times"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=read,
    limits="The pipeline sends no probability, so the transcription has none; times are not used.",
    sources=("https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition",),
)
