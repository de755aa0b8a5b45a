"""Hugging Face automatic speech recognition: ``{"text": …, "chunks": […]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import ROOT, Path, array, describe, fail, mapping, member
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput, Transcription
from worker.formats.structure import LIST, TEXT, Family, Keys, detect_items, near_items

_KEYS = Keys({"text": TEXT}, {"chunks": LIST})


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one transcription per object; an empty text is an answer (silence)."""
    if isinstance(payload, Mapping):
        return (_read_one(payload, options, at),)
    return tuple(_read_one(item, options, (*at, i)) for i, item in enumerate(array(payload, *at)))


def _read_one(item: Any, options: ReadOptions, at: Path) -> ModelOutput:
    text = member(mapping(item, *at), "text", at)
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a string")
    return options.output(Transcription(text.strip()))


FAMILY = Family(
    name="hf-speech",
    title="Hugging Face automatic speech recognition",
    rule="an object (or a list, one per recording) with `text`, perhaps `chunks`, and nothing else",
    detect=detect_items(_KEYS, "an object with text alone, or with chunks"),
    near=near_items(_KEYS),
    read=read,
    limits="The pipeline sends no probability, so the transcription has none; chunk times are not used.",
    sources=("https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition",),
)
