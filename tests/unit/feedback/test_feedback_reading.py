"""What is read from Kili: label files side by side within limits, and rows that cannot be read without the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from worker.feedback.label_files import ATTEMPTS, SIDE_BY_SIDE, FileRules, LabelFiles, Unread
from worker.feedback.reading import KiliReader, LabelKind
from worker.kili import KiliAccess, RetryPolicy, UnknownOutcome

ENDPOINT = "https://cloud.kili.test/api/label/v2/graphql"
ACCESS = KiliAccess(ENDPOINT, "a-secret-key")
ANSWER = {"JOB": {"categories": [{"name": "RED"}]}}
RULES = FileRules(hosts=("storage.test",), max_bytes=1000)

Server = Callable[[httpx.Request], httpx.Response]


def files(server: Server, *, access: KiliAccess = ACCESS, rules: FileRules = RULES) -> LabelFiles:
    return LabelFiles(access, rules, http=httpx.Client(transport=httpx.MockTransport(server)))


def problem(found: Any) -> str:
    assert isinstance(found, Unread)
    return found.problem


def test_files_are_read_side_by_side_and_one_that_is_missing_keeps_nobody() -> None:
    together = threading.Barrier(SIDE_BY_SIDE - 1, timeout=5)

    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/missing":
            return httpx.Response(404)
        together.wait()
        return httpx.Response(200, json={"at": request.url.path})

    urls = [f"https://storage.test/{number}" for number in range(SIDE_BY_SIDE - 1)]
    found = files(server).fetch([*urls, "https://storage.test/missing"])
    assert problem(found.pop("https://storage.test/missing")) == "the server answered 404"
    assert found == {url: {"at": f"/{number}"} for number, url in enumerate(urls)}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(status: int) -> None:
    answers = iter([httpx.Response(status), httpx.Response(200, json=ANSWER)])
    assert files(lambda request: next(answers)).fetch(["https://storage.test/a"]) == {"https://storage.test/a": ANSWER}


def test_what_does_not_pass_is_tried_a_few_times() -> None:
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ConnectError("no route")

    [found] = files(server).fetch(["https://storage.test/a"]).values()
    assert (problem(found), len(asked)) == ("it cannot be read: ConnectError", ATTEMPTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x" * 1001, "it is larger than 1,000 bytes"),
        (b"<html>", "it is no JSON"),
        (b"[1]", "it is no JSON object"),
        (b"\xff", "it is no JSON"),
        (b"[" * 900, "it is no JSON"),
    ],
)
def test_a_file_of_the_wrong_kind_is_told(content: bytes, words: str) -> None:
    [found] = files(lambda request: httpx.Response(200, content=content)).fetch(["https://storage.test/a"]).values()
    assert problem(found) == words


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://evil.test/a", "it is at evil.test, a host that WORKER_FEEDBACK__LABEL_HOSTS does not name"),
        ("https://storage.test.evil.test/a", "it is at storage.test.evil.test, a host"),
        ("https://storage.test@evil.test/a", "it is at evil.test, a host"),
        ("https://169.254.169.254/latest", "it is at 169.254.169.254, a host"),
        ("http://storage.test/a", "its address begins with http:"),
        ("https://[storage.test/a", "its address is none"),
    ],
)
def test_only_allowed_hosts_are_asked(address: str, words: str) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    [found] = files(server).fetch([address]).values()
    assert problem(found).startswith(words)


@pytest.mark.parametrize(
    "address", ["https://storage.test/a", "https://eu.STORAGE.test/a", "https://cloud.kili.test/files/a"]
)
def test_storage_hosts_their_subdomains_and_the_endpoints_host_are_allowed(address: str) -> None:
    assert files(lambda request: httpx.Response(200, json=ANSWER)).fetch([address]) == {address: ANSWER}


def test_redirects_are_not_followed() -> None:
    server: Server = lambda request: httpx.Response(302, headers={"location": "https://evil.test/"})  # noqa: E731
    [found] = files(server).fetch(["https://storage.test/a"]).values()
    assert problem(found) == "the server answered 302"


def test_the_key_goes_to_kilis_api_alone() -> None:
    seen: dict[str, str | None] = {}

    def server(request: httpx.Request) -> httpx.Response:
        seen[str(request.url)] = request.headers.get("authorization")
        return httpx.Response(200, json=ANSWER)

    own = "https://cloud.kili.test/api/label/v2/files?id=7"
    others = ["https://cloud.kili.test/labels/7", "https://storage.test/api/label/v2/files?id=7"]
    files(server).fetch([own, *others])
    assert seen == {own: "X-API-Key: a-secret-key", **dict.fromkeys(others)}


def test_slow_files_end_with_the_time_of_the_page_and_those_without_a_turn_are_told_apart() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=trickle())

    def trickle() -> Iterator[bytes]:
        for _ in range(1000):
            threading.Event().wait(0.05)
            yield b" "

    rules = FileRules(hosts=("storage.test",), file_seconds=0.2, page_seconds=0.3)
    urls = [f"https://storage.test/{number}" for number in range(3 * SIDE_BY_SIDE)]
    found = list(files(slow, rules=rules).fetch(urls).values())
    assert all(isinstance(one, Unread) for one in found)
    assert {one.tried for one in found if isinstance(one, Unread)} == {True, False}


def label_row(label_id: str, **changes: Any) -> dict[str, Any]:
    row = {
        "id": label_id,
        "labelType": "DEFAULT",
        "modelName": None,
        "createdAt": "2026-03-01T12:00:00.000Z",
        "isHoneypot": False,
        "skipped": False,
        "inferenceMark": None,
        "secondsToLabel": None,
        "author": {"id": "u", "email": "ann@example.com"},
        "jsonResponse": json.dumps(ANSWER),
        "jsonResponseUrl": None,
    }
    return {**row, **changes}


def asset_row(asset_id: str, *labels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    row = {
        "id": asset_id,
        "externalId": asset_id,
        "createdAt": "2026-03-01T12:00:00.000Z",
        "content": "",
        "jsonContent": "",
        "jsonMetadata": "{}",
        "labels": list(labels),
    }
    return {**row, **changes}


def row(label_id: str, asset: Any) -> dict[str, Any]:
    return {"id": label_id, "createdAt": "2026-03-01T12:00:00.000Z", "labelOf": asset}


def reader(root: Any, server: Server | None = None) -> KiliReader:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"data": {"data": root}})))
    found = KiliReader(ACCESS, retry=RetryPolicy(attempts=1), http=http, files=RULES)
    found._files = files(server or (lambda _: httpx.Response(500)))
    return found


def test_a_response_is_inline_or_in_its_file() -> None:
    inline = label_row("inline")
    in_file = label_row("file", jsonResponse="{}", jsonResponseUrl="https://storage.test/l")
    lost = label_row("lost", jsonResponse="{}", jsonResponseUrl="https://storage.test/lost")

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=ANSWER) if request.url.path == "/l" else httpx.Response(404)

    [asset] = reader([asset_row("a", inline, in_file, lost)], server).assets("P", ["a"])
    found = {label.id: label for label in asset.labels}
    assert found["inline"].response == found["file"].response == ANSWER
    assert found["lost"].unread == Unread("the server answered 404")
    assert (found["lost"].usable, found["file"].usable) == (False, True)


def test_a_listed_row_that_cannot_be_read_is_left_out_and_still_counts_for_the_page() -> None:
    rows = [row("l1", asset_row("a", label_row("l1"))), row("l2", None), row("l3", asset_row("b", labels=None))]
    found, more = reader(rows).rows("P", LabelKind.HUMAN, date(2026, 3, 1), 0)
    assert [one.asset and one.asset.id for one in found] == ["a", None, "b"]
    assert not more


def test_an_asset_that_cannot_be_read_is_left_out() -> None:
    rows = [asset_row("a"), asset_row("b", createdAt=None)]
    assert [asset.id for asset in reader(rows).assets("P", ["a", "b"])] == ["a"]


def test_an_answer_of_which_nothing_can_be_read_is_no_answer() -> None:
    with pytest.raises(UnknownOutcome):
        reader([row("l1", None)]).rows("P", LabelKind.HUMAN, date(2026, 3, 1), 0)


def test_an_older_server_that_knows_no_label_files_is_asked_without_them() -> None:
    asked: list[str] = []
    plain = label_row("l")
    del plain["jsonResponseUrl"]

    def server(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        asked.append(query)
        if "jsonResponseUrl" in query:
            message = "Cannot query field 'jsonResponseUrl' on type 'Label'."
            error = {"message": message, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
            return httpx.Response(400, json={"errors": [error]})
        return httpx.Response(200, json={"data": {"data": [asset_row("a", plain)]}})

    http = httpx.Client(transport=httpx.MockTransport(server))
    found = KiliReader(ACCESS, retry=RetryPolicy(attempts=1), http=http)
    for _ in range(2):
        [asset] = found.assets("P", ["a"])
        assert asset.labels[0].response == ANSWER
    assert ["jsonResponseUrl" in query for query in asked] == [True, False, False]
