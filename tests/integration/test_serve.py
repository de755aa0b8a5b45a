"""``prediction-worker serve``: clients that misbehave, and a stop while a request is handled."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.sources.worlds import TOKEN, Http, opened

SECONDS = {"WORKER_SERVE__BODY_SECONDS": "1"}


@pytest.fixture(scope="module")
def world() -> Iterator[Http]:
    with opened(Http, **SECONDS) as world:
        assert isinstance(world, Http)
        world.serve()
        yield world


def raw(world: Http, data: bytes, limit: float = 8) -> bytes:
    """What the gateway answers to bytes, until it ends the connection or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=limit) as one:
        one.sendall(data)
        found = b""
        while part := one.recv(65_536):
            found += part
            if b"\r\n\r\n" in found and b"HTTP/1.1 100" not in found:
                break
        return found


HEAD = (
    f"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", b"400"),
        ("Content-Length: -5\r\n\r\n", b"400"),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"400"),
        ("Content-Length: 99999999999\r\n\r\n{", b"413"),
        ("X: " + "y" * 200_000 + "\r\n\r\n", b"400"),
        ("Content-Length: 50\r\n\r\n{", b"408"),
    ],
    ids=["both", "two-lengths", "negative", "no-chunk", "two-codings", "never-so-long", "large-head", "slow-body"],
)
def test_requests_that_contradict_themselves_or_never_end_are_refused_in_time(
    world: Http, more: str, status: bytes
) -> None:
    before = world.house.client.xlen("predictions:inbox")
    answer = raw(world, (HEAD + more).encode())
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert world.house.client.xlen("predictions:inbox") == before


def test_a_connection_that_sends_no_whole_head_is_ended(world: Http) -> None:
    begun = time.monotonic()
    assert raw(world, b"") == b""
    assert raw(world, HEAD.encode()[:30]) == b""
    first = f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()
    with socket.create_connection(("127.0.0.1", world.port), timeout=8) as one:
        one.sendall(first)
        assert b" 422 " in one.recv(65_536)
        one.sendall(b"POST / HT")
        assert b"" in iter(lambda: one.recv(65_536), b"never"), "the second head is waited for no longer than the first"
    assert time.monotonic() - begun < 20


def test_a_gateway_that_is_asked_to_stop_answers_what_it_has_begun(world: Http) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)
    body: dict[str, Any] = {}
    connection.putrequest("POST", "/v1/predictions?on_error=keep")
    for name, value in (("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "application/json")):
        connection.putheader(name, value)
    data = json.dumps(body).encode()
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders()
    assert world.gateway is not None
    world.gateway.terminate()
    connection.send(data)
    assert connection.getresponse().status == 202
    assert world.gateway.wait(15) == 0
