"""Envelopes of AWS: notices of SageMaker, SNS, SQS, EventBridge, Lambda, and what the runtime clients return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import (
    ROOT,
    Path,
    ResultPointer,
    array,
    describe,
    fail,
    looks_like_json,
    mapping,
    member,
    parse_base64_json,
    parse_json,
    parse_json_or_text,
    show,
    string,
)
from worker.formats.envelopes.wrappers import (
    base64_or_text,
    inside_of,
    only,
    require_http_success,
    text_or_value,
    wrapper,
)
from worker.formats.meaning import texts_of
from worker.formats.structure import (
    ANY,
    INDEX,
    LIST,
    OBJECT,
    TEXT,
    Envelope,
    Keys,
    Match,
    Miss,
    Unwrapped,
    ValueKind,
    detect_object,
    near_object,
    needed,
)

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


_NOTIFICATION = Keys({"invocationStatus": TEXT, "inferenceId": TEXT}, open=True)
_SNS = Keys({"Type": TEXT, "Message": TEXT}, open=True)


def unwrap_notification(payload: Any, at: Path = ROOT) -> Unwrapped:
    """Return the response that a completed notice carries.

    Raises ResultPointer when it only says where the response is, OutputError when the inference failed.
    """
    notification = mapping(payload, *at)
    status = string(member(notification, "invocationStatus", at), *at, "invocationStatus")
    if status != "Completed":
        fail((*at, "invocationStatus"), f"the inference ended as {status[:40]}: {_reason(notification)}", _RESEND)
    evidence = texts_of(notification, {"inferenceId": "inference_id", "eventTime": "event_time"})
    request = notification.get("requestParameters")
    if isinstance(request, Mapping):
        evidence |= texts_of(request, {"endpointName": "endpoint", "inputLocation": "input_location"})
    body = notification.get("responseBody")
    if body is None:
        raise _pointer(notification, evidence, at)
    place = (*at, "responseBody", "content")
    content = member(mapping(body, *at, "responseBody"), "content", (*at, "responseBody"))
    return Unwrapped(_decode(content, place), place, {"sagemaker": evidence})


def unwrap_sns(payload: Any, at: Path = ROOT) -> Unwrapped:
    """Return the message of an SNS notification: JSON, or a bare text."""
    notification = mapping(payload, *at)
    kind = member(notification, "Type", at)
    if kind != "Notification":
        fail((*at, "Type"), f"{describe(kind)} is no notification", "confirm the subscription first")
    message = string(member(notification, "Message", at), *at, "Message")
    return Unwrapped(parse_json_or_text(message, (*at, "Message")), (*at, "Message"))


_RESEND = "publish predictions of completed inferences only"


def _decode(content: Any, at: Path) -> Any:
    """The content is base64; text that is JSON already cannot be mistaken for it."""
    text = string(content, *at)
    return parse_json(text, at) if looks_like_json(text) else parse_base64_json(text, at)


def _reason(notification: Mapping[str, Any]) -> str:
    body = notification.get("responseBody")
    message = body.get("message") if isinstance(body, Mapping) else None
    return str(notification.get("failureReason") or message or "no reason given")[:300]


def _pointer(notification: Mapping[str, Any], evidence: Mapping[str, Any], at: Path) -> ResultPointer:
    parameters = mapping(member(notification, "responseParameters", at), *at, "responseParameters")
    place = (*at, "responseParameters", "outputLocation")
    location = string(member(parameters, "outputLocation", (*at, "responseParameters")), *place)
    content_type = parameters.get("contentType")
    known = content_type if isinstance(content_type, str) else None
    return ResultPointer(show(place), location, known, {"sagemaker": {**evidence, "output_location": location}})


NOTIFICATION = Envelope(
    name="sagemaker-async",
    title="SageMaker asynchronous inference notices",
    rule="an object with `invocationStatus` and `inferenceId`",
    detect=detect_object(_NOTIFICATION, "a notice with invocationStatus and inferenceId"),
    near=near_object(_NOTIFICATION),
    needs=needed(_NOTIFICATION),
    unwrap=unwrap_notification,
    limits=(
        "A response that is included (up to 128 KB, when the endpoint asks for it) is read by its own family. "
        "Otherwise the notice points to the result, which is read only from places that the settings allow."
    ),
    sources=(
        "https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html",
        "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AsyncInferenceNotificationConfig.html",
    ),
)

SNS = Envelope(
    name="amazon-sns",
    title="Amazon SNS notifications",
    rule="an object with `Type` and a `Message` string",
    detect=detect_object(_SNS, "a notification with Type and Message"),
    near=near_object(_SNS),
    needs=needed(_SNS),
    unwrap=unwrap_sns,
    limits="The message must be JSON; it is read by its own family.",
    sources=("https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html",),
)

SAGEMAKER = (NOTIFICATION, SNS)


_RECEIVED = Keys({"MessageId": TEXT, "ReceiptHandle": TEXT, "Body": TEXT}, open=True)
_RECORD = Keys({"messageId": TEXT, "receiptHandle": TEXT, "body": TEXT}, open=True)
_EVENT = Keys({"Records": LIST}, open=True)


def unwrap(payload: Any, at: Path = ROOT) -> Unwrapped:
    """Return the JSON body of one message; raises OutputError for several."""
    message = mapping(payload, *at)
    if "Records" in message:
        records, at = array(message["Records"], *at, "Records"), (*at, "Records")
        if len(records) != 1:
            fail(at, f"{len(records)} messages at once", "publish one prediction per message")
        message, at = mapping(records[0], *at, 0), (*at, 0)
    key = "Body" if "Body" in message else "body"
    body, at = string(member(message, key, at), *at, key), (*at, key)
    return Unwrapped(parse_json(body, at), at)


def _detect(payload: Any) -> Match | None:
    if _RECEIVED.fits(payload) or _RECORD.fits(payload):
        return Match("a message with its id, receipt handle and body")
    records = payload["Records"] if _EVENT.fits(payload) else []
    if records and all(_RECORD.fits(record) for record in records):
        return Match("an event whose records have an id, a receipt handle and a body")
    return None


def _near(payload: Any) -> Miss | None:
    if isinstance(payload, Mapping) and {"receiptHandle", "body"} & payload.keys():
        return _RECORD.miss(payload, ROOT)
    return _RECEIVED.miss(payload, ROOT)


SQS = Envelope(
    name="amazon-sqs",
    title="Amazon SQS messages",
    rule="an object with `MessageId`, `ReceiptHandle` and a `Body` string, or Lambda's event with one such record",
    detect=_detect,
    near=_near,
    needs=needed(_RECEIVED, _RECORD, _EVENT),
    unwrap=unwrap,
    limits="The body must be JSON; it is read by its own family. Lambda's event may hold one record.",
    sources=(
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html",
        "https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html",
    ),
)
