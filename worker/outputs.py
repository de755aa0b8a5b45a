"""From a message's ``output`` to what the model said: the one place where the contract meets the formats."""

from __future__ import annotations

from collections.abc import Mapping

from worker.formats import (
    AmbiguousFormat,
    OutputError,
    Reading,
    ReadOptions,
    ResultPointer,
    UnknownFormat,
    read_kili_response,
    read_payload,
    read_scores,
)
from worker.formats.output import ModelOutput
from worker.messages import Output, Prediction
from worker.projects import ProjectConfig

NO_CONFIG = ProjectConfig()
_CAUSES = {
    UnknownFormat: "unknown_format",
    AmbiguousFormat: "ambiguous_format",
    ResultPointer: "result_elsewhere",
}


class UnreadableOutput(OutputError):
    """An output that cannot be read; ``cause`` groups dead letters."""

    def __init__(self, field: str, problem: str, fix: str, cause: str) -> None:
        super().__init__(field, problem, fix)
        self.cause = cause


def output_of(prediction: Prediction, config: ProjectConfig = NO_CONFIG) -> ModelOutput:
    """What the model said about the one asset of a prediction.

    Raises:
        UnreadableOutput: the payload cannot be read, or speaks of more than one asset.
    """
    outputs = reading_of(prediction, config).outputs
    if len(outputs) != 1:
        problem = f"holds {len(outputs)} answers for one external_id"
        raise UnreadableOutput("output.payload", problem, "send one external_id per answer", "wrong_row_count")
    return outputs[0]


def reading_of(prediction: Prediction, config: ProjectConfig = NO_CONFIG) -> Reading:
    """What an output holds: its format, why it was recognised, one output per asset.

    Raises:
        UnreadableOutput: it cannot be read; the field is a path that begins with ``output``.
    """
    try:
        return _read(prediction, config)
    except OutputError as error:
        cause = _CAUSES.get(type(error), "unreadable_output")
        raise UnreadableOutput(f"output.{error.field}", error.problem, error.fix, cause) from error


def _read(prediction: Prediction, config: ProjectConfig) -> Reading:
    output = prediction.output
    if output.json_response is not None:
        return Reading("json_response", "Kili's own", (read_kili_response(output.json_response),))
    if output.scores is not None:
        return Reading("scores", "class scores", (read_scores(output.scores, output.job or config.job),))
    return read_payload(output.payload, _options(output, prediction, config))


def _options(output: Output, prediction: Prediction, config: ProjectConfig) -> ReadOptions:
    size = tuple(output.image_size) if output.image_size else config.image_size
    return ReadOptions(
        format=output.format or config.format or "auto",
        classes=_by_index(output.classes or config.classes),
        image_size=(size[0], size[1]) if size else None,
        score_kind=output.score_kind or config.score_kind,
        job=output.job or config.job,
        text=prediction.asset.text if prediction.asset else None,
        units=config.units,
        exclusive=config.exclusive,
        field=config.field,
        point_names=config.point_names,
        strings=config.strings,
        frames=config.frames,
    )


def _by_index(classes: list[str] | dict[str, str] | None) -> list[str] | Mapping[str | int, str] | None:
    return {index: name for index, name in classes.items()} if isinstance(classes, dict) else classes  # noqa: C416
