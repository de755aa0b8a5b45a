"""SageMaker asynchronous inference notices, alone or inside Amazon SNS notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.answer_text import looks_like_json, parse_base64_json, parse_json, parse_json_or_text
from worker.formats.checks import ROOT, Path, ResultPointer, describe, fail, mapping, member, show, string
from worker.formats.meaning import texts_of
from worker.formats.structure import TEXT, Envelope, Keys, Unwrapped, detect_object, near_object, needed

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

ENVELOPES = (NOTIFICATION, SNS)
