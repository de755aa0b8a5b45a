"""Envelopes of AWS: EventBridge, Lambda's events and answers, and what the runtime clients return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, mapping, member
from worker.formats.families.wrappers import (
    base64_or_text,
    inside_of,
    only,
    require_http_success,
    text_or_value,
    wrapper,
)
from worker.formats.structure import ANY, INDEX, OBJECT, TEXT, Keys, ValueKind

_BODY = ValueKind("a body", lambda value: isinstance(value, str | Mapping | list))


def _lambda_answer(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    body, place = member(outer, "body", at), (*at, "body")
    require_http_success(outer["statusCode"], body, (*at, "statusCode"))
    if outer.get("isBase64Encoded") is True:
        return base64_or_text(body, place), place
    return text_or_value(body, place), place


def _invocation(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    payload, place = member(outer, "responsePayload", at), (*at, "responsePayload")
    context = mapping(outer.get("responseContext", {}), *at, "responseContext")
    if context.get("functionError"):
        require_http_success(500, payload, (*at, "responseContext", "functionError"))
    return text_or_value(payload, place), place


def _kinesis(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    record, at = mapping(only(outer["Records"], (*at, "Records")), *at, "Records", 0), (*at, "Records", 0)
    place = (*at, "kinesis", "data")
    return base64_or_text(member(mapping(record["kinesis"], *at, "kinesis"), "data", (*at, "kinesis")), place), place


def _records_with(key: str) -> ValueKind:
    """Records that hold an object under ``key``."""

    def test(value: Any) -> bool:
        records = value if isinstance(value, list) else []
        return bool(records) and all(isinstance(one, Mapping) and isinstance(one.get(key), Mapping) for one in records)

    return ValueKind(f"a list of records with {key}", test)


EVENTBRIDGE = wrapper(
    "amazon-eventbridge",
    "Amazon EventBridge events",
    Keys({"detail-type": TEXT, "source": TEXT, "detail": ANY}, open=True),
    inside_of("detail"),
    ("https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html",),
    rule="an object with `detail-type`, `source` and `detail`",
    evidence={"id": "id", "time": "time", "detail-type": "detail_type"},
)

LAMBDA_SNS = wrapper(
    "lambda-sns",
    "AWS Lambda events of an Amazon SNS subscription",
    Keys({"Records": _records_with("Sns")}, open=True),
    inside_of("Records", 0, "Sns"),
    ("https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html",),
    rule="an object whose `Records` hold `Sns`",
    limits="One record; the notification inside is an `amazon-sns`.",
)

LAMBDA_KINESIS = wrapper(
    "lambda-kinesis",
    "AWS Lambda events of an Amazon Kinesis stream",
    Keys({"Records": _records_with("kinesis")}, open=True),
    _kinesis,
    ("https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html",),
    rule="an object whose `Records` hold `kinesis`",
    limits="One record, with JSON in base64.",
)

LAMBDA_ANSWER = wrapper(
    "lambda-response",
    "AWS Lambda answers for API Gateway",
    Keys({"statusCode": INDEX, "body": _BODY}, open=True),
    _lambda_answer,
    ("https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html",),
    rule="an object with `statusCode` and `body`",
    limits="A status other than 2xx is refused. `isBase64Encoded` is heeded.",
)

LAMBDA_DESTINATION = wrapper(
    "lambda-destination",
    "AWS Lambda invocation records of a destination",
    Keys({"requestContext": OBJECT, "responsePayload": ANY}, open=True),
    _invocation,
    ("https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html",),
    rule="an object with `requestContext` and `responsePayload`",
    limits="A function's error is refused.",
)


SAGEMAKER_RUNTIME = wrapper(
    "sagemaker-runtime",
    "Answers of the SageMaker runtime client",
    Keys({"Body": _BODY, "ContentType": TEXT}, open=True),
    inside_of("Body"),
    ("https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html",),
    rule="an object with `Body` and `ContentType`",
    limits="The body must have been read: a text, or JSON.",
)

BEDROCK_RUNTIME = wrapper(
    "bedrock-runtime",
    "Answers of the Bedrock runtime client's InvokeModel",
    Keys({"body": _BODY, "contentType": TEXT}, open=True),
    inside_of("body"),
    ("https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html",),
    rule="an object with `body` and `contentType`",
    limits="The body must have been read: a text, or JSON.",
)

ENVELOPES = (
    EVENTBRIDGE,
    LAMBDA_SNS,
    LAMBDA_KINESIS,
    LAMBDA_ANSWER,
    LAMBDA_DESTINATION,
    SAGEMAKER_RUNTIME,
    BEDROCK_RUNTIME,
)
