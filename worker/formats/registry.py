"""Every format by name, in the order of the documentation: code, plugins, mappings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from worker.formats.families import (
    aws_envelopes,
    bare_text,
    bentoml,
    cloud_envelopes,
    cloudevents,
    coco,
    hf_classification,
    hf_object_detection,
    hf_question_answering,
    hf_segmentation,
    hf_speech,
    hf_token_classification,
    hf_zero_shot,
    job_envelopes,
    kili,
    label_studio,
    ocr_lists,
    open_inference,
    open_inference_grpc,
    openai,
    pmml,
    sagemaker,
    seldon,
    short_form,
    sklearn,
    sqs,
    tf_serving,
    torchserve,
    torchvision,
    triton,
    ultralytics,
)
from worker.formats.mappings import Catalogue, MappingError, parse_mappings, shipped
from worker.formats.plugins import GROUP, Plugins, load_plugins
from worker.formats.structure import Envelope, Family

ANSWERS: tuple[Family, ...] = (
    kili.FAMILY,
    *tf_serving.FAMILIES,
    open_inference.FAMILY,
    triton.FAMILY,
    seldon.FAMILY,
    sklearn.FAMILY,
    *torchserve.FAMILIES,
    hf_classification.FAMILY,
    hf_zero_shot.FAMILY,
    hf_token_classification.FAMILY,
    hf_object_detection.FAMILY,
    hf_segmentation.FAMILY,
    hf_question_answering.FAMILY,
    hf_speech.FAMILY,
    ultralytics.FAMILY,
    torchvision.FAMILY,
    coco.FAMILY,
    label_studio.FAMILY,
    openai.FAMILY,
    pmml.FAMILY,
    ocr_lists.FAMILY,
    bentoml.FAMILY,
    bare_text.FAMILY,
    short_form.FAMILY,
)
"""Families that hold answers."""

ENVELOPES: tuple[Envelope, ...] = (
    cloudevents.ENVELOPE,
    *sagemaker.ENVELOPES,
    sqs.ENVELOPE,
    open_inference_grpc.ENVELOPE,
    *aws_envelopes.ENVELOPES,
    *cloud_envelopes.ENVELOPES,
    *job_envelopes.ENVELOPES,
)
"""Wrappers around payloads of the families."""

_BUILT_IN: tuple[Family | Envelope, ...] = (*ANSWERS, *ENVELOPES)
FAMILIES: Mapping[str, Family | Envelope] = MappingProxyType({item.name: item for item in _BUILT_IN})
"""The formats that are code of this package, by name."""


@lru_cache(maxsize=1)
def plugins() -> Plugins:
    """The formats of other packages that are installed, loaded once."""
    return load_plugins(entry_points(group=GROUP), {*FAMILIES, *shipped().mappings})


@lru_cache(maxsize=1)
def answers() -> tuple[Family, ...]:
    """Families that are code, those of plugins included."""
    return (*ANSWERS, *(one for one in plugins().formats if isinstance(one, Family)))


@lru_cache(maxsize=1)
def envelopes() -> tuple[Envelope, ...]:
    """Envelopes that are code, those of plugins included."""
    return (*ENVELOPES, *(one for one in plugins().formats if isinstance(one, Envelope)))


def find(name: str, mappings: Catalogue) -> Family | Envelope | None:
    """The format of this name; None where there is none."""
    return _code().get(name) or mappings.families.get(name)


@lru_cache(maxsize=1)
def _code() -> Mapping[str, Family | Envelope]:
    known: tuple[Family | Envelope, ...] = (*answers(), *envelopes())
    return {item.name: item for item in known}


def formats(mappings: Catalogue | None = None) -> Mapping[str, Family | Envelope]:
    """Every format by name: code, plugins, mappings (None: those that are shipped)."""
    return {**_code(), **(shipped() if mappings is None else mappings).families}


def extended(tables: Any) -> Catalogue:
    """The shipped mappings and those of these ``[formats.NAME]`` tables, which jq has been asked to compile.

    Raises MappingError for a table that is wrong, an expression that jq refuses, or the name of another format.
    """
    added = parse_mappings(tables)
    for name in added:
        if name in formats():
            raise MappingError(name, "", "is the name of another format; choose another name")
    Catalogue(added.values()).check()
    return shipped().with_mappings(added)
