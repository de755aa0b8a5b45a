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
Embedding = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=4096)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


CONTENTS = ("url", "text", "json_content", "path")
ANSWERS = ("json_response", "scores", "payload", "answer")
READING = (
    *("format", "classes", "image_size", "score_kind"),
    *("units", "exclusive", "field", "point_names", "strings", "frames"),
)
"""What tells how a payload is read."""

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


class Output(_Part):
    """What the model said: Kili's own json_response, class scores, or a serving stack's raw payload."""

    json_response: dict[str, Any] | None = Field(default=None, description="Kili's own response shape.")
    scores: dict[str, Probability] | None = Field(
        default=None, min_length=1, description="Class name to probability, 0 to 1."
    )
    payload: Any = Field(default=None, description="What the serving stack answered, unchanged.")
    answer: dict[str, Any] | None = Field(default=None, description="The neutral form that payloads are read into.")
    job: ShortName | None = Field(default=None, description="The Kili job; optional when only one fits.")
    format: ShortName | None = Field(default=None, description="Format of the payload; `auto` when absent.")
    classes: list[str] | dict[str, str] | None = Field(
        default=None, description="Names of the payload's class indexes."
    )
    image_size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Width and height in pixels, for payloads with pixel coordinates."
    )
    score_kind: Literal["probability", "logit"] | None = Field(
        default=None, description="What the payload's scores are."
    )
    units: Literal["pixel", "relative"] | None = Field(default=None, description="What the payload's coordinates are.")
    exclusive: bool | None = Field(default=None, description="Single choice (true) or independent classes (false).")
    field: ShortName | None = Field(
        default=None, description="The tensor, column, key or control to read where the payload holds several."
    )
    point_names: list[ShortName] | None = Field(
        default=None, description="Names of a pose's points, in the model's order."
    )
    strings: Literal["label", "text"] | None = Field(default=None, description="What a bare string is.")
    frames: bool | None = Field(default=None, description="Whether the rows are the frames of one video.")
    evidence: Evidence | None = Field(default=None, description="More to tell doubt by; not sent to Kili.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        answers = (self.json_response, self.scores, self.payload, self.answer)
        if answers.count(None) != len(answers) - 1:
            raise ValueError(f"needs exactly one of {', '.join(ANSWERS)}; found {_given(self, ANSWERS)}")
        if self.payload is None:
            reading = [name for name in READING if getattr(self, name) is not None]
            if reading:
                raise ValueError(f"{reading[0]} only goes with payload; remove it")
        return self


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
