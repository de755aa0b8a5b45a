"""Every format by name, in the order of the documentation: code, mappings, and other packages' by entry point.

A package names its formats under ``[project.entry-points."prediction_worker.formats"]``; each entry is a ``Family``, an
``Envelope``, or a list or tuple of them. docs/how-to/new-format.md shows one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from worker.formats.envelopes import aws, services
from worker.formats.families import (
    coco,
    detectors,
    hf_pipelines,
    hf_token_classification,
    inference_logs,
    label_studio,
    model_servers,
    open_inference,
    openai,
    rows,
    tensors,
    torchserve,
    unwrapped,
)
from worker.formats.mappings import Catalogue, MappingError, parse_mappings, shipped
from worker.formats.recognise import FormatIndex
from worker.formats.structure import Envelope, Family

logger = logging.getLogger(__name__)

GROUP = "prediction_worker.formats"


@dataclass(frozen=True, slots=True)
class Plugins:
    """The formats of other packages, and what is wrong with those that could not be loaded, by entry point."""

    formats: tuple[Family | Envelope, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)


def load_plugins(entries: Iterable[EntryPoint], known: Collection[str] = ()) -> Plugins:
    """Load these entry points in the order of their names.

    One that cannot be loaded, or whose name is ``known``, is logged and left out: its payloads are then refused, and
    nothing else suffers.
    """
    found: dict[str, Family | Envelope] = {}
    problems: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        try:
            loaded = list(_formats(entry.load()))
            _refuse_taken(loaded, {*known, *found})
        except Exception as error:  # noqa: BLE001 - a foreign import raises anything
            problems[entry.name] = f"{entry.value}: {type(error).__name__}: {error}"
            logger.error("format not loaded: %s", problems[entry.name], extra={"action": "format_not_loaded"})  # noqa: TRY400
            continue
        found |= {one.name: one for one in loaded}
    return Plugins(tuple(found.values()), problems)


def _refuse_taken(loaded: Iterable[Family | Envelope], taken: Collection[str]) -> None:
    for one in loaded:
        if one.name in taken:
            raise ValueError(f"there is a format {one.name!r} already")


def _formats(value: object) -> Iterator[Family | Envelope]:
    if isinstance(value, Family | Envelope):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _formats(one)
    else:
        raise TypeError(f"{type(value).__name__} is neither a Family nor an Envelope, nor a list of them")


ANSWERS: tuple[Family, ...] = (
    unwrapped.KILI,
    *model_servers.TF_SERVING,
    open_inference.FAMILY,
    tensors.TRITON,
    model_servers.SELDON,
    unwrapped.SKLEARN,
    *torchserve.FAMILIES,
    hf_pipelines.CLASSIFICATION,
    hf_pipelines.ZERO_SHOT,
    hf_token_classification.FAMILY,
    hf_pipelines.OBJECT_DETECTION,
    hf_pipelines.SEGMENTATION,
    hf_pipelines.QUESTION_ANSWERING,
    hf_pipelines.SPEECH,
    detectors.ULTRALYTICS,
    detectors.TORCHVISION,
    coco.FAMILY,
    label_studio.FAMILY,
    openai.FAMILY,
    rows.PMML,
    unwrapped.OCR_LISTS,
    inference_logs.BENTOML,
    unwrapped.BARE_TEXT,
    unwrapped.SHORT_FORM,
)
"""Families that hold answers."""

ENVELOPES: tuple[Envelope, ...] = (
    inference_logs.CLOUDEVENTS,
    *aws.SAGEMAKER,
    aws.SQS,
    open_inference.GRPC,
    *aws.ENVELOPES,
    *services.CLOUDS,
    *model_servers.SELDON_ENVELOPES,
    *services.JOBS,
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
def answers() -> FormatIndex[Family]:
    """Families that are code, those of plugins included."""
    return FormatIndex((*ANSWERS, *(one for one in plugins().formats if isinstance(one, Family))))


@lru_cache(maxsize=1)
def envelopes() -> FormatIndex[Envelope]:
    """Envelopes that are code, those of plugins included."""
    return FormatIndex((*ENVELOPES, *(one for one in plugins().formats if isinstance(one, Envelope))))


def find(name: str, mappings: Catalogue) -> Family | Envelope | None:
    """The format of this name; None where there is none."""
    return _code().get(name) or mappings.families.get(name)


@lru_cache(maxsize=1)
def _code() -> Mapping[str, Family | Envelope]:
    known: tuple[Family | Envelope, ...] = (*answers().formats, *envelopes().formats)
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
