"""The message contract ``prediction/v1``: one model prediction for one asset."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import astuple
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema

from worker.contract.parts import (
    FINITE,
    SHAPES,
    SHORT,
    Box,
    ClassScores,
    EntitySpan,
    Identifier,
    JobAnswer,
    Labels,
    Mask,
    Part,
    Points,
    Polygon,
    Probability,
    ShortName,
    check_identifier,
    check_names,
    plain,
)

SCHEMA_NAME: Literal["prediction/v1"] = "prediction/v1"


def _written_out(value: Any) -> Any:
    if not isinstance(value, str | datetime):
        raise ValueError('must be an ISO 8601 text with a zone, such as "2026-11-23T10:15:00Z"')  # noqa: TRY004
    return value


def _in_plain_utc(found: datetime) -> datetime:
    """Without an offset in the zone that is Python's own, whose moments are told apart for less."""
    return found if found.utcoffset() else found.replace(tzinfo=UTC)


_WRITTEN = Annotated[AwareDatetime, BeforeValidator(_written_out), Field(strict=False), AfterValidator(_in_plain_utc)]
any_moment = TypeAdapter(_WRITTEN).validator.validate_python
_is_usual = re.compile(r"[12]\d{3}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII).fullmatch


def moment_of(found: Any) -> datetime:
    """The moment that a text names; Python itself reads the usual form, for less, as pydantic does."""
    if type(found) is str and _is_usual(found):
        try:
            return datetime.fromisoformat(found)
        except ValueError:
            pass  # a day or a second that there is not
    moment: datetime = any_moment(found)
    return moment


class _Moment:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(_WRITTEN)


if TYPE_CHECKING:
    Moment = datetime
else:  # pydantic's words and its idea of a moment for both: msgspec rounds where pydantic cuts
    Moment = Annotated[Any, _Moment()]


TraceText = Annotated[str, Meta(max_length=1000)]

CONTENTS = ("url", "text", "json_content", "path")
ANSWERS = ("json_response", "payload", "answer", *SHORT)
"""Answers of which an output has one, or shapes instead."""

READING = (
    *("format", "image_sizes", "score_kind", "exclusive", "field", "strings", "frames"),
    *("classes", "first_class", "image_size", "units", "box_order", "point_names", "outside", "outside_tolerance"),
    *("on_bad_object", "nothing_found", "min_score", "ignored_classes"),
)
"""What tells how a payload is read."""

PAYLOAD_ONLY = ("format", "image_sizes", "field", "strings", "frames", "nothing_found", "score_kind")
"""Of these, what goes with no other answer."""

CLASS_KEYS = ("classes", "first_class", "ignored_classes")
GOES_WITH = {
    "scores": ("exclusive", "ignored_classes"),
    "labels": CLASS_KEYS,
    "entities": (*CLASS_KEYS, "min_score", "on_bad_object"),
    "shapes": tuple(name for name in READING if name not in PAYLOAD_ONLY and name != "exclusive"),
}
"""What goes with an answer in the short form."""

Embedding = Annotated[list[Annotated[float, FINITE]], Meta(min_length=1, max_length=4096)]
ImageSize = Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=2, max_length=2)]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AssetContent(Part):
    """Where the asset's content is; exactly one of the four."""

    url: Annotated[
        Annotated[str, Meta(min_length=1, max_length=8192)] | None, Meta(description="Hosted content, fetched by Kili.")
    ] = None
    text: Annotated[str | None, Meta(description="The text itself (TEXT projects).")] = None
    json_content: Annotated[
        dict[str, Any] | list[Any] | None, Meta(description="Kili's jsonContent (rich text, video frames).")
    ] = None
    path: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096)] | None,
        Meta(description="A local file below one of the roots that the worker's settings allow."),
    ] = None

    def __post_init__(self) -> None:
        content = (self.url, self.text, self.json_content, self.path)
        if content.count(None) != len(content) - 1:
            found = _given(self, CONTENTS)
            raise ValueError(f"needs exactly one of {', '.join(CONTENTS)}; found {found}")


class ModelVersion(Part):
    """The model that made the prediction."""

    name: ShortName
    version: ShortName

    def __post_init__(self) -> None:
        check_names((self.name, self.version))

    @property
    def label(self) -> str:
        """``name:version``, Kili's ``modelName``."""
        return f"{self.name}:{self.version}"


class Evidence(Part):
    """What tells of errors that the answer itself does not show."""

    token_scores: Annotated[
        list[Probability] | None,
        Meta(description="Probability of every token's tag, those without an entity included."),
    ] = None
    candidate_scores: Annotated[
        list[Probability] | None, Meta(description="Scores of the candidates below the model's threshold.")
    ] = None
    pixel_doubt: Annotated[
        Annotated[float, Meta(ge=0.0), FINITE] | None,
        Meta(description="Mean over the pixels of 1 - the greatest probability."),
    ] = None


class Output(Part):
    """What the model said: Kili's own json_response, a serving stack's raw payload, or an answer in the short form."""

    json_response: Annotated[dict[str, Any] | None, Meta(description="Kili's own response shape.")] = None
    scores: Annotated[ClassScores | None, Meta(description="Class name to probability, 0 to 1.")] = None
    labels: Annotated[Labels | None, Meta(description="Classes that the model chose, without scores.")] = None
    text: Annotated[str | None, Meta(description="A text that the model wrote or read.")] = None
    entities: Annotated[list[EntitySpan] | None, Meta(description="Spans of the asset's text; [] for none.")] = None
    boxes: Annotated[list[Box] | None, Meta(description="Rectangles; [] for none.")] = None
    polygons: Annotated[list[Polygon] | None, Meta(description="Outlines, perhaps with holes; [] for none.")] = None
    masks: Annotated[list[Mask] | None, Meta(description="Masks of pixels; [] for none.")] = None
    points: Annotated[list[Points] | None, Meta(description="Single points and poses; [] for none.")] = None
    jobs: Annotated[
        Annotated[dict[ShortName, JobAnswer], Meta(min_length=1)] | None,
        Meta(description="Answers to several jobs, by job."),
    ] = None
    payload: Annotated[Any, Meta(description="What the serving stack answered, unchanged.")] = None
    answer: Annotated[dict[str, Any] | None, Meta(description="The neutral form that payloads are read into.")] = None
    job: Annotated[ShortName | None, Meta(description="The Kili job; optional when only one fits.")] = None
    format: Annotated[ShortName | None, Meta(description="Format of the payload; `auto` when absent.")] = None
    classes: Annotated[list[str] | dict[str, str] | None, Meta(description="Names of class indexes.")] = None
    first_class: Annotated[
        Literal[0, 1] | None, Meta(description="Index of the first name of a list of classes; 0 when absent.")
    ] = None
    image_size: Annotated[ImageSize | None, Meta(description="Width and height in pixels.")] = None
    image_sizes: Annotated[
        Annotated[list[ImageSize], Meta(min_length=1)] | None,
        Meta(description="Width and height of each image of a batch, in order."),
    ] = None
    score_kind: Annotated[
        Literal["probability", "logit"] | None, Meta(description="What the payload's scores are.")
    ] = None
    units: Annotated[
        Literal["pixel", "relative", "percent", "per_mille"] | None,
        Meta(description="What coordinates are: pixels, 0 to 1, 0 to 100, or 0 to 1000."),
    ] = None
    box_order: Annotated[
        Literal["xyxy", "xywh", "cxcywh", "yxyx"] | None, Meta(description="What the four numbers of a box are.")
    ] = None
    exclusive: Annotated[bool | None, Meta(description="Single choice (true) or independent classes (false).")] = None
    field: Annotated[
        ShortName | None,
        Meta(description="The tensor, column, key or control to read where the payload holds several."),
    ] = None
    point_names: Annotated[
        list[ShortName] | None, Meta(description="Names of a pose's points, in the model's order.")
    ] = None
    strings: Annotated[Literal["label", "text"] | None, Meta(description="What a bare string is.")] = None
    frames: Annotated[bool | None, Meta(description="Whether the rows are the frames of one video.")] = None
    outside: Annotated[
        Literal["clip", "drop", "refuse"] | None,
        Meta(description="What becomes of an object that reaches a little over the image's edge."),
    ] = None
    outside_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=0.5)] | None,
        Meta(description="How much is a little, as a share of the side; 0.02, at least 5 pixels."),
    ] = None
    on_bad_object: Annotated[
        Literal["refuse", "drop"] | None,
        Meta(description="Whether one wrong object refuses the payload or is left out and counted."),
    ] = None
    nothing_found: Annotated[bool | None, Meta(description="Whether an empty payload says that nothing was found.")] = (
        None
    )
    min_score: Annotated[
        Probability | dict[str, Probability] | None,
        Meta(description="Least score of an object or entity; or one per class, `*` for all others."),
    ] = None
    unknown_classes: Annotated[
        Literal["refuse", "ignore"] | None,
        Meta(description="Whether a class without a category refuses the answer or is left out."),
    ] = None
    ignored_classes: Annotated[list[str] | None, Meta(description="Classes of the model to leave out.")] = None
    evidence: Annotated[Evidence | None, Meta(description="More to tell doubt by; not sent to Kili.")] = None

    def __post_init__(self) -> None:
        if self.job is not None:
            check_names((self.job,))
        if self.scores is not None and astuple(self).count(None) == _KEYS - 1 - (self.job is not None):
            return  # the usual message
        answers = [name for name in ANSWERS if getattr(self, name) is not None]
        shapes = [name for name in SHAPES if getattr(self, name) is not None]
        if len(answers) + bool(shapes) != 1:
            found = " and ".join((*answers, *shapes)) or "none"
            raise ValueError(f"needs exactly one of {', '.join((*ANSWERS, *SHAPES))}; found {found}")
        if self.payload is None:
            kind = "shapes" if shapes or self.jobs is not None else answers[0]
            for name in READING:
                if getattr(self, name) is not None and name not in GOES_WITH.get(kind, ()):
                    only = "only goes with payload" if name in PAYLOAD_ONLY else f"does not go with {kind}"
                    raise ValueError(f"{name} {only}; remove it")
        check_names([*filter(None, (self.format, self.field)), *(self.point_names or ()), *(self.jobs or ())])

    def short_form(self) -> dict[str, Any]:
        """The answer in the short form as plain values, without what was not sent."""
        given = [name for name in (*SHORT, *SHAPES) if getattr(self, name) is not None]
        return {name: value for name, value in plain(self).items() if name in given}


_KEYS = len(Output.__struct_fields__)


def _given(part: Part, names: Iterable[str]) -> str:
    return " and ".join(name for name in names if getattr(part, name) is not None) or "none"


class _Message(Part, kw_only=True):
    schema_: Literal["prediction/v1"] = msgspec.field(default=SCHEMA_NAME, name="schema")
    project_id: Annotated[Identifier | None, Meta(description="Kili project; default from the settings.")] = None
    model: ModelVersion
    output: Output
    predicted_at: Annotated[
        Moment,
        Meta(description="When the model predicted, ISO 8601 with a zone. The newest wins."),
    ]
    metadata: Annotated[
        dict[ShortName, str | int | float | bool | None],
        Meta(description="Lands in the asset's jsonMetadata, beside the worker's own keys."),
    ] = msgspec.field(default_factory=dict)
    message_id: Annotated[ShortName | None, Meta(description="For tracing only.")] = None
    traceparent: Annotated[
        TraceText | None,
        Meta(description="W3C trace context of what made the prediction; one that is none is ignored."),
    ] = None
    tracestate: Annotated[TraceText | None, Meta(description="Goes with traceparent.")] = None

    def __post_init__(self) -> None:
        if not isinstance(self.predicted_at, datetime):
            self.predicted_at = moment_of(self.predicted_at)
        check_identifier(self.project_id)
        check_names(self.metadata)
        if self.message_id is not None:
            check_names((self.message_id,))

    @property
    def stamp(self) -> int:
        """``predicted_at`` in microseconds since the epoch (exact integer arithmetic)."""
        since = self.predicted_at - EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class Prediction(_Message, kw_only=True):
    """One prediction of one model version for one asset (``prediction/v1``)."""

    external_id: Annotated[Identifier, Meta(description="Stable name of the asset within the project.")]
    asset: Annotated[
        AssetContent | None, Meta(description="The content; absent when the asset already exists in Kili.")
    ] = None
    confidence: Annotated[
        Probability | None, Meta(description="Probability of being right; derived from the output when absent.")
    ] = None
    embedding: Annotated[
        Embedding | None,
        Meta(description="Describes the asset's content to the optional stronger scorer; not sent to Kili."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_identifier(self.external_id)

    def to_json(self) -> bytes:
        """As a producer would have sent it, without what is null."""
        values = zip(self.__struct_encode_fields__, astuple(self), strict=True)
        return msgspec.json.encode({name: value for name, value in values if value is not None})


class PredictionBatch(_Message, kw_only=True):
    """One answer of a serving stack that holds a row per asset; row n belongs to ``external_ids[n]``."""

    external_ids: Annotated[
        list[Identifier],
        Meta(min_length=1, max_length=10_000, description="The assets' names, in the order of the rows."),
    ]
    assets: Annotated[list[AssetContent | None] | None, Meta(description="The contents, in the same order.")] = None
    embeddings: Annotated[list[Embedding | None] | None, Meta(description="One of each asset, in the same order.")] = (
        None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for external_id in self.external_ids:
            check_identifier(external_id)
        if len(set(self.external_ids)) < len(self.external_ids):
            raise ValueError("external_ids names an asset twice; name each once")
        if self.output.evidence is not None:
            raise ValueError("output.evidence only goes with one external_id; send single predictions")
        for name in ("assets", "embeddings"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.external_ids):
                raise ValueError(f"{len(rows)} {name} for {len(self.external_ids)} external_ids; send one each")
