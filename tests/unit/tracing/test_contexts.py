"""What counts as a trace context, and where each source carries it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.intake import RawMessage
from worker.intake.parsing import InboxEntry
from worker.sources.broker_queue import envelope_of
from worker.sources.sqs import _headers as sqs_headers
from worker.sources.wrapped import messages_in
from worker.tracing import context_of, context_of_entry, is_sampled, own_context, parsed, with_flag

PARENT = f"00-{'4b' * 16}-{'f0' * 8}-01"
OTHER = f"00-{'5c' * 16}-{'a1' * 8}-01"


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "00-4b-f0-01",
        PARENT.upper(),
        PARENT.replace("4b" * 16, "0" * 32),
        PARENT.replace("f0" * 8, "0" * 16),
        f"ff{PARENT[2:]}",
        f"{PARENT}-more",
        f"{PARENT[:-1]}g",
        PARENT + "\n" + PARENT,
    ],
)
def test_what_is_not_as_w3c_describes_is_no_context(text: object) -> None:
    assert parsed(text) == ""


def test_a_context_is_the_parent_and_the_state_that_goes_with_it() -> None:
    assert parsed(f" {PARENT} ") == PARENT
    assert parsed(PARENT, "congo=t61rcWkgMzE,rojo=00f067") == f"{PARENT} congo=t61rcWkgMzE,rojo=00f067"
    assert parsed(f"cc{PARENT[2:]}-of-a-later-version") == PARENT
    for state in ("", 'a="b"', "a=\\", "nothing", "a=" + "b" * 512, 7, "a=é"):
        assert parsed(PARENT, state) == PARENT


def test_the_flag_is_read_and_written() -> None:
    context = f"{PARENT} a=b"
    assert is_sampled(context)
    unsampled = with_flag(context, sampled=False)
    assert unsampled == f"{PARENT[:-1]}0 a=b"
    assert not is_sampled(unsampled)
    assert not is_sampled("")
    assert with_flag(unsampled, sampled=True) == context


def message(**keys: Any) -> dict[str, Any]:
    return {
        "external_id": "a.jpg",
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {"RED": 1.0}},
        "predicted_at": "2026-11-23T10:15:00Z",
        **keys,
    }


def event(**keys: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": message(), **keys}


def entry_of(raw: RawMessage) -> dict[bytes, bytes]:
    """The fields that the inbox keeps of a message."""
    parent, state = raw.trace
    beside = {b"traceparent": parent.encode(), b"tracestate": state.encode()} if parent else {}
    return {raw.form.encode(): raw.body, **beside}


def context_in(raw: RawMessage) -> str:
    return own_context(raw.body) if raw.form == "payload" and not raw.trace[0] else context_of_entry(entry_of(raw))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (message(traceparent=PARENT, tracestate="a=b"), {}),
        (message(), {"traceparent": PARENT, "tracestate": "a=b"}),
        (message(), {"TraceParent": PARENT, "TraceState": "a=b"}),
        (event(traceparent=PARENT, tracestate="a=b"), {}),
        (event(), {"traceparent": PARENT, "tracestate": "a=b"}),
        (event(traceparent=PARENT, tracestate="a=b"), {"traceparent": OTHER}),
        (message(), {"ce-specversion": "1.0", "ce-id": "1", "ce-traceparent": PARENT, "ce-tracestate": "a=b"}),
        (message(), {"ce_specversion": "1.0", "ce_id": "1", "ce_traceparent": PARENT, "ce_tracestate": "a=b"}),
        (message(), {"ce-specversion": "1.0", "ce-id": "1", "traceparent": PARENT, "tracestate": "a=b"}),
    ],
)
def test_messages_events_and_headers_carry_it(body: dict[str, Any], headers: dict[str, str]) -> None:
    (raw,) = messages_in(json.dumps(body).encode(), headers=headers, pairs=False)
    assert context_in(raw) == f"{PARENT} a=b"


def test_the_attributes_of_an_sqs_message_carry_it() -> None:
    attributes = {
        "traceparent": {"DataType": "String", "StringValue": PARENT},
        "tracestate": {"DataType": "String", "StringValue": "a=b"},
        "picture": {"DataType": "Binary", "BinaryValue": b"x"},
    }
    assert context_of(sqs_headers({"MessageAttributes": attributes})) == f"{PARENT} a=b"
    assert context_of(sqs_headers({})) == ""


class Kombu:
    """A message as kombu hands it over."""

    body, content_type, content_encoding, errors = b"[[],{},{}]", "application/json", "utf-8", None

    def __init__(self, headers: dict[str, Any]) -> None:
        self.headers = headers


@pytest.mark.parametrize("headers", [{"traceparent": PARENT}, {"headers": {"traceparent": PARENT}}])
def test_the_headers_of_a_celery_message_carry_it(headers: dict[str, Any]) -> None:
    assert context_of_entry({b"envelope": envelope_of(Kombu({"task": "predictions.ingest", **headers}))}) == PARENT


def test_a_logged_request_or_response_carries_it() -> None:
    for pair in (
        {"request": {"traceparent": PARENT}, "response": {"traceparent": OTHER}},
        {"request": {}, "response": {"traceparent": PARENT}},
    ):
        assert context_of_entry({b"pair": json.dumps(pair).encode()}) == PARENT


def test_fields_of_a_stream_entry_carry_it_and_are_no_news_to_whoever_reads_the_entry() -> None:
    fields = {b"payload": b"{}", b"traceparent": PARENT.encode(), b"tracestate": b"a=b"}
    assert context_of_entry(fields) == f"{PARENT} a=b"
    assert InboxEntry("1-0", fields).source == "stream"
    assert context_of_entry({b"payload": b"{}"}) == ""


def test_what_only_looks_like_a_context_is_none() -> None:
    deep = message(metadata={"note": f'"traceparent": "{PARENT}"'})
    assert own_context(json.dumps(deep).encode()) == ""
    nested = {**message(), "output": {"payload": {"traceparent": PARENT}}}
    assert own_context(json.dumps(nested).encode()) == ""
    assert own_context(b'{"traceparent"') == ""
    assert own_context(b'["traceparent"]') == ""
    assert context_of_entry({b"envelope": b'{"traceparent": 1, "headers": 3}'}) == ""
