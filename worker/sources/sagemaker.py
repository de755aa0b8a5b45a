"""Notices of SageMaker's asynchronous inference as messages: they name the inference, the endpoint and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTIFICATION_MARK = b'"invocationStatus"'
VERSION = "unversioned"
"""SageMaker names endpoints; which version of a model answers behind one is not in the notice."""


def is_notification(value: Mapping[str, Any]) -> bool:
    """Whether JSON is a notice, of success or of failure."""
    return "invocationStatus" in value and "inferenceId" in value


def message_of_notification(notification: Mapping[str, Any]) -> dict[str, Any]:
    """The prediction that a notice tells of: about the asset that the call named as its ``InferenceId``.

    What the notice lacks is left out; admission names it.
    """
    request = notification.get("requestParameters")
    endpoint = request.get("endpointName") if isinstance(request, Mapping) else None
    message = {
        "external_id": notification["inferenceId"],
        "model": {"name": endpoint, "version": VERSION} if endpoint else None,
        "output": {"payload": dict(notification)},
        "predicted_at": notification.get("eventTime"),
    }
    return {key: value for key, value in message.items() if value is not None}
