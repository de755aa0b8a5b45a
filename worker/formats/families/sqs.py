"""Amazon SQS messages, as boto3 receives them or as Lambda hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.answer_text import parse_json
from worker.formats.checks import ROOT, Path, array, fail, mapping, member, string
from worker.formats.structure import LIST, TEXT, Envelope, Keys, Match, Miss, Unwrapped, needed

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


ENVELOPE = Envelope(
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
