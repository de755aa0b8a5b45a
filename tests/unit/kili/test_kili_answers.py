"""Each way Kili can answer, and what the caller is told."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from kili_doubles import API_KEY, data, graphql_error, single_attempt

from worker.kili import errors
from worker.kili.client import KiliClient
from worker.kili.errors import (
    ConnectFailed,
    KiliError,
    LocalFault,
    RateLimited,
    RefusedItems,
    RefusedKey,
    RefusedProject,
    ServerFault,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    UnknownOutcome,
)
from worker.kili.operations import AssetUpdate, NewAsset, NewLabel

Call = Callable[[KiliClient], object]

ENVOY = "upstream connect error or disconnect/reset before headers. "
HTML = "<html><head><title>Bad gateway</title></head><body>cloudflare</body></html>"


def write_labels(client: KiliClient) -> object:
    return client.append_labels("p", [NewLabel("c-one", "{}", "m:1"), NewLabel("c-two", "{}", "m:1")])


def write_assets(client: KiliClient) -> object:
    return client.append_assets("p", [NewAsset("c-one", "a", ""), NewAsset("c-two", "b", "")])


def update(client: KiliClient) -> object:
    return client.update_assets("p", [AssetUpdate("c-one", 1), AssetUpdate("c-two", 2)])


def find(client: KiliClient) -> object:
    return client.find_assets("p", ["a"])


def exists(client: KiliClient) -> object:
    return client.existing_external_ids("p", ["a"])


def interface(client: KiliClient) -> object:
    return client.project_interface("p")


def viewer(client: KiliClient) -> object:
    return client.viewer()


def urls(client: KiliClient) -> object:
    return client.signed_upload_urls("p", ["c-one"])


def failure(answer: httpx.Response | Exception, call: Call = write_labels) -> KiliError:
    with pytest.raises(KiliError) as caught:
        call(single_attempt(answer).client)
    return caught.value


@pytest.mark.parametrize("call", [write_labels, find], ids=["mutation", "query"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(429, text="Too many requests"), RateLimited),
        (httpx.Response(429, json={"message": "Too many requests"}), RateLimited),
        (httpx.Response(429, json={"errors": [{"message": "slow down"}]}), RateLimited),
        (httpx.Response(401, text="Unauthorized"), Unauthorized),
        (httpx.Response(401, json={"errors": [{"message": "who?"}]}), Unauthorized),
        (httpx.Response(401, text="Your API key has expired"), RefusedKey),
        (httpx.Response(403, text="Forbidden"), RefusedKey),
        (httpx.Response(403, json={"errors": [{"message": "no"}]}), RefusedKey),
        (httpx.Response(521, text=HTML), Unavailable),
        (httpx.Response(503, text=ENVOY + "reset reason: remote connection failure"), Unavailable),
        (httpx.Response(503, text=ENVOY + "reset reason: connection failure"), Unavailable),
        (httpx.Response(503, text=ENVOY + "reset reason: overflow"), Unavailable),
        (httpx.Response(503, text="no healthy upstream"), Unavailable),
        (httpx.Response(503, text=ENVOY + "reset reason: connection termination"), UnknownOutcome),
        (
            httpx.Response(503, text=ENVOY + "retried and the latest reset reason: remote connection failure"),
            UnknownOutcome,
        ),
        (httpx.Response(503, text="Service Unavailable"), UnknownOutcome),
        (httpx.Response(503, json={"errors": [{"message": "maintenance"}]}), UnknownOutcome),
        (httpx.Response(500, text="Internal Server Error"), UnknownOutcome),
        (httpx.Response(502, text=HTML), UnknownOutcome),
        (httpx.Response(504, text=HTML), TimedOut),
        (httpx.Response(524, text=HTML), TimedOut),
        (httpx.Response(520, text=HTML), UnknownOutcome),
        (httpx.Response(522, text=HTML), UnknownOutcome),
        (httpx.Response(413, text="Request Entity Too Large"), TooLarge),
        (httpx.Response(413, json={"errors": [{"message": "request entity too large"}]}), TooLarge),
        (httpx.Response(408, text=""), Unavailable),
        (httpx.Response(404, text="default backend - 404"), Unavailable),
        (httpx.Response(302, headers={"location": "https://login.test/"}), Unavailable),
        (httpx.Response(400, text=HTML), UnknownOutcome),
        (httpx.Response(418, text="?"), UnknownOutcome),
        (httpx.Response(200, text=HTML), UnknownOutcome),
        (httpx.Response(200, text='{"data": {"data": [{"id": "c'), UnknownOutcome),
        (httpx.Response(200, text=""), UnknownOutcome),
        (httpx.Response(200, json=[1]), UnknownOutcome),
        (httpx.Response(200, json={"data": None}), UnknownOutcome),
        (httpx.Response(200, json={"data": {"data": None}}), UnknownOutcome),
        (httpx.Response(200, json={"data": 3}), UnknownOutcome),
        (httpx.Response(200, json={"data": {"data": 3}}), UnknownOutcome),
        (httpx.Response(200, json={"data": {"data": [{"name": "no id"}]}}), UnknownOutcome),
        (httpx.Response(500, json={"data": {"data": []}}), UnknownOutcome),
        (httpx.Response(200, text="[" * 100_000), UnknownOutcome),
        (httpx.Response(200, content=b"\xff\xfe\x00"), UnknownOutcome),
        (httpx.ConnectError("refused"), ConnectFailed),
        (httpx.ConnectTimeout("slow"), ConnectFailed),
        (httpx.PoolTimeout("busy"), LocalFault),
        (httpx.LocalProtocolError("a header of ours"), LocalFault),
        (httpx.ProxyError("407"), ConnectFailed),
        (httpx.ReadTimeout("slow"), TimedOut),
        (httpx.WriteTimeout("slow"), TimedOut),
        (httpx.ReadError("reset"), UnknownOutcome),
        (httpx.WriteError("reset"), UnknownOutcome),
        (httpx.RemoteProtocolError("disconnected"), UnknownOutcome),
        (httpx.DecodingError("bad gzip"), UnknownOutcome),
    ],
)
def test_an_answer_is_judged_alike_for_reading_and_writing(
    answer: httpx.Response | Exception, kind: type[KiliError], call: Call
) -> None:
    assert type(failure(answer, call)) is kind


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("message", "code", "reason", "kind"),
    [
        (
            "[jsonResponseMalformed] unknown category VIOLET",
            "OPERATION_RESOLUTION_FAILURE",
            None,
            RefusedItems,
        ),
        ("[unexpectedRetrieving] trouble | trace : 1", "OPERATION_RESOLUTION_FAILURE", None, ServerFault),
        ("[unexpectedRetrieving] x", "OPERATION_RESOLUTION_FAILURE", "AssetAlreadyLocked", RefusedItems),
        ("[lock] no", "OPERATION_RESOLUTION_FAILURE", "NotInStepAssignees", RefusedItems),
        ("[unexpectedRetrieving] Invalid request made to Flagsmith API. 502", None, None, ServerFault),
        ("Failed to fetch data connection", None, None, ServerFault),
        ("Something is wrong", "INTERNAL_SERVER_ERROR", None, ServerFault),
        ('Variable "$data" got invalid value 1e99', "INTERNAL_SERVER_ERROR", None, RefusedItems),
        ("Variable '$data' got invalid value 1e99", "INTERNAL_SERVER_ERROR", None, RefusedItems),
        ("Int cannot represent 1e99", "BAD_USER_INPUT", None, RefusedItems),
        ("Internal server error", None, None, ServerFault),
        ("Unexpected error.", None, None, ServerFault),
        ("read ECONNRESET", None, None, ServerFault),
        ("Timed out fetching a new connection from the connection pool", None, None, ServerFault),
        ("deadlock detected", None, None, ServerFault),
        ('Cannot query field "data"', "GRAPHQL_VALIDATION_FAILED", None, UnknownOperation),
        ('Cannot query field "data"', None, None, UnknownOperation),
        ("Syntax Error: Unexpected Name", "GRAPHQL_PARSE_FAILED", None, UnknownOperation),
        ("Too many requests", None, None, RateLimited),
        ("slow down", "RATE_LIMITED", None, RateLimited),
        ("Unauthorized", None, None, Unauthorized),
        ("please log in", "UNAUTHENTICATED", None, Unauthorized),
        ("Your API key has expired", None, None, RefusedKey),
        ("This api-key was revoked", "UNAUTHENTICATED", None, RefusedKey),
        ("Invalid API key", None, None, RefusedKey),
        ("whatever this is", "OPERATION_RESOLUTION_FAILURE", None, RefusedItems),
        ("", None, None, RefusedItems),
    ],
)
def test_a_graphql_error_is_judged_by_what_it_says_and_not_by_the_status(
    message: str, code: str | None, reason: str | None, kind: type[KiliError], status: int
) -> None:
    error = failure(graphql_error(message, status=status, code=code, reason=reason))
    assert type(error) is kind


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (write_labels, RefusedItems),
        (update, RefusedItems),
        (write_assets, RefusedProject),
        (find, RefusedProject),
        (exists, RefusedProject),
        (urls, RefusedItems),
        (interface, RefusedProject),
        (viewer, RefusedKey),
    ],
)
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("[noAccessRights] It seems you do not have access to this object", "OPERATION_RESOLUTION_FAILURE"),
        ("you lack rights", "FORBIDDEN"),
        ("project p not found", None),
    ],
)
def test_missing_access_is_laid_to_what_the_operation_addresses(
    message: str, code: str | None, call: Call, kind: type[KiliError]
) -> None:
    error = failure(graphql_error(message, code=code), call)
    assert type(error) is kind
    if isinstance(error, RefusedItems):
        assert error.access


@pytest.mark.parametrize("call", [write_labels, write_assets, update, find, urls])
def test_something_not_found_is_an_item_unless_it_is_the_project(call: Call) -> None:
    error = failure(graphql_error("asset c-one was not found"), call)
    assert isinstance(error, RefusedItems)
    assert error.access


@pytest.mark.parametrize(("call", "kind"), [(interface, RefusedProject), (viewer, RefusedKey)])
def test_something_not_found_without_items_is_the_project_or_the_user(call: Call, kind: type[KiliError]) -> None:
    assert type(failure(graphql_error("object not found"), call)) is kind


@pytest.mark.parametrize("call", [interface, viewer])
def test_without_items_an_unknown_error_is_the_servers(call: Call) -> None:
    assert type(failure(graphql_error("strange"), call)) is ServerFault


def test_a_project_that_is_not_listed_is_refused_and_named() -> None:
    error = failure(data([]), interface)
    assert isinstance(error, RefusedProject)
    assert error.project_id == "p"
    assert "project p" in str(error)


def test_partial_data_of_a_mutation_is_not_trusted() -> None:
    error = failure(graphql_error("part of it failed", partial=[{"id": "label-1"}, None], path=["data", 1]))
    assert isinstance(error, RefusedItems)
    assert (error.item_indexes, error.item_ids) == ((1,), ("c-two",))


@pytest.mark.parametrize(
    ("message", "code", "call", "may_be_items"),
    [
        ("[unexpectedRetrieving] trouble", None, write_labels, True),
        ("Something is wrong", "INTERNAL_SERVER_ERROR", write_assets, True),
        ("Internal server error", None, find, True),
        ("Internal server error", None, interface, False),
        ("[unexpectedRetrieving] Invalid request made to Flagsmith API", None, write_labels, False),
        ("Can't reach database server", "INTERNAL_SERVER_ERROR", write_labels, False),
        ("[unexpectedRetrieving] read ECONNRESET", None, write_labels, False),
    ],
)
def test_a_general_fault_may_be_an_items_and_a_named_one_may_not(
    message: str, code: str | None, call: Call, may_be_items: bool
) -> None:
    error = failure(graphql_error(message, code=code), call)
    assert isinstance(error, ServerFault)
    assert error.may_be_items is may_be_items


def test_an_item_that_the_message_names_is_pointed_at() -> None:
    error = failure(graphql_error("[jsonResponseMalformed] asset c-two: no job X"))
    assert isinstance(error, RefusedItems)
    assert (error.item_indexes, error.item_ids) == ((1,), ("c-two",))


@pytest.mark.parametrize("path", [["data"], ["data", 7], ["data", -1], ["data", "id"], None])
def test_an_error_that_names_no_item_points_at_none(path: list[object] | None) -> None:
    error = failure(graphql_error("[jsonResponseMalformed] no", path=path))
    assert isinstance(error, RefusedItems)
    assert error.item_indexes == ()


@pytest.mark.parametrize(
    "message",
    ["Asset c-one already exists", "Unique constraint failed on the fields: (`id`)", "duplicate key value"],
)
def test_an_asset_that_exists_already_is_told_apart(message: str) -> None:
    error = failure(graphql_error(message), write_assets)
    assert isinstance(error, RefusedItems)
    assert error.already_exists
    assert not error.access


def test_the_gravest_of_several_errors_decides() -> None:
    messages = ["internal server error", "[jsonResponseMalformed] c-one", "c-two already exists"]
    answer = httpx.Response(200, json={"errors": [{"message": message} for message in messages]})
    error = failure(answer)
    assert isinstance(error, RefusedItems)
    assert error.code == "jsonResponseMalformed"
    assert error.already_exists
    assert error.item_ids == ("c-one", "c-two")
    assert all(message in error.server_message for message in messages)


def test_a_dead_key_outranks_every_other_error() -> None:
    messages = ["[jsonResponseMalformed] c-one", "API key expired", "too many requests"]
    answer = httpx.Response(429, json={"errors": [{"message": message} for message in messages]})
    assert type(failure(answer)) is RefusedKey


@pytest.mark.parametrize(
    "errors_field",
    ["plain text", {"message": "one object"}, [None], [3], [{"message": None, "extensions": "x"}]],
)
def test_errors_of_any_shape_are_read(errors_field: object) -> None:
    assert isinstance(failure(httpx.Response(200, json={"errors": errors_field})), RefusedItems)


def test_an_empty_list_of_errors_is_no_error() -> None:
    answer = httpx.Response(200, json={"errors": [], "data": {"data": [{"id": "c-one"}]}})
    assert write_assets(single_attempt(answer).client) == ["c-one"]


@pytest.mark.parametrize(
    ("reason", "message", "code", "name"),
    [
        (
            "AssetAlreadyLocked",
            "[unexpectedRetrieving] x",
            "OPERATION_RESOLUTION_FAILURE",
            "AssetAlreadyLocked",
        ),
        (None, "[jsonResponseMalformed] x", "OPERATION_RESOLUTION_FAILURE", "jsonResponseMalformed"),
        (None, "x", "OPERATION_RESOLUTION_FAILURE", "OPERATION_RESOLUTION_FAILURE"),
        (None, "x", None, None),
    ],
)
def test_an_error_carries_the_servers_most_telling_name(
    reason: str | None, message: str, code: str | None, name: str | None
) -> None:
    assert failure(graphql_error(message, code=code, reason=reason)).code == name


def test_an_error_says_what_was_asked_and_what_was_answered() -> None:
    error = failure(httpx.Response(502, text="bad\n\n   gateway", headers={"retry-after": "7"}))
    assert str(error) == "appendManyLabels: HTTP 502: bad gateway"
    assert (error.operation, error.status, error.server_message) == ("appendManyLabels", 502, "bad gateway")
    assert (error.retry_after, error.project_id) == (7.0, "p")


def test_words_are_kept_to_a_bearable_length() -> None:
    error = failure(httpx.Response(500, text="x" * 1_000_000))
    assert len(error.server_message) == errors.MAX_MESSAGE
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text=f"bad key {API_KEY}"),
        httpx.Response(200, json={"errors": [{"message": f"{'x' * 1990}{API_KEY}"}]}),
        httpx.Response(200, json={"data": {"data": None}, "echo": API_KEY}),
        httpx.ReadError(f"while sending X-API-Key: {API_KEY}"),
    ],
)
def test_the_api_key_is_not_in_an_error(answer: httpx.Response | Exception) -> None:
    error = failure(answer)
    shown = " ".join([str(error), repr(error), error.server_message])
    assert API_KEY not in shown
    assert API_KEY[:10] not in shown
