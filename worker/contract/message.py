"""The message contract ``prediction/v1``: one model prediction for one asset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

SCHEMA_NAME: Literal["prediction/v1"] = "prediction/v1"

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


def _written_out(value: Any) -> Any:
    if not isinstance(value, str | datetime):
        raise ValueError('must be an ISO 8601 text with a zone, such as "2026-11-23T10:15:00Z"')  # noqa: TRY004
    return value


_VISIBLE = r"^[^\x00-\x1f\x7f]+$"
_UNPADDED = r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_UNPADDED)]
ShortName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_VISIBLE)]
TraceText = Annotated[str, StringConstraints(max_length=1000)]
Embedding = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=4096)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


CONTENTS = ("url", "text", "json_content", "path")
SHAPES = ("boxes", "polygons", "masks", "points")
"""Shapes of one answer; they may stand together."""

SHORT = ("scores", "labels", "text", "entities", "jobs")
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

SAYS_CLASSES = ("classes", "first_class", "ignored_classes")
GOES_WITH = {
    "scores": ("exclusive", "ignored_classes"),
    "labels": SAYS_CLASSES,
    "entities": (*SAYS_CLASSES, "min_score", "on_bad_object"),
    "shapes": tuple(name for name in READING if name not in PAYLOAD_ONLY and name != "exclusive"),
}
"""What goes with an answer in the short form."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AssetContent(_Part):
    """Where the asset's content is; exactly one of the four."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = Field(
        default=None, description="Hosted content, fetched by Kili."
    )
    text: str | None = Field(default=None, description="The text itself (TEXT projects).")
    json_content: dict[str, Any] | list[Any] | None = Field(
        default=None, description="Kili's jsonContent (rich text, video frames)."
    )
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        default=None, description="A local file below one of the roots that the worker's settings allow."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        content = (self.url, self.text, self.json_content, self.path)
        if content.count(None) != len(content) - 1:
            found = _given(self, CONTENTS)
            raise ValueError(f"needs exactly one of {', '.join(CONTENTS)}; found {found}")
        return self


class ModelVersion(_Part):
    """The model that made the prediction."""

    name: ShortName
    version: ShortName

    @property
    def label(self) -> str:
        """``name:version``, Kili's ``modelName``."""
        return f"{self.name}:{self.version}"


class Evidence(_Part):
    """What tells of errors that the answer itself does not show."""

    token_scores: list[Probability] | None = Field(
        default=None, description="Probability of every token's tag, those without an entity included."
    )
    candidate_scores: list[Probability] | None = Field(
        default=None, description="Scores of the candidates below the model's threshold."
    )
    pixel_doubt: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = Field(
        default=None, description="Mean over the pixels of 1 - the greatest probability."
    )


Label = Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)]
"""A class's name, or its index where ``classes`` names the indexes."""

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
SeenPoint = Annotated[list[Coordinate], Field(min_length=2, max_length=3)]
Four = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]
Ring = Annotated[list[Point], Field(min_length=3)]
ImageSize = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]


class _Object(_Part):
    label: Label = Field(description="The object's class.")
    score: Probability | None = Field(default=None, description="Probability, 0 to 1.")
    track: ShortName | int | None = Field(default=None, description="The same for one object in all frames.")
    page: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Page of a PDF, from 1.")


class Box(_Object):
    """A rectangle: four numbers in `box_order`, perhaps turned; or its four corners."""

    box: Four | None = Field(default=None, description="In `units` and `box_order`; `xyxy` when absent.")
    angle: Coordinate | None = Field(
        default=None, description="Degrees by which the box is turned about its centre, clockwise as seen."
    )
    corners: Annotated[list[Point], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="The corners of a turned box, in order around it."
    )

    @model_validator(mode="after")
    def _one_geometry(self) -> Self:
        if (self.box is None) == (self.corners is None):
            raise ValueError("needs exactly one of box, corners")
        return self


class Polygon(_Object):
    """An outline of three points or more, and the holes in it."""

    polygon: Ring = Field(description="Points [x, y] in `units`, in order around the outline.")
    holes: list[Ring] | None = Field(default=None, description="Outlines of what does not belong to it.")


class Mask(_Object):
    """A mask of the whole image, or of the part of it in `box`."""

    png: str | None = Field(default=None, description="Grayscale PNG in base64: 128 and lighter is inside.")
    rle: dict[str, Any] | None = Field(default=None, description="COCO run lengths: size [height, width] and counts.")
    grid: list[list[Coordinate | bool]] | None = Field(
        default=None, description="Rows of values from 0 to 1: above 0.5 is inside."
    )
    box: Four | None = Field(default=None, description="Where the mask lies, in `units` and `box_order`.")

    @model_validator(mode="after")
    def _one_mask(self) -> Self:
        if (self.png, self.rle, self.grid).count(None) != 2:
            raise ValueError("needs exactly one of png, rle, grid")
        return self


class Points(_Object):
    """One point, or the named points of a pose."""

    point: Point | None = Field(default=None, description="A single point [x, y] in `units`.")
    points: list[SeenPoint | None] | dict[str, SeenPoint | None] | None = Field(
        default=None,
        description="Points of a pose by name, or in the order of `point_names`: [x, y], or [x, y, visibility from 0 "
        "to 1]; null for one that was not found.",
    )

    @model_validator(mode="after")
    def _one_geometry(self) -> Self:
        if (self.point is None) == (self.points is None):
            raise ValueError("needs exactly one of point, points")
        return self


class EntitySpan(_Part):
    """A span of the asset's text; without offsets, the only place where `text` occurs."""

    label: Label = Field(description="The entity's class.")
    start: Annotated[int, Field(ge=0)] | None = Field(default=None, description="First character, from 0.")
    end: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Behind the last character.")
    text: str | None = Field(default=None, description="The words; checked against the asset's text.")
    score: Probability | None = Field(default=None, description="Probability, 0 to 1.")

    @model_validator(mode="after")
    def _a_place(self) -> Self:
        if (self.start is None) != (self.end is None) or (self.start is None and not self.text):
            raise ValueError("needs start and end, or text")
        return self


class JobAnswer(_Part):
    """The answer to one job."""

    scores: dict[str, Probability] | None = Field(default=None, min_length=1)
    labels: list[Label] | None = Field(default=None, min_length=1)
    text: str | None = None
    entities: list[EntitySpan] | None = None
    boxes: list[Box] | None = None
    polygons: list[Polygon] | None = None
    masks: list[Mask] | None = None
    points: list[Points] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        answers = [name for name in SHORT[:-1] if getattr(self, name) is not None]
        if len(answers) + any(getattr(self, name) is not None for name in SHAPES) != 1:
            raise ValueError(f"needs exactly one of {', '.join((*SHORT[:-1], *SHAPES))}")
        return self


class Output(_Part):
    """What the model said: Kili's own json_response, a serving stack's raw payload, or an answer in the short form."""

    json_response: dict[str, Any] | None = Field(default=None, description="Kili's own response shape.")
    scores: dict[str, Probability] | None = Field(
        default=None, min_length=1, description="Class name to probability, 0 to 1."
    )
    labels: list[Label] | None = Field(
        default=None, min_length=1, description="Classes that the model chose, without scores."
    )
    text: str | None = Field(default=None, description="A text that the model wrote or read.")
    entities: list[EntitySpan] | None = Field(default=None, description="Spans of the asset's text; [] for none.")
    boxes: list[Box] | None = Field(default=None, description="Rectangles; [] for none.")
    polygons: list[Polygon] | None = Field(default=None, description="Outlines, perhaps with holes; [] for none.")
    masks: list[Mask] | None = Field(default=None, description="Masks of pixels; [] for none.")
    points: list[Points] | None = Field(default=None, description="Single points and poses; [] for none.")
    jobs: dict[ShortName, JobAnswer] | None = Field(
        default=None, min_length=1, description="Answers to several jobs, by job."
    )
    payload: Any = Field(default=None, description="What the serving stack answered, unchanged.")
    answer: dict[str, Any] | None = Field(default=None, description="The neutral form that payloads are read into.")
    job: ShortName | None = Field(default=None, description="The Kili job; optional when only one fits.")
    format: ShortName | None = Field(default=None, description="Format of the payload; `auto` when absent.")
    classes: list[str] | dict[str, str] | None = Field(default=None, description="Names of class indexes.")
    first_class: Literal[0, 1] | None = Field(
        default=None, description="Index of the first name of a list of classes; 0 when absent."
    )
    image_size: ImageSize | None = Field(default=None, description="Width and height in pixels.")
    image_sizes: list[ImageSize] | None = Field(
        default=None, min_length=1, description="Width and height of each image of a batch, in order."
    )
    score_kind: Literal["probability", "logit"] | None = Field(
        default=None, description="What the payload's scores are."
    )
    units: Literal["pixel", "relative", "percent", "per_mille"] | None = Field(
        default=None, description="What coordinates are: pixels, 0 to 1, 0 to 100, or 0 to 1000."
    )
    box_order: Literal["xyxy", "xywh", "cxcywh", "yxyx"] | None = Field(
        default=None, description="What the four numbers of a box are."
    )
    exclusive: bool | None = Field(default=None, description="Single choice (true) or independent classes (false).")
    field: ShortName | None = Field(
        default=None, description="The tensor, column, key or control to read where the payload holds several."
    )
    point_names: list[ShortName] | None = Field(
        default=None, description="Names of a pose's points, in the model's order."
    )
    strings: Literal["label", "text"] | None = Field(default=None, description="What a bare string is.")
    frames: bool | None = Field(default=None, description="Whether the rows are the frames of one video.")
    outside: Literal["clip", "drop", "refuse"] | None = Field(
        default=None, description="What becomes of an object that reaches a little over the image's edge."
    )
    outside_tolerance: Annotated[float, Field(ge=0, le=0.5)] | None = Field(
        default=None, description="How much is a little, as a share of the side; 0.02, at least 5 pixels."
    )
    on_bad_object: Literal["refuse", "drop"] | None = Field(
        default=None, description="Whether one wrong object refuses the payload or is left out and counted."
    )
    nothing_found: bool | None = Field(
        default=None, description="Whether an empty payload says that nothing was found."
    )
    min_score: Probability | dict[str, Probability] | None = Field(
        default=None, description="Least score of an object or entity; or one per class, `*` for all others."
    )
    unknown_classes: Literal["refuse", "ignore"] | None = Field(
        default=None, description="Whether a class without a category refuses the answer or is left out."
    )
    ignored_classes: list[str] | None = Field(default=None, description="Classes of the model to leave out.")
    evidence: Evidence | None = Field(default=None, description="More to tell doubt by; not sent to Kili.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.scores is not None and len(self.model_fields_set) == 1:
            return self
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
        return self

    def short_form(self) -> dict[str, Any]:
        """The answer in the short form as plain values, without what was not sent."""
        given = [name for name in (*SHORT, *SHAPES) if getattr(self, name) is not None]
        return self.model_dump(include=set(given), exclude_none=True)


def _given(part: BaseModel, names: Iterable[str]) -> str:
    return " and ".join(name for name in names if getattr(part, name) is not None) or "none"


class _Message(_Part):
    schema_: Literal["prediction/v1"] = Field(default=SCHEMA_NAME, alias="schema")
    project_id: Identifier | None = Field(default=None, description="Kili project; default from the settings.")
    model: ModelVersion
    output: Output
    predicted_at: Annotated[AwareDatetime, BeforeValidator(_written_out), Field(strict=False)] = Field(
        description="When the model predicted, ISO 8601 with a zone. The newest wins."
    )
    metadata: dict[ShortName, str | int | float | bool | None] = Field(
        default_factory=dict, description="Lands in the asset's jsonMetadata, beside the worker's own keys."
    )
    message_id: ShortName | None = Field(default=None, description="For tracing only.")
    traceparent: TraceText | None = Field(
        default=None, description="W3C trace context of what made the prediction; one that is none is ignored."
    )
    tracestate: TraceText | None = Field(default=None, description="Goes with traceparent.")

    @property
    def stamp(self) -> int:
        """``predicted_at`` in microseconds since the epoch (exact integer arithmetic)."""
        delta = self.predicted_at - EPOCH
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Prediction(_Message):
    """One prediction of one model version for one asset (``prediction/v1``)."""

    external_id: Identifier = Field(description="Stable name of the asset within the project.")
    asset: AssetContent | None = Field(
        default=None, description="The content; absent when the asset already exists in Kili."
    )
    confidence: Probability | None = Field(
        default=None, description="Probability of being right; derived from the output when absent."
    )
    embedding: Embedding | None = Field(
        default=None,
        description="Describes the asset's content to the optional stronger scorer; not sent to Kili.",
    )


class PredictionBatch(_Message):
    """One answer of a serving stack that holds a row per asset; row n belongs to ``external_ids[n]``."""

    external_ids: list[Identifier] = Field(
        min_length=1, max_length=10_000, description="The assets' names, in the order of the rows."
    )
    assets: list[AssetContent | None] | None = Field(default=None, description="The contents, in the same order.")
    embeddings: list[Embedding | None] | None = Field(default=None, description="One of each asset, in the same order.")

    @model_validator(mode="after")
    def _one_row_each(self) -> Self:
        if len(set(self.external_ids)) < len(self.external_ids):
            raise ValueError("external_ids names an asset twice; name each once")
        if self.output.evidence is not None:
            raise ValueError("output.evidence only goes with one external_id; send single predictions")
        for name in ("assets", "embeddings"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.external_ids):
                raise ValueError(f"{len(rows)} {name} for {len(self.external_ids)} external_ids; send one each")
        return self
