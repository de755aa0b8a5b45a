"""A bare text: the class that a handler answers with, or the text that a model wrote."""

from __future__ import annotations

from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, string
from worker.formats.families.rows import read_row
from worker.formats.options import ReadOptions
from worker.formats.structure import Family, Match, Miss


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the one text."""
    return (read_row(string(payload, *at), options, at),)


def _detect(payload: Any) -> Match | None:
    return Match("a bare text") if isinstance(payload, str) and payload.strip() else None


def _near(_payload: Any) -> Miss | None:
    return None


FAMILY = Family(
    name="bare-text",
    title="A bare text: a class or a text",
    rule="a text that is no JSON",
    detect=_detect,
    near=_near,
    takes=("text",),
    read=read,
    options=("strings", "classes", "exclusive"),
    limits="A class or a text: the project's job decides, or `strings`.",
    sources=("https://github.com/pytorch/serve/tree/master/examples/Huggingface_Transformers",),
)
