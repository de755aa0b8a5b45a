"""What a review policy may look at, what it decides, and the port between the policy and everybody else.

A subject is made of a message and of what its model said; its confidence is the message's, else the output's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from worker.contract import Prediction
from worker.contract.output import (
    Answer,
    Classification,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    ModelOutput,
    Several,
    Transcription,
)
from worker.formats import are_independent
from worker.kili.ids import derived_asset_id
from worker.ontology import confidence_of

SEPARATOR = "\x1f"

_TRACE = b',"trace":"'
"""Begins the last key in what ``to_bytes`` writes; within a text a quote is never without its backslash."""


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """One model version's answers to one job of one project: what is comparable with itself."""

    project: str
    job: str
    model: str

    @property
    def key(self) -> str:
        """Its name in the state."""
        return SEPARATOR.join((self.project, self.job, self.model))

    @property
    def family(self) -> str:
        """The same for all versions of the model (``name:version``)."""
        return SEPARATOR.join((self.project, self.job, self.model.rpartition(":")[0] or self.model))


class Subject(msgspec.Struct, gc=False):
    """What a policy may look at: one prediction, before it is uploaded.

    ``answer`` is what the model said, or makes it when somebody looks at ``output``; it must not fail then.
    ``confidence`` is the model's own, in [0, 1], or None when nothing in the prediction tells it. ``embedding``
    describes the asset's content (any length, the same for one model); it feeds the optional stronger scorer.
    ``derived`` tells that the confidence is known to be the output's own, and not stated by the producer.
    """

    project: str
    external_id: str
    asset_id: str
    model: str
    answer: ModelOutput | Callable[[], ModelOutput]
    confidence: float | None
    metadata: Mapping[str, Any] = {}
    embedding: Sequence[float] | None = None
    derived: bool = False

    @property
    def output(self) -> ModelOutput:
        """What the model said."""
        if not isinstance(self.answer, ModelOutput):
            self.answer = self.answer()
        return self.answer


class ReviewDecision(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a prediction goes and why.

    ``lane`` is 0 (first) to 9; ``priority`` is Kili's integer, 0 = untouched; ``inclusion_probability`` is the
    probability, in (0, 1], with which the audit draw could choose the asset, whatever it did choose; None where the
    policy draws no audit sample. ``audit`` tells whether it did.

    ``band`` is 3 (must be reviewed), 2 (audit sample), 1 (doubtful, within the capacity) or 0. ``upload`` is False
    for a prediction that is only counted; ``uploaded_share`` is the share of predictions like it that are uploaded,
    None for all of them. ``expected_errors`` (0 and up) is read from the output by way of ``evidence``;
    ``error_probability`` in (0, 1) is calibrated with verdicts. ``percentile``, ``deviation``, ``predicted`` and
    ``runner_up`` are what the calibration looked at, kept so that it can learn from the verdict.
    """

    lane: int
    priority: int
    reason: str
    policy: str
    confidence: float | None = None
    inclusion_probability: float | None = None
    upload: bool = True
    band: int = 0
    audit: bool = False
    uploaded_share: float | None = None
    job: str = ""
    expected_errors: float | None = None
    error_probability: float | None = None
    evidence: str = ""
    percentile: float | None = None
    deviation: float | None = None
    predicted: str = ""
    runner_up: str = ""

    def to_bytes(self, history: Sequence[Mapping[str, Any]] = (), source: str = "", trace: str = "") -> bytes:
        """Compact JSON, kept beside the prediction in the spool.

        ``history`` tells of earlier dead letters, ``source`` is the name of the source that brought the message,
        ``trace`` its trace context.

        What is as by default is left out.
        """
        try:
            return _encode(self)[:-1] + (_end(history, source, trace) if history or trace else _usual_end(source))
        except UnicodeEncodeError:  # a lone surrogate in a name
            more = _more(history, source, trace)
            return json.dumps(msgspec.to_builtins(self) | more, separators=(",", ":")).encode()

    @staticmethod
    def history_in(raw: bytes) -> list[dict[str, Any]]:
        """The history that ``to_bytes`` was given."""
        history: list[dict[str, Any]] = json.loads(raw).get("history", [])
        return history

    @staticmethod
    def source_in(raw: bytes) -> str:
        """The source that ``to_bytes`` was given; empty for entries of before sources were named."""
        return str(json.loads(raw).get("source", ""))

    @staticmethod
    def trace_in(raw: bytes) -> str:
        """The trace context that ``to_bytes`` was given; empty without one."""
        at = raw.rfind(_TRACE)
        return raw[at + len(_TRACE) : -2].decode() if at >= 0 else ""

    @classmethod
    def from_bytes(cls, raw: bytes) -> ReviewDecision:
        """Read what ``to_bytes`` wrote; keys of newer versions are left out."""
        try:
            return _decode(raw)
        except msgspec.DecodeError:  # a lone surrogate in a name, or NaN of an earlier version
            found = json.loads(raw)
            return cls(**{name: found[name] for name in cls.__struct_fields__ if name in found})

    def metadata(self) -> dict[str, Any]:
        """The decision as keys of an asset's jsonMetadata (``METADATA_KEYS``); what is unknown is left out."""
        values = zip(METADATA_KEYS, _metadata_values(self), strict=True)
        return {key: value for key, value in values if value is not None and value != ""}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> ReviewDecision | None:
        """Read what ``metadata`` wrote; None for an asset that this worker did not decide on.

        Lane and priority are not kept in Kili's metadata: they come back as 0.
        """
        if "review_reason" not in metadata:
            return None
        found = {name: metadata[key] for key, name in METADATA_KEYS.items() if key in metadata}
        return cls(**{"lane": 0, "priority": 0, "policy": "", **found})


def _more(history: Sequence[Mapping[str, Any]], source: str, trace: str) -> dict[str, Any]:
    found: dict[str, Any] = {"history": list(history), "source": source, "trace": trace}
    return {name: value for name, value in found.items() if value}


def _end(history: Sequence[Mapping[str, Any]], source: str, trace: str) -> bytes:
    """What follows the decision's own keys."""
    more = _more(history, source, trace)
    return b"," + _encode(more)[1:] if more else b"}"


@lru_cache(maxsize=256)
def _usual_end(source: str) -> bytes:
    return _end((), source, "")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ReviewDecision).decode
METADATA_KEYS = {
    "prediction_confidence": "confidence",
    "review_reason": "reason",
    "review_policy": "policy",
    "review_band": "band",
    "review_audit": "audit",
    "review_inclusion_probability": "inclusion_probability",
    "review_uploaded_share": "uploaded_share",
    "review_expected_errors": "expected_errors",
    "review_error_probability": "error_probability",
    "review_evidence": "evidence",
    "review_job": "job",
    "review_percentile": "percentile",
    "review_deviation": "deviation",
    "review_class": "predicted",
    "review_runner_up": "runner_up",
}
"""Keys of jsonMetadata, and the decision's field that each holds."""

_metadata_values = attrgetter(*METADATA_KEYS.values())


class ReviewPolicy(Protocol):
    """Decides once, at admission."""

    def decide(self, subject: Subject) -> ReviewDecision:
        """Lane, priority and reason of one prediction."""
        ...

    def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
        """Decide on predictions that arrive together, in their order."""
        ...

    def keep(self) -> None:
        """Let the fleet know now what was counted here; raises redis.RedisError, and keeps it, when it cannot."""


def own_confidence(output: ModelOutput) -> float | None:
    """Confidence in [0, 1], or None when the output tells none.

    Single choice: the greatest score. Several choices: the least sure decision, min over classes of max(p, 1 - p).
    Detection and entities: the least sure element. Transcription: its score, else exp of the mean token logprob.
    A video: its least sure key frame. Several jobs: the least sure one. A Kili response: its least sure category or
    object.
    """
    return _confidence(output.answer)


def _confidence(answer: Answer) -> float | None:
    match answer:
        case Classification(scores=scores, exclusive=exclusive):
            return confidence_in([one.score for one in scores if one.score is not None], exclusive is False)
        case Detection(objects=objects):
            return _least(one.score for one in objects)
        case Entities(entities=entities):
            return _least(one.score for one in entities)
        case Transcription(score=score, token_logprobs=logs):
            return score if score is not None or not logs else math.exp(sum(logs) / len(logs))
        case Frames(frames=frames):
            return _least(_confidence(one.answer) for one in frames if one.key)
        case Several(answers=answers):
            return _least(map(_confidence, answers.values()))
        case Either(answers=answers):
            return _confidence(answers[0])
        case KiliResponse(json_response=response):
            return confidence_of(response)
    return None


def confidence_in(scores: Collection[float], independent: bool) -> float | None:
    """Confidence in a choice, from the scores of its classes; ``independent`` where several may be chosen."""
    if independent:
        return min([max(score, 1 - score) for score in scores], default=None)
    return max(scores, default=None)


def _least(scores: Iterable[float | None]) -> float | None:
    return min((score for score in scores if score is not None), default=None)


def subject_of(prediction: Prediction, output: ModelOutput, project: str) -> Subject:
    """The subject of one prediction; the confidence is the message's, else the output's own."""
    stated = prediction.confidence
    return _subject(prediction, output, project, own_confidence(output) if stated is None else stated)


def subject_of_scores(
    prediction: Prediction, scores: Mapping[str, float], read: Callable[[], ModelOutput], project: str
) -> Subject:
    """The same of a prediction of plain scores, whose output ``read`` makes when somebody looks at it."""
    confidence = prediction.confidence
    if confidence is None:
        values = scores.values()
        confidence = confidence_in(values, are_independent(fsum(values)))
    return _subject(prediction, read, project, confidence)


def _subject(
    prediction: Prediction, answer: ModelOutput | Callable[[], ModelOutput], project: str, confidence: float | None
) -> Subject:
    return Subject(
        project,
        prediction.external_id,
        derived_asset_id(project, prediction.external_id),
        prediction.model.label,
        answer,
        confidence,
        prediction.metadata,
        prediction.embedding,
        prediction.confidence is None,
    )
