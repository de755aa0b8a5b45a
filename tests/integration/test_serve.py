"""``prediction-worker serve``: clients that misbehave, and a stop while a request is handled."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.awaiting import PATIENCE
from tests.conformance.sources.worlds import TOKEN, Http, opened

SECONDS = {"WORKER_SERVE__BODY_SECONDS": "1"}


@pytest.fixture(scope="module")
def world() -> Iterator[Http]:
    with opened(Http, **SECONDS) as world:
        assert isinstance(world, Http)
        world.serve()
        yield world


def raw(world: Http, data: bytes, limit: float = PATIENCE) -> bytes:
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
    assert raw(world, b"") == b""
    assert raw(world, HEAD.encode()[:30]) == b""
    first = f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE) as one:
        one.sendall(first)
        assert b" 422 " in one.recv(65_536)
        one.sendall(b"POST / HT")
        assert b"" in iter(lambda: one.recv(65_536), b"never"), "the second head is waited for no longer than the first"


def test_a_gateway_that_is_asked_to_stop_answers_what_it_has_begun(world: Http) -> None:
    head = HEAD.replace("/v1/predictions", "/v1/predictions?on_error=keep")
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE) as one:
        one.sendall(f"{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
        assert one.recv(65_536).startswith(b"HTTP/1.1 100 "), "it waits for the body"
        assert world.gateway is not None
        world.gateway.terminate()
        one.sendall(b"{}")
        assert one.recv(65_536).startswith(b"HTTP/1.1 202 ")
    assert world.gateway.wait(PATIENCE) == 0
