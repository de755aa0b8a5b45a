from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from kili_doubles import ACCESS, API_KEY, ENDPOINT, ScriptedServer, data, rig, single_attempt

from worker import __version__
from worker.kili.client import KiliClient
from worker.kili.errors import LocalFault, RefusedItems, TimedOut, Unavailable, UnknownOutcome
from worker.kili.operations import NewAsset, NewLabel
from worker.kili.retry import RetryPolicy
from worker.kili.transport import KiliAccess, Transport, is_local
from worker.settings.tree import Settings
from worker.wiring import access_of

VIEWER = data({"id": "u"})
BIG = [NewAsset("c1", "a", "", metadata='{"note": "' + "red car " * 20_000 + '"}')]
SMALL = [NewAsset("c1", "a", "")]
CREATED = data([{"id": "c1"}])


def test_requests_carry_the_key_and_our_own_name() -> None:
    run = single_attempt(VIEWER)
    run.client.viewer()
    (sent,) = run.server.sent
    assert (sent.method, sent.url) == ("POST", ENDPOINT)
    assert sent.headers["authorization"] == f"X-API-Key: {API_KEY}"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["apollographql-client-name"] == "kili-prediction-worker"
    assert sent.headers["apollographql-client-version"] == __version__
    assert sent.headers["user-agent"] == f"kili-prediction-worker/{__version__}"


def test_the_first_calls_of_two_threads_each_tell_their_own_length() -> None:
    """The second thread sends while the first is still preparing what all calls have in common."""
    sent: list[httpx.Request] = []
    interrupted: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    class Interrupted(httpx.Headers):
        def __delitem__(self, key: str) -> None:
            if not interrupted:
                interrupted.append(True)
                with ThreadPoolExecutor(1) as other:
                    other.submit(transport.post, transport.pack(b"second"), 5).result()
            super().__delitem__(key)

    class Client(httpx.Client):
        def build_request(self, *args: Any, **options: Any) -> httpx.Request:
            request = super().build_request(*args, **options)
            request.headers = Interrupted(request.headers)
            return request

    transport = Transport(ACCESS, Client(transport=httpx.MockTransport(answer)))
    transport.post(transport.pack(b"the first"), 5)
    assert [(one.headers["content-length"], one.content) for one in sent] == [("6", b"second"), ("9", b"the first")]


def test_large_bodies_are_compressed_and_small_ones_are_not() -> None:
    run = rig(CREATED)
    run.client.append_assets("p", SMALL)
    run.client.append_assets("p", BIG)
    small, big = run.server.sent
    assert "content-encoding" not in small.headers
    assert big.headers["content-encoding"] == "gzip"
    assert big.variables["data"]["jsonMetadataArray"] == [BIG[0].metadata]
    assert run.records[1].bytes_sent == len(big.content) < 5_000


def test_a_body_in_any_language_is_what_was_asked_for() -> None:
    names = ["Zürich/雨.jpg", "\u2028", "half a pair \ud83d"]
    run = rig(httpx.Response(200, content=json.dumps({"data": {"data": names}}).encode()))
    assert run.client.existing_external_ids("p", names) == set(names)
    assert run.server.sent[0].variables == {"projectID": "p", "externalIDs": names}


def test_compression_can_be_turned_off() -> None:
    run = rig(CREATED, access=KiliAccess(ENDPOINT, API_KEY, gzip_from=None))
    run.client.append_assets("p", BIG)
    assert "content-encoding" not in run.server.sent[0].headers


@pytest.mark.parametrize(
    "rejection",
    [httpx.Response(415, text="Unsupported"), httpx.Response(400, text="Bad Request")],
)
def test_a_refused_compression_is_undone_at_once_and_for_good(rejection: httpx.Response) -> None:
    run = rig(rejection, CREATED)
    run.client.append_assets("p", BIG)
    run.client.append_assets("p", BIG)
    encodings = [sent.headers.get("content-encoding") for sent in run.server.sent]
    assert encodings == ["gzip", None, None]
    assert run.stop.waits == []
    assert run.outcomes == ["CompressionRefused", "ok", "ok"]
    assert run.budget.taken == 3


def test_a_graphql_error_with_status_400_is_not_taken_for_a_refused_compression() -> None:
    run = rig(httpx.Response(400, json={"errors": [{"message": "[jsonResponseMalformed] x"}]}))
    with pytest.raises(RefusedItems):
        run.client.append_assets("p", BIG)
    assert len(run.server.sent) == 1


def test_a_refusal_of_the_plain_body_is_judged_as_such() -> None:
    run = single_attempt(httpx.Response(415))
    with pytest.raises(Unavailable):
        run.client.append_assets("p", BIG)
    assert len(run.server.sent) == 2


def test_time_for_the_answer_grows_with_the_body() -> None:
    seen: list[dict[str, float]] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json={"data": {"data": []}})

    run = rig(note, access=KiliAccess(ENDPOINT, API_KEY, gzip_from=None, timeout=60, connect_timeout=10))
    run.client.append_assets("p", BIG)
    size = run.records[0].bytes_sent
    assert size > 160_000
    assert seen[0]["connect"] == 10
    assert seen[0]["read"] == seen[0]["write"] == pytest.approx(60 + size / 100_000)


def test_labels_get_more_time() -> None:
    seen: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"data": {"data": []}})

    rig(note).client.append_labels("p", [NewLabel("c1", "{}", "m:1")])
    assert 120 < seen[0] < 121


def test_an_answer_beyond_the_cap_is_not_read() -> None:
    access = KiliAccess(ENDPOINT, API_KEY, max_answer_bytes=10_000)
    with pytest.raises(UnknownOutcome, match="larger than 10000 bytes"):
        single_attempt(httpx.Response(200, content=b" " * 10_001), access=access).client.viewer()


def test_a_compressed_answer_beyond_the_cap_is_not_unpacked() -> None:
    access = KiliAccess(ENDPOINT, API_KEY, max_answer_bytes=10_000)
    bomb = gzip.compress(b" " * 10_000_000)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(bomb))

    with pytest.raises(UnknownOutcome, match="larger than"):
        single_attempt(answer, access=access).client.viewer()


def test_cookies_are_not_kept() -> None:
    transport = Transport(ACCESS)
    http = transport._open()
    response = httpx.Response(
        200, headers={"set-cookie": "affinity=pod-1; Path=/"}, request=httpx.Request("GET", ENDPOINT)
    )
    http.cookies.extract_cookies(response)
    assert len(http.cookies) == 0
    http.close()


def test_the_connections_of_a_parent_are_not_used_in_a_forked_child(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Transport(ACCESS)
    parents = transport._http()
    assert transport._http() is parents
    monkeypatch.setattr(os, "getpid", lambda: -1)
    childs = transport._http()
    assert childs is not parents
    assert not parents.is_closed
    transport.close()
    assert childs.is_closed
    parents.close()


def test_a_client_that_was_given_is_not_closed() -> None:
    server = ScriptedServer(VIEWER)
    client = KiliClient(ACCESS, http=server.http)
    client.close()
    assert client.viewer() == {"id": "u"}


def test_the_key_and_signed_urls_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = rig(VIEWER)
    run.client.viewer()
    run.client.upload("https://bucket.test/o?signature=secret", b"x", "image/png")
    assert API_KEY not in caplog.text
    assert "secret" not in caplog.text


def test_the_key_is_not_shown_by_its_owner() -> None:
    assert API_KEY not in repr(ACCESS)
    assert API_KEY not in str(ACCESS)
    assert API_KEY not in ACCESS.scope


def test_a_scope_belongs_to_one_endpoint_and_one_key() -> None:
    scopes = {
        KiliAccess("https://a", "key").scope,
        KiliAccess("https://a", "other").scope,
        KiliAccess("https://b", "key").scope,
        KiliAccess("https://ak", "ey").scope,
    }
    assert len(scopes) == 4
    assert KiliAccess("https://a", "key", timeout=5).scope in scopes
    assert all(len(scope) == 16 for scope in scopes)


@pytest.mark.parametrize("endpoint", ["", "kili.test/graphql", "ftp://kili.test"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint: .*https://"):
        KiliAccess(endpoint, API_KEY)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "clé"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match=r"^api_key: ") as caught:
        KiliAccess(ENDPOINT, key)
    assert not key or key not in str(caught.value)


def test_a_slow_trickle_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("worker.kili.transport.clock.monotonic", lambda: now[0])

    class Trickle(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            while True:
                now[0] += 30.0
                yield b" "

    with pytest.raises(TimedOut, match="trickles"):
        single_attempt(lambda _: httpx.Response(200, stream=Trickle())).client.viewer()
    assert now[0] <= 90.0


def refused_by(cause: BaseException) -> httpx.ConnectError:
    """What httpx makes of an error of the system."""
    error = httpx.ConnectError("no connection")
    error.__cause__ = RuntimeError("in between")
    error.__cause__.__context__ = cause
    return error


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        ssl.SSLCertVerificationError("unable to get local issuer certificate"),
        FileNotFoundError(errno.ENOENT, "no bundle of certificates"),
        MemoryError(),
    ],
)
def test_what_this_machine_lacks_is_not_held_against_kili(cause: BaseException) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise refused_by(cause) if not isinstance(cause, MemoryError | FileNotFoundError) else cause

    run = KiliClient(ACCESS, retry=RetryPolicy(attempts=1), http=httpx.Client(transport=httpx.MockTransport(fail)))
    with pytest.raises(LocalFault):
        run.viewer()


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT])
def test_a_server_that_cannot_be_reached_is_no_trouble_of_ours(code: int) -> None:
    assert not is_local(refused_by(OSError(code, "no")))


def test_there_are_as_many_connections_as_there_may_be_calls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILI_API_KEY", "key")
    for name, number in (("PARALLEL_BATCHES", 64), ("CONCURRENCY", 10)):
        monkeypatch.setenv(f"WORKER_DELIVERY__{name}", str(number))
    assert access_of(Settings()).max_connections >= 64 + 10
