"""Envelopes of services: Google Cloud, Azure, Kafka, home-made HTTP; jobs of Replicate and RunPod, lines of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, describe, fail, is_number, mapping, member
from worker.formats.envelopes.wrappers import (
    PUBLISH_SUCCESSES,
    base64_or_text,
    inside_of,
    one_of,
    only,
    reason_of,
    require_http_success,
    require_status,
    text_or_value,
    wrapper,
)
from worker.formats.structure import ANY, INDEX, OBJECT, TEXT, Envelope, Keys, Match, Unwrapped, ValueKind

_MESSAGE = ValueKind(
    "a message with data, or with its id",
    lambda value: isinstance(value, Mapping) and bool({"data", "messageId", "message_id"} & value.keys()),
)
_PULLED = ValueKind(
    "received messages",
    lambda value: isinstance(value, list) and bool(value) and all(_MESSAGE.test(_inner(one)) for one in value),
)


def _inner(received: Any) -> Any:
    return received.get("message") if isinstance(received, Mapping) else None


def _pubsub(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    message, place = mapping(outer["message"], *at, "message"), (*at, "message", "data")
    if not message.get("data"):
        fail(place, "missing: the message carries attributes alone", "publish the result as the message's data")
    return base64_or_text(message["data"], place), place


def _pulled(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    at = (*at, "receivedMessages")
    return _pubsub(only(outer["receivedMessages"], at), (*at, 0))


def _event_grid(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if outer["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent":
        fail((*at, "eventType"), "confirms a subscription and holds no prediction", "forward other events only")
    return inside_of("data")(outer, at)


def _kafka_value(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    value, place = member(outer, "value", at), (*at, "value")
    if isinstance(value, str):
        return base64_or_text(value, place), place
    return text_or_value(value, place), place


PUBSUB = wrapper(
    "google-pubsub",
    "Google Cloud Pub/Sub push requests",
    Keys({"message": _MESSAGE, "subscription": TEXT}, open=True),
    _pubsub,
    ("https://cloud.google.com/pubsub/docs/push",),
    rule="an object with `subscription` and a `message` that has `data`",
    limits="The data is JSON in base64.",
)

PUBSUB_PULL = wrapper(
    "google-pubsub-pull",
    "Google Cloud Pub/Sub pull answers",
    Keys({"receivedMessages": _PULLED}, open=True),
    _pulled,
    ("https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull",),
    rule="an object whose `receivedMessages` hold a `message`",
    limits="One message, with JSON in base64.",
)

EVENT_GRID = wrapper(
    "azure-event-grid",
    "Azure Event Grid events",
    Keys({"id": TEXT, "subject": TEXT, "eventType": TEXT, "eventTime": TEXT, "data": ANY}, open=True),
    _event_grid,
    ("https://learn.microsoft.com/azure/event-grid/event-schema",),
    rule="an object with `id`, `subject`, `eventType`, `eventTime` and `data`, or a list of them",
    limits="A list is read event by event.",
    evidence={"id": "id", "eventType": "type", "subject": "subject", "eventTime": "time"},
    batches=True,
)

KAFKA = wrapper(
    "kafka-record",
    "Records of Apache Kafka as Lambda and REST proxies hand them over",
    Keys({"topic": TEXT, "partition": INDEX, "offset": INDEX, "value": ANY}, open=True),
    _kafka_value,
    (
        "https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html",
        "https://docs.confluent.io/platform/current/kafka-rest/api.html",
    ),
    rule="an object with `topic`, `partition`, `offset` and `value`",
    limits="The value is JSON, a JSON text, or JSON in base64.",
)

_STATUS_KEYS = ("message", "msg", "status", "code", "success")
_HOLDS = ("data", "result", "results", "prediction", "output")
_MORE = ("error", "errors", "request_id", "requestId", "timestamp", "time", "took", "duration", "version", "model")
_GOOD_TEXTS = ("ok", "success", "succeeded", "done", "completed", "200", "0", "000")


def _answer_key(payload: Any) -> str | None:
    """The key of the answer in a home-made wrapper: the only one beside those that say how it went."""
    if not isinstance(payload, Mapping):
        return None
    stated = [key for key in ("code", "success", "status", "message", "msg") if key in payload]
    held = [key for key in payload if key not in _STATUS_KEYS and key not in _MORE]
    if not stated or len(held) != 1 or held[0] not in _HOLDS:
        return None
    if stated == ["message"] and not str(payload["message"]).casefold().startswith(_GOOD_TEXTS[:2]):
        return None
    plain = all(isinstance(payload[key], str | int | None) for key in stated)
    return held[0] if plain and isinstance(payload[held[0]], Mapping | list | str | None) else None


def _went_well(payload: Mapping[str, Any]) -> bool:
    """Whether everything that is said of the outcome says that it went well; an error code is told by its text."""
    code, success, status = payload.get("code"), payload.get("success"), payload.get("status")
    if payload.get("error") or payload.get("errors"):
        return False
    if code is not None and code not in (0, 200, "0", "200"):
        return False
    if success is not None and success is not True:
        return False
    good = isinstance(status, str) and status.casefold() in _GOOD_TEXTS
    return status is None or good or status in (0, 200, True)


def _unwrap_answer(payload: Any, at: Path = ()) -> Unwrapped:
    outer, key = mapping(payload, *at), _answer_key(payload)
    if key is None:
        fail(at, "holds no answer beside code, success, status or message")
    if not _went_well(outer):
        stated = next((name for name in ("error", "code", "success", "status") if name in outer), "message")
        fail((*at, stated), f"the service answered with an error: {reason_of(outer)}", PUBLISH_SUCCESSES)
    return Unwrapped(text_or_value(outer[key], (*at, key)), (*at, key))


def _detect_answer(payload: Any) -> Match | None:
    key = _answer_key(payload)
    return Match(f"a service's answer: {key} beside what says how it went") if key else None


HTTP_ANSWER = Envelope(
    name="http-answer",
    title="Answers of home-made HTTP services",
    rule="an object with `code`, `success` or `status` (perhaps `message`), and one of "
    + ", ".join(f"`{key}`" for key in _HOLDS),
    detect=_detect_answer,
    needs=tuple((key,) for key in _STATUS_KEYS),
    unwrap=_unwrap_answer,
    limits=f"Code 0 or 200, `success: true` and a status such as {describe('ok')} are good; anything else is refused.",
    sources=("https://jsonapi.org/format/", "https://github.com/omniti-labs/jsend"),
)

CLOUDS = (PUBSUB, PUBSUB_PULL, EVENT_GRID, KAFKA, HTTP_ANSWER)


_OBJECT_OR_NULL = ValueKind("an object or null", lambda value: value is None or isinstance(value, Mapping))
_REPLICATE = ("starting", "processing", "succeeded", "failed", "canceled", "aborted")
_RUNPOD = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


def _replicate(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    require_status(outer, "status", ("succeeded",), ("starting", "processing"), at)
    return text_or_value(outer["output"], (*at, "output")), (*at, "output")


def _runpod(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    require_status(outer, "status", ("completed",), ("in_queue", "in_progress"), at)
    return text_or_value(member(outer, "output", at), (*at, "output")), (*at, "output")


def _openai_line(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if outer["response"] is None:
        fail((*at, "error"), f"the request failed: {reason_of(outer)}", PUBLISH_SUCCESSES)
    response, at = mapping(outer["response"], *at, "response"), (*at, "response")
    body = member(response, "body", at)
    require_http_success(response.get("status_code", 200), body, (*at, "status_code"))
    return text_or_value(body, (*at, "body")), (*at, "body")


def _anthropic_line(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    result, at = mapping(outer["result"], *at, "result"), (*at, "result")
    kind = result.get("type")
    if kind != "succeeded":
        fail((*at, "type"), f"{describe(kind)}: {reason_of(result)}", PUBLISH_SUCCESSES)
    return member(result, "message", at), (*at, "message")


def _bedrock_line(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if outer.get("modelOutput") is None:
        fail((*at, "error"), f"the request failed: {reason_of(outer)}", PUBLISH_SUCCESSES)
    return outer["modelOutput"], (*at, "modelOutput")


def _vertex_line(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    """The prediction of one instance; a list of numbers is its row of scores."""
    value, at = text_or_value(outer["prediction"], (*at, "prediction")), (*at, "prediction")
    is_row = isinstance(value, list) and value and all(map(is_number, value))
    return ([value] if is_row else value), at


def _gemini_line(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if not outer["response"]:
        status = outer.get("status") or "no reason given"
        fail((*at, "response"), f"the request failed: {str(status)[:200]}", PUBLISH_SUCCESSES)
    return outer["response"], (*at, "response")


JOBS = (
    wrapper(
        "replicate",
        "Replicate predictions",
        Keys({"status": one_of(*_REPLICATE), "input": ANY, "output": ANY}, open=True),
        _replicate,
        ("https://replicate.com/docs/reference/http#predictions.get",),
        rule="an object with a `status` of Replicate's, `input` and `output`",
        limits="A prediction that failed or has not ended is refused.",
        evidence={"id": "id", "model": "model", "version": "version"},
    ),
    wrapper(
        "runpod",
        "RunPod jobs",
        Keys({"id": TEXT, "status": one_of(*_RUNPOD)}, {}, open=True),
        _runpod,
        ("https://docs.runpod.io/serverless/endpoints/operation-reference",),
        rule="an object with `id` and a `status` of RunPod's",
        limits="A job that failed or has not ended is refused.",
        evidence={"id": "id", "workerId": "worker"},
    ),
    wrapper(
        "openai-batch",
        "OpenAI (and Azure OpenAI) batch output, one line",
        Keys({"custom_id": TEXT, "response": _OBJECT_OR_NULL}, open=True),
        _openai_line,
        ("https://platform.openai.com/docs/guides/batch",),
        rule="an object with `custom_id` and `response`",
        limits="A request that failed is refused.",
        evidence={"custom_id": "custom_id"},
    ),
    wrapper(
        "anthropic-batch",
        "Anthropic message batches, one line",
        Keys({"custom_id": TEXT, "result": OBJECT}, open=True),
        _anthropic_line,
        ("https://docs.anthropic.com/en/docs/build-with-claude/batch-processing",),
        rule="an object with `custom_id` and `result`",
        limits="A request that failed is refused.",
        evidence={"custom_id": "custom_id"},
    ),
    wrapper(
        "bedrock-batch",
        "Amazon Bedrock batch inference, one line",
        Keys({"recordId": TEXT, "modelInput": OBJECT}, open=True),
        _bedrock_line,
        ("https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html",),
        rule="an object with `recordId` and `modelInput`",
        limits="A request that failed is refused.",
        evidence={"recordId": "record_id"},
    ),
    wrapper(
        "gemini-batch",
        "Gemini batch prediction, one line",
        Keys({"request": OBJECT, "response": OBJECT}, open=True),
        _gemini_line,
        ("https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini",),
        rule="an object with `request` and `response`",
        limits="A request that failed is refused.",
    ),
    wrapper(
        "gemini-batch-key",
        "Gemini API batch output, one line",
        Keys({"key": TEXT, "response": OBJECT}, open=True),
        inside_of("response"),
        ("https://ai.google.dev/gemini-api/docs/batch-api",),
        rule="an object with `key` and `response`",
        evidence={"key": "key"},
    ),
    wrapper(
        "vertex-batch",
        "Vertex AI batch prediction, one line",
        Keys({"instance": ANY, "prediction": ANY}, open=True),
        _vertex_line,
        ("https://cloud.google.com/vertex-ai/docs/predictions/get-batch-predictions",),
        rule="an object with `instance` and `prediction`",
    ),
    wrapper(
        "sagemaker-batch-transform",
        "SageMaker batch transform, joined to its input",
        Keys({"SageMakerOutput": ANY}, open=True),
        inside_of("SageMakerOutput"),
        ("https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html",),
        rule="an object with `SageMakerOutput`",
    ),
)
