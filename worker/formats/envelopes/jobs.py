"""Envelopes of jobs: Replicate, RunPod, and lines of batch outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, describe, fail, is_number, mapping, member
from worker.formats.envelopes.wrappers import (
    PUBLISH_SUCCESSES,
    inside_of,
    one_of,
    reason_of,
    require_http_success,
    require_status,
    text_or_value,
    wrapper,
)
from worker.formats.structure import ANY, OBJECT, TEXT, Keys, ValueKind

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


ENVELOPES = (
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
