"""Every family, by name, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from worker.formats.families import (
    bare_text,
    bentoml,
    cloudevents,
    coco,
    hf_classification,
    hf_object_detection,
    hf_question_answering,
    hf_segmentation,
    hf_speech,
    hf_token_classification,
    hf_zero_shot,
    kili,
    label_studio,
    open_inference,
    openai,
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
    bentoml.FAMILY,
    bare_text.FAMILY,
    short_form.FAMILY,
)
"""Families that hold answers."""

ENVELOPES: tuple[Envelope, ...] = (cloudevents.ENVELOPE, *sagemaker.ENVELOPES, sqs.ENVELOPE)
"""Wrappers around payloads of the families."""

_ALL: tuple[Family | Envelope, ...] = (*ANSWERS, *ENVELOPES)

FAMILIES: Mapping[str, Family | Envelope] = MappingProxyType({item.name: item for item in _ALL})
"""Everything that is recognised, by name."""
