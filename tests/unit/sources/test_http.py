"""The HTTP source's answers: what is taken, what is refused and why, who may send."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from worker.environment import clock
from worker.intake import IdReused, MessageParser, RawMessage, Rules, Stored
from worker.projects.configuration import Projects
from worker.settings.source_groups import ServeSettings
from worker.settings.tree import Settings
from worker.sources.base import InboxIsFull, InboxUnavailable
from worker.sources.http.access import CONFIRMATION, NOTIFICATION, Access, SnsMessages
from worker.sources.http.openapi import openapi_document
from worker.sources.http.requests import Gateway
from worker.sources.http.server import Application, HttpSource

OPENAPI = Path(__file__).parents[3] / "docs" / "openapi.json"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:predictions"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
JSON = {"content-type": "application/json"}


def message(name: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    return {
        "project_id": "p",
        "external_id": name,
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {"RED": 0.9, "BLUE": 0.1}},
        "predicted_at": "2026-11-23T10:15:00Z",
        **changes,
    }


class Shelf:
    """Takes what is put, or raises."""

    def __init__(self) -> None:
        self.taken: list[RawMessage] = []
        self.error: Exception | None = None

    def __call__(self, messages: Sequence[RawMessage], *, strict: bool = False) -> Sequence[Stored]:
        if self.error is not None:
            raise self.error
        self.taken += messages
        return [Stored("new", f"{number}-0") for number in range(len(messages))]


class Client:
    """Calls an application in this process."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://here") as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())


class Desk:
    """The application with a shelf behind it."""

    def __init__(self, **settings: Any) -> None:
        own = ServeSettings(**settings)
        self.put = Shelf()
        self.fetched: list[str] = []
        self.pages: dict[str, bytes] = {}
        self.access = Access(own)
        gateway = Gateway(self.put, MessageParser(Rules(), Projects(None), checks_only=True), pairs=True)
        sns = SnsMessages(own.sns_topics, self._fetch)
        app = Application(own, self.access, gateway, sns, lambda: self.put.error is None)
        self.app = app.routes()
        self.client = Client(self.app)

    def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.pages.get(url, b"")

    def post(self, body: Any, path: str = "/v1/predictions", **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request("POST", path, content=content, headers={**JSON, **given})

    @property
    def names(self) -> list[str]:
        return [json.loads(one.body)["external_id"] for one in self.put.taken]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_one_message_a_list_and_lines_are_stored_and_answered_with_ids(desk: Desk) -> None:
    assert desk.post(message("a")).json() == {"ids": ["0-0"], "states": ["new"]}
    assert len(desk.post([message("b"), message("c")]).json()["ids"]) == 2
    lines = b"\n".join(json.dumps(message(name)).encode() for name in "de") + b"\n\n"
    assert desk.post(lines, content_type="application/x-ndjson").status_code == 202
    packed = gzip.compress(lines[: len(lines) // 2]) + gzip.compress(lines[len(lines) // 2 :])
    assert desk.post(packed, content_type="application/x-ndjson", content_encoding="gzip").status_code == 202
    assert desk.names == list("abcdede")
    assert json.loads(desk.put.taken[0].body) == message("a")


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", {}, 400, "empty"),
        (b"[]", {}, 400, "empty"),
        (b"{", {}, 400, "not valid JSON"),
        (b"[{", {}, 400, "not valid JSON"),
        (b"\xff", {}, 400, "not valid JSON"),
        (message(), {"content_type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (message(), {"content_encoding": "br"}, 415, "gzip"),
        (b"no gzip", {"content_encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-9], {"content_encoding": "gzip"}, 400, "too soon"),
        (message(extrenal_id="x"), {}, 422, "did you mean external_id"),
        (message(output={"scores": {"RED": 2.0}}), {}, 422, "output"),
        (message(project_id=None), {}, 422, "project_id"),
        (b"x" * 20_000, {}, 413, "bytes"),
    ],
)
def test_what_is_wrong_is_refused_with_the_field_and_the_fix_and_nothing_is_stored(
    body: Any, headers: dict[str, str], status: int, words: str
) -> None:
    desk = Desk(max_body_bytes=10_000)
    answer = desk.post(body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]
    assert desk.put.taken == []


def test_one_wrong_message_refuses_the_list_and_is_named(desk: Desk) -> None:
    answer = desk.post([message(), message(model=7), message()])
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["index"], error["field"]) == (422, 1, "model")
    assert desk.put.taken == []
    assert desk.post([message(), message(model=7)], "/v1/predictions?on_error=keep").status_code == 202
    assert desk.post(b"no JSON", "/v1/predictions?on_error=keep").status_code == 202
    assert [one.body for one in desk.put.taken[2:]] == [b"no JSON"]


def test_a_gzip_bomb_is_not_unpacked_further_than_a_body_may_be() -> None:
    desk = Desk(max_body_bytes=100_000)
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 100_000
    assert desk.post(bomb, content_encoding="gzip").status_code == 413


def test_a_full_inbox_and_an_absent_redis_are_told_with_the_time_to_come_again(desk: Desk) -> None:
    desk.put.error = InboxIsFull()
    answer = desk.post(message())
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    desk.put.error = InboxUnavailable()
    answer = desk.post(message())
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert (desk.client.request("GET", "/readyz").status_code, desk.client.request("GET", "/livez").status_code) == (
        503,
        200,
    )
    desk.put.error = IdReused(0)
    assert desk.post(message(), idempotency_key="k").status_code == 422


def test_a_byte_order_mark_before_the_first_message_is_left_out(desk: Desk) -> None:
    line = json.dumps(message("a")).encode()
    assert desk.post(b"\xef\xbb\xbf" + line).status_code == 202
    assert desk.post(b"\xef\xbb\xbf" + line, content_type="application/x-ndjson").status_code == 202
    assert desk.post(b"\xef\xbb\xbf[" + line + b"]").status_code == 202
    assert desk.names == ["a", "a", "a"]


def test_another_method_is_told_which_is_allowed(desk: Desk) -> None:
    answer = desk.client.request("PUT", "/v1/predictions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "not allowed" in answer.json()["detail"]


def test_a_body_that_announces_itself_as_too_long_is_refused_before_it_is_read() -> None:
    desk = Desk(max_body_bytes=10_000)

    async def never_read() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(desk.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            headers = {**JSON, "content-length": "10001"}
            return await client.post("/v1/predictions", content=never_read(), headers=headers)

    assert asyncio.run(call()).status_code == 413


def test_keys_of_requests_and_ids_of_events_become_the_ids_of_messages(desk: Desk) -> None:
    desk.post([message("a"), message("b")], idempotency_key="k")
    desk.post(message("c"), "/", ce_specversion="1.0", ce_id="7", ce_source="/s", ce_type="t")
    assert [one.id for one in desk.put.taken] == ["k", "k#1", "/s\n7\nt"]


def test_events_are_read_in_every_mode_and_from_every_cloud(desk: Desk) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": message("structured")}
    assert desk.post(event, "/", content_type="application/cloudevents+json").status_code == 202
    batch = [{**event, "id": str(number)} for number in range(3)]
    answer = desk.post(batch, "/v1/events", content_type="application/cloudevents-batch+json")
    assert len(answer.json()["ids"]) == 3
    attributes = {"ce_specversion": "1.0", "ce_id": "2", "ce_source": "/s", "ce_type": "t"}
    assert desk.post(message("binary"), "/", **attributes).status_code == 202
    data = base64.b64encode(json.dumps(message("pushed")).encode()).decode()
    push = {"message": {"data": data, "messageId": "77"}, "subscription": "projects/p/subscriptions/s"}
    assert desk.post(push, "/").status_code == 202
    grid = {"id": "g1", "subject": "s", "eventType": "x", "eventTime": "2026-11-23T10:15:00Z", "data": message("grid")}
    assert desk.post([grid], "/", aeg_event_type="Notification").status_code == 202
    forms = [(one.form, one.id) for one in desk.put.taken]
    assert forms[:5] == [("event", f"/s\n{number}\nt") for number in ("1", "0", "1", "2", "2")]
    assert forms[5:] == [("payload", "77"), ("payload", "g1")]


def test_logged_requests_and_responses_wait_for_one_another(desk: Desk) -> None:
    for side in ("request", "response"):
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": f"org.kubeflow.serving.inference.{side}"}
        assert desk.post({**event, "data": {"instances": []}}, "/").status_code == 202
    (one, other) = [taken.pair for taken in desk.put.taken]
    assert one is not None
    assert other is not None
    assert (one[0], one[1], other[1]) == (other[0], "request", "response")


def test_handshakes_are_answered(desk: Desk) -> None:
    code = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "abc"}}]
    answer = desk.post(code, "/", aeg_event_type="SubscriptionValidation")
    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "abc"})
    assert desk.post([{}], "/", aeg_event_type="SubscriptionValidation").status_code == 400
    answer = desk.client.request(
        "OPTIONS", "/v1/events", headers={"WebHook-Request-Origin": "eventemitter.example.com"}
    )
    assert answer.headers["webhook-allowed-origin"] == "eventemitter.example.com"
    assert desk.put.taken == []


def test_only_who_has_a_token_may_send_and_several_are_valid_at_a_time() -> None:
    desk = Desk(tokens=["old", "new"])
    assert desk.post(message()).status_code == 401
    assert desk.post(message(), authorization="Bearer wrong").status_code == 401
    assert desk.post(message(), authorization="Basic old").status_code == 401
    for token in ("old", "new"):
        assert desk.post(message(), authorization=f"Bearer {token}").status_code == 202
    assert desk.post(message(), "/?token=new").status_code == 202
    assert desk.client.request("OPTIONS", "/", headers={"WebHook-Request-Origin": "x"}).status_code == 401
    assert len(desk.put.taken) == 3


def signed(key: bytes, body: bytes, moment: float) -> dict[str, str]:
    digest = hmac.new(key, f"m1.{int(moment)}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,d3Jvbmc= v1,{base64.b64encode(digest).decode()}"
    return {"webhook_id": "m1", "webhook_timestamp": str(int(moment)), "webhook_signature": signature}


def test_a_signed_body_is_taken_as_long_as_the_signature_is_fresh() -> None:
    key = b"0123456789abcdef"
    desk = Desk(hmac_keys=["another", "whsec_" + base64.b64encode(key).decode()])
    body = json.dumps(message()).encode()
    assert desk.post(body, **signed(key, body, clock.now())).status_code == 202
    assert desk.post(body + b" ", **signed(key, body, clock.now())).status_code == 401
    assert desk.post(body, **signed(b"wrong", body, clock.now())).status_code == 401
    assert desk.post(body, **signed(key, body, clock.now() - 400)).status_code == 401
    assert [one.id for one in desk.put.taken] == ["m1"]


def test_secrets_of_a_file_are_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets"
    path.write_text("# of producers\ntoken first\nhmac key\n")
    desk = Desk(secrets_file=path)
    monkeypatch.setattr("worker.sources.http.access.LOOK_SECONDS", -1.0)
    assert desk.post(message(), authorization="Bearer first").status_code == 202
    path.write_text("token second\n")
    assert desk.post(message(), authorization="Bearer first").status_code == 401
    assert desk.post(message(), authorization="Bearer second").status_code == 202
    path.write_text("passwort geheim\n")
    with pytest.raises(ValueError, match="line 1 is neither"):
        Access(ServeSettings(secrets_file=path))
    assert desk.post(message(), authorization="Bearer second").status_code == 202, "the last good one stays in force"


def test_nobody_opens_it_to_the_network_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SERVE__HOST", "0.0.0.0")
    with pytest.raises(ValueError, match="WORKER_SERVE__TOKENS"):
        HttpSource(Settings())
    monkeypatch.setenv("WORKER_SERVE__TOKENS", "t")
    HttpSource(Settings())


class Amazon:
    """Signs as SNS does."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - as the builder wants it
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), 1, now, now.replace(year=2036))
        self.pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def sign(self, keys: Sequence[str], **fields: str) -> dict[str, str]:
        found = {"TopicArn": TOPIC, "MessageId": "s1", "Timestamp": "2026-11-23T10:15:00.000Z", **fields}
        text = "".join(f"{key}\n{found[key]}\n" for key in keys if key in found)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {
            **found,
            "SignatureVersion": "2",
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": CERTIFICATE_URL,
        }


def test_sns_is_believed_for_its_signature_and_for_allowed_topics_alone() -> None:
    desk, amazon = Desk(tokens=["t"], sns_topics=[TOPIC]), Amazon()
    desk.pages[CERTIFICATE_URL] = amazon.pem
    header = {"x_amz_sns_message_type": "Notification", "content_type": "text/plain; charset=UTF-8"}
    good = amazon.sign(NOTIFICATION, Type="Notification", Message=json.dumps(message("sns")))
    assert desk.post(good, "/", **header).status_code == 202
    assert (desk.names, desk.put.taken[0].id) == (["sns"], "s1")
    assert desk.post({**good, "Message": "{}"}, "/", **header).status_code == 401
    assert (
        desk.post(
            {**good, "SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem"}, "/", **header
        ).status_code
        == 403
    )
    other = amazon.sign(NOTIFICATION, Type="Notification", Message="{}", TopicArn=f"{TOPIC}-other")
    assert desk.post(other, "/", **header).status_code == 403
    confirmation = amazon.sign(
        CONFIRMATION,
        Type="SubscriptionConfirmation",
        Message="confirm",
        Token="x",
        SubscribeURL="https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
    )
    assert desk.post(confirmation, "/", **header).json() == {"subscription": "confirmed"}
    forged = {**confirmation, "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Other"}
    assert desk.post(forged, "/", **header).status_code == 401
    assert desk.fetched == [CERTIFICATE_URL, confirmation["SubscribeURL"]]
    assert Desk(tokens=["t"]).post(good, "/", **header).status_code == 401, "no topic is allowed"


def test_unknown_parameters_and_paths_are_told(desk: Desk) -> None:
    assert "on_error" in desk.post(message(), "/v1/predictions?on_eror=keep").json()["detail"]
    assert desk.post(message(), "/v1/predictions?on_error=drop").status_code == 400
    assert desk.post(message(), "/v2/models").status_code == 404
    assert desk.client.request("GET", "/v1/predictions").status_code == 405


def test_the_committed_description_is_the_served_one(desk: Desk) -> None:
    assert (
        desk.client.request("GET", "/openapi.json").json()
        == openapi_document()
        == json.loads(OPENAPI.read_text("utf-8"))
    )
