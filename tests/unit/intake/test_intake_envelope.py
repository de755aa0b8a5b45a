"""Celery's messages as they lie in Redis, read without Celery's consumer."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import pickle
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from worker.contract import MessageError
from worker.intake.originals import MAX_BODY_BYTES, MAX_MESSAGES, messages_of

ONE, TWO = {"external_id": "1"}, {"external_id": "2", "text": "ü"}
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def envelope(body: Any = None, *, raw: bytes | None = None, **changes: Any) -> bytes:
    """Protocol 2 as kombu's Redis transport stores it; ``headers__x`` and ``properties__x`` change one of theirs."""
    content = raw if raw is not None else json.dumps([[ONE], {}, {}] if body is None else body).encode()
    found: dict[str, Any] = {
        "body": base64.b64encode(content).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "predictions.ingest", "id": "1", "expires": None},
        "properties": {"body_encoding": "base64", "delivery_tag": "t"},
    }
    for path, value in changes.items():
        group, _, name = path.rpartition("__")
        node = found[group] if group else found
        node[name.replace("_", "-") if not group else name] = value
    return json.dumps(found).encode()


def read(raw: bytes, **options: Any) -> list[Any]:
    return [json.loads(message) for message in messages_of(raw, now=NOW, **options)]


def rejection(raw: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        messages_of(raw, now=NOW)
    return caught.value


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([ONE, TWO], {}),
        ([[ONE, TWO]], {}),
        ([[ONE], [TWO]], {}),
        ([json.dumps(ONE), json.dumps(TWO)], {}),
        ([ONE], {"prediction": TWO}),
        ([], {"predictions": [ONE, TWO]}),
        (None, {"messages": [ONE], "message": TWO}),
    ],
)
def test_predictions_are_found_wherever_a_producer_puts_them(args: Any, kwargs: Any) -> None:
    assert read(envelope([args, kwargs, {}])) == [ONE, TWO]


def test_protocol_1_keeps_everything_in_its_body() -> None:
    body = {"task": "predictions.ingest", "id": "1", "args": [ONE], "kwargs": {}, "expires": None}
    assert read(envelope(body, headers={})) == [ONE]
    assert rejection(envelope({**body, "task": "other"}, headers={})).cause == "unknown_task"
    assert rejection(envelope([1], headers={})).field == "headers"


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "lzma"])
def test_what_celery_itself_writes_is_read(protocol: int, compression: str | None) -> None:
    with Celery(broker="memory://") as app:
        app.conf.update(task_protocol=protocol)
        app.send_task("predictions.ingest", [[ONE, TWO]], queue=f"q{protocol}{compression}", compression=compression)
        with app.connection_for_read() as connection:
            stored = connection.default_channel._get(f"q{protocol}{compression}")
    assert read(json.dumps(stored).encode()) == [ONE, TWO]


@pytest.mark.parametrize(
    ("compress", "names"),
    [
        (zlib.compress, ["application/x-gzip", "gzip", "zlib"]),
        (bz2.compress, ["application/x-bz2", "bzip2"]),
        (lzma.compress, ["application/x-lzma", "lzma", "xz"]),
    ],
)
def test_bodies_are_uncompressed_under_every_name_of_the_codec(
    compress: Callable[[bytes], bytes], names: list[str]
) -> None:
    body = compress(json.dumps([[TWO], {}, {}]).encode())
    for name in names:
        assert read(envelope(raw=body, headers__compression=name)) == [TWO]
        assert rejection(envelope(raw=body[:-4], headers__compression=name)).cause == "broken_envelope"
        assert rejection(envelope(raw=b"plain", headers__compression=name)).cause == "broken_envelope"


def test_nothing_is_uncompressed_beyond_the_limit() -> None:
    bomb = zlib.compress(b" " * (MAX_BODY_BYTES + 1))
    assert len(bomb) < 100_000
    found = rejection(envelope(raw=bomb, headers__compression="gzip"))
    assert (found.cause, found.field) == ("too_large", "body")


def test_an_expired_message_is_refused_unless_it_is_replayed() -> None:
    for late in (NOW - timedelta(seconds=1), NOW):
        assert rejection(envelope(headers__expires=late.isoformat())).cause == "expired"
        assert read(envelope(headers__expires=late.isoformat()), check_expiry=False) == [ONE]
    assert read(envelope(headers__expires=(NOW + timedelta(seconds=1)).isoformat())) == [ONE]
    assert rejection(envelope(headers__expires="2026-11-23T09:59:59")).cause == "expired", "no zone means UTC"
    assert rejection(envelope(headers__expires="soon")).field == "headers.expires"
    assert rejection(envelope(headers__expires=17)).field == "headers.expires"


def test_a_body_without_base64_is_taken_as_it_is() -> None:
    plain = json.dumps([[TWO], {}, {}], ensure_ascii=False)
    assert read(with_body(plain)) == [TWO]


def with_body(body: Any) -> bytes:
    found = json.loads(envelope())
    return json.dumps({**found, "body": body, "properties": {}}).encode()


@pytest.mark.parametrize(
    ("raw", "cause", "field"),
    [
        (b"", "broken_envelope", "envelope"),
        (b"[]", "broken_envelope", "envelope"),
        (b"{}", "broken_envelope", "body"),
        (envelope(headers=3), "broken_envelope", "headers"),
        (envelope(properties="x"), "broken_envelope", "properties"),
        (with_body(None), "broken_envelope", "body"),
        (envelope(body="x"), "broken_envelope", "body"),
        (envelope(raw=b"[" * 100_000), "broken_envelope", "body"),
        (envelope(raw=b"\xff"), "broken_envelope", "body"),
        (envelope([1]), "broken_envelope", "body"),
        (envelope([{"a": 1}, {}, {}]), "broken_envelope", "body"),
        (envelope([[ONE], [1], {}]), "broken_envelope", "body"),
        (envelope(headers__compression="rar"), "broken_envelope", "headers.compression"),
        (envelope(headers__compression=[1]), "broken_envelope", "headers.compression"),
        (envelope(headers__task="other"), "unknown_task", "headers.task"),
        (envelope(content_type="application/x-python-serialize"), "content_type_refused", "content-type"),
        (envelope([[ONE], {"predction": TWO}, {}]), "invalid_message", "predction"),
        (envelope([[], {}, {}]), "invalid_message", "args"),
        (envelope([[[]], {}, {}]), "invalid_message", "args"),
        (envelope([[[0] * (MAX_MESSAGES + 1)], {}, {}]), "too_many", "args"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field_and_a_fix(raw: bytes, cause: str, field: str) -> None:
    found = rejection(raw)
    assert (found.cause, found.field) == (cause, field)
    assert found.problem
    assert found.fix


def test_broken_base64_is_refused() -> None:
    found = json.loads(envelope())
    broken = json.dumps({**found, "body": "%%%"}).encode()
    assert rejection(broken).problem.startswith("is not base64")


def test_a_pickle_is_refused_whatever_it_says_it_is() -> None:
    raw = pickle.dumps([[ONE], {}, {}])
    assert rejection(envelope(raw=raw, content_type="application/x-python-serialize")).cause == "content_type_refused"
    assert rejection(envelope(raw=raw)).cause == "broken_envelope"
