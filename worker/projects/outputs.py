"""From a message's ``output`` to what the model said: the one place where the contract meets the formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter, ValidationError

from worker.contract import READING, SHAPES, SHORT, Output, Prediction, PredictionBatch, plain
from worker.contract.output import Classification, Detection, ModelOutput
from worker.formats import (
    AmbiguousFormat,
    OutputError,
    Reading,
    ReadOptions,
    ResultPointer,
    UnknownFormat,
    read_item,
    read_kili_response,
    read_payload,
    read_scores,
    selected,
)
from worker.projects.configuration import ProjectConfig

NO_CONFIG = ProjectConfig()
T = TypeVar("T")
_NEUTRAL = TypeAdapter(ModelOutput)
_SHARED = ("schema_", "project_id", "model", "predicted_at", "metadata", "message_id", "traceparent", "tracestate")
_CAUSES = {UnknownFormat: "unknown_format", AmbiguousFormat: "ambiguous_format"}


class UnreadableOutput(OutputError):
    """An output that cannot be read; ``cause`` groups dead letters."""

    def __init__(self, field: str, problem: str, fix: str, cause: str) -> None:
        super().__init__(field, problem, fix)
        self.cause = cause


class ResultElsewhere(UnreadableOutput):
    """An output that was not sent along: it lies at ``location``."""

    def __init__(self, pointer: ResultPointer) -> None:
        super().__init__(f"output.{pointer.field}", pointer.problem, pointer.fix, "result_elsewhere")
        self.location = pointer.location


def output_of(prediction: Prediction, config: ProjectConfig = NO_CONFIG) -> ModelOutput:
    """What the model said about the one asset of a prediction.

    Raises:
        UnreadableOutput: the payload cannot be read, or speaks of another asset or of more than one.
    """
    if config.models:
        config = config.of_model(prediction.model.name, prediction.model.version)
    if prediction.output.scores is not None:
        return _with_stated(_read_or_reject(lambda: _scores(prediction.output, config)), prediction.output)
    return _with_stated(_only(reading_of(prediction, config), prediction, config), prediction.output)


def check_output(prediction: Prediction, config: ProjectConfig = NO_CONFIG) -> None:
    """Raise what ``output_of`` raises, for less where the contract has left nothing to find: plain scores."""
    if plain_scores(prediction, config) is None:
        output_of(prediction, config)


def plain_scores(prediction: Prediction, config: ProjectConfig = NO_CONFIG) -> dict[str, float] | None:
    """Scores of classes beside which nothing bears on what they mean: ``output_of`` takes all of them as they are."""
    output = prediction.output
    if output.scores is None or output.exclusive is not None or output.ignored_classes or not is_plain(config):
        return None
    return output.scores if all(map(str.strip, output.scores)) else None


def is_plain(config: ProjectConfig) -> bool:
    """Whether a project's configuration leaves scores as they are."""
    return config.exclusive is None and not (config.ignored_classes or config.models)


def with_result(prediction: Prediction, result: Any, config: ProjectConfig = NO_CONFIG) -> Prediction:
    """The prediction with its answer in the neutral form, read from the result that its payload pointed to.

    Raises:
        UnreadableOutput: as ``output_of``; paths within the result begin with ``output.result``.
    """
    reading = reading_of(prediction, config, result)
    output = _with_stated(_only(reading, prediction, config), prediction.output)
    return msgspec.structs.replace(prediction, output=_answered(output))


def reading_of(
    prediction: Prediction | PredictionBatch, config: ProjectConfig = NO_CONFIG, result: Any = None
) -> Reading:
    """What an output holds: its format, why it was recognised, one output per asset.

    Args:
        prediction: one, or a batch.
        config: the configuration of the project.
        result: what lies at the place that the payload only points to, when it has been fetched.

    Raises:
        ResultElsewhere: the payload only says where the result is.
        UnreadableOutput: it cannot be read; the field is a path that begins with ``output``.
    """
    config = config.of_model(prediction.model.name, prediction.model.version)
    return _read_or_reject(lambda: _read(prediction, config, result))


def _read_or_reject(read: Callable[[], T]) -> T:
    """What was read, or the refusal in the words of the contract."""
    try:
        return read()
    except ResultPointer as pointer:
        raise ResultElsewhere(pointer) from pointer
    except OutputError as error:
        cause = _CAUSES.get(type(error), "unreadable_output")
        refused = UnreadableOutput(f"output.{error.field}", error.problem, error.fix, cause)
        refused.format, refused.why = error.format, error.why
        raise refused from error


def _read(prediction: Prediction | PredictionBatch, config: ProjectConfig, result: Any) -> Reading:
    output = prediction.output
    if output.json_response is not None:
        return Reading("json_response", "Kili's own", (read_kili_response(output.json_response),))
    if output.answer is not None:
        return Reading("answer", "the neutral form", (_neutral(output.answer),))
    if output.payload is None:
        why = "class scores" if output.scores is not None else "the short form"
        return Reading(_short_name(output), why, (_short(output, prediction, config),))
    options = _options(output, prediction, config)
    return read_payload(output.payload, options if result is None else replace(options, result=result))


def _short_name(output: Output) -> str:
    return next(name for name in (*SHORT, *SHAPES) if getattr(output, name) is not None)


def _short(output: Output, prediction: Prediction | PredictionBatch, config: ProjectConfig) -> ModelOutput:
    if output.scores is not None:
        return _scores(output, config)
    options = _options(output, prediction, config)
    return selected(read_item(output.short_form(), options, ()), options)


def _scores(output: Output, config: ProjectConfig) -> ModelOutput:
    found = read_scores(output.scores or {}, output.job or config.job)
    exclusive = config.exclusive if output.exclusive is None else output.exclusive
    if exclusive is not None and isinstance(found.answer, Classification) and found.answer.exclusive is None:
        found = replace(found, answer=replace(found.answer, exclusive=exclusive))
    ignored = output.ignored_classes or config.ignored_classes
    return selected(found, ReadOptions(ignored_classes=ignored)) if ignored else found


def rows_of(batch: PredictionBatch, config: ProjectConfig = NO_CONFIG) -> list[Prediction]:
    """One prediction per external id of a batch, each with its own answer in the neutral form.

    Answers that name their assets are matched by id (an asset that none names has nothing found on it), others by
    position.

    Raises:
        UnreadableOutput: the output cannot be read, names an asset that is not in the batch, or has more or fewer
            rows than external ids.
    """
    outputs = _by_id(_read_batch(batch, config), batch.external_ids, batch.output, config)
    if len(outputs) != len(batch.external_ids):
        problem = f"holds {len(outputs)} answers for {len(batch.external_ids)} external_ids"
        raise UnreadableOutput("output", problem, "send one external_id per answer, in order", "wrong_row_count")
    assets = batch.assets or [None] * len(outputs)
    embeddings = batch.embeddings or [None] * len(outputs)
    shared = {name: getattr(batch, name) for name in _SHARED}
    return [
        Prediction(
            **shared, external_id=name, asset=asset, embedding=embedding, confidence=None, output=_answered(output)
        )
        for name, asset, embedding, output in zip(batch.external_ids, assets, embeddings, outputs, strict=True)
    ]


def _read_batch(batch: PredictionBatch, config: ProjectConfig) -> Reading:
    try:
        return reading_of(batch, config)
    except ResultElsewhere as error:
        problem = f"{error.problem}, and a batch cannot wait for it"
        fix = "send one message per asset, or have the notification include the response"
        raise UnreadableOutput(error.field, problem, fix, error.cause) from error


def _only(reading: Reading, prediction: Prediction, config: ProjectConfig) -> ModelOutput:
    outputs = _by_id(reading, [prediction.external_id], prediction.output, config)
    if len(outputs) != 1:
        problem = f"holds {len(outputs)} answers for one external_id"
        raise UnreadableOutput("output.payload", problem, "send one external_id per answer", "wrong_row_count")
    return outputs[0]


def _with_stated(output: ModelOutput, message: Output) -> ModelOutput:
    """The output with the message's own evidence, which goes before the payload's."""
    if message.evidence is None:
        return output
    return replace(output, evidence=output.evidence | plain(message.evidence))


def _answered(output: ModelOutput) -> Output:
    return Output(answer=_NEUTRAL.dump_python(output))


def _by_id(
    reading: Reading, external_ids: Sequence[str], output: Output, config: ProjectConfig
) -> Sequence[ModelOutput]:
    """The outputs in the order of the external ids, where they name them; as they are, where they do not."""
    named = {one.external_id: one for one in reading.outputs if one.external_id is not None}
    strangers = named.keys() - set(external_ids)
    if strangers:
        raise _another_asset(min(strangers), external_ids)
    if not reading.by_id:
        return reading.outputs
    nothing = ModelOutput(Detection(()), job=output.job or config.job)
    return [named.get(name, nothing) for name in external_ids]


def _another_asset(stranger: str, external_ids: Sequence[str]) -> UnreadableOutput:
    of_batch = f"which is none of the {len(external_ids)} external_ids"
    meant = f"but the message is about {external_ids[0]!r}" if len(external_ids) == 1 else of_batch
    problem, fix = f"speaks of {stranger!r}, {meant}", "send results under their own external_id"
    return UnreadableOutput("output.payload", problem, fix, "another_asset")


def _neutral(answer: dict[str, Any]) -> ModelOutput:
    try:
        return _NEUTRAL.validate_python(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(["answer", *map(str, first["loc"])])
        raise OutputError(field, first["msg"], "send the payload instead") from None


def _options(output: Output, prediction: Prediction | PredictionBatch, config: ProjectConfig) -> ReadOptions:
    asset = getattr(prediction, "asset", None)
    stated = _stated_by(config) | _stated_by(output)
    stated["classes"] = _by_index(stated.get("classes"))
    if "image_size" in stated:
        stated["image_size"] = tuple(stated["image_size"])
    if isinstance(prediction, PredictionBatch):
        stated["external_ids"], stated["texts"] = prediction.external_ids, _texts(prediction)
        if "image_sizes" in stated:
            stated["image_sizes"] = [tuple(size) for size in stated["image_sizes"]]
    else:
        stated["external_ids"] = (prediction.external_id,)
        if "image_sizes" in stated:
            stated["image_size"] = _only_size(stated.pop("image_sizes"))
    text = asset.text if asset else None
    return ReadOptions(job=output.job or config.job, text=text, mappings=config.mappings, **stated)


def _texts(batch: PredictionBatch) -> list[str | None] | None:
    texts = [asset.text if asset else None for asset in batch.assets or ()]
    return texts if any(text is not None for text in texts) else None


def _only_size(sizes: list[list[int]]) -> tuple[int, ...]:
    if len(sizes) != 1:
        raise OutputError("image_sizes", f"{len(sizes)} sizes for one external_id", "send image_size")
    return tuple(sizes[0])


def _stated_by(source: Output | ProjectConfig) -> dict[str, Any]:
    """What a message, or the projects file, says about reading."""
    return {name: value for name in READING if (value := getattr(source, name, None)) is not None}


def _by_index(classes: list[str] | dict[str, str] | None) -> list[str] | Mapping[str | int, str] | None:
    return {index: name for index, name in classes.items()} if isinstance(classes, dict) else classes  # noqa: C416
