"""The small HTTP server: what it answers, and that it is in nobody's way."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
import pytest
from pydantic import ValidationError

from tests.awaiting import awaited
from worker.monitoring import endpoint as module
from worker.monitoring.endpoint import MOST_CONNECTIONS, Endpoint, EndpointAnswer
from worker.settings.groups import Address, HttpSettings


def hello(accept: str) -> EndpointAnswer:
    return EndpointAnswer(HTTPStatus.OK, "text/plain", f"hello {accept}".encode())


def broken(_: str) -> EndpointAnswer:
    raise RuntimeError("secret words")


@contextmanager
def listening(address: str = "127.0.0.1:0") -> Iterator[Endpoint]:
    endpoint = Endpoint(Address.parse(address), {"/hello": hello, "/broken": broken})
    endpoint.open()
    try:
        yield endpoint
    finally:
        endpoint.close()


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free now."""
    for first in range(20_000, 60_000, 50):
        try:
            sockets = [socket.create_server(("127.0.0.1", first + number)) for number in range(count)]
        except OSError:
            continue
        for one in sockets:
            one.close()
        return first
    raise AssertionError("no ports")


@pytest.mark.parametrize(
    ("text", "host", "ports"),
    [
        ("127.0.0.1:9464", "127.0.0.1", [9464]),
        ("0.0.0.0:0", "0.0.0.0", [0]),
        ("[::1]:9464-9466", "::1", [9464, 9465, 9466]),
        ("localhost:80", "localhost", [80]),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, ports: list[int]) -> None:
    found = Address.parse(text)
    assert (found.host, list(found.ports), str(found)) == (host, ports, text)


@pytest.mark.parametrize("text", ["9464", ":9464", "host:", "host:70000", "host:9-8", "::1:9464", "host:0-5", "a b:1"])
def test_what_is_no_address_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        Address.parse(text)
    with pytest.raises(ValidationError, match="write HOST:PORT"):
        HttpSettings(listen=text)


def test_nothing_turns_it_off() -> None:
    assert HttpSettings(listen=" ").listen == ""


def test_paths_methods_and_headers() -> None:
    with listening() as endpoint, httpx.Client(base_url=endpoint.url) as client:
        answer = client.get("/hello?x=1", headers={"Accept": "a/b"})
        assert (answer.status_code, answer.text) == (200, "hello a/b")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        head = client.head("/hello", headers={"Accept": "a/b"})
        assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "9")
        assert client.get("/other").status_code == 404
        assert client.get("/../../etc/passwd").status_code == 404
        assert client.post("/hello", content=b"x").status_code == 501


def test_an_answer_that_fails_is_logged_and_tells_strangers_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as endpoint, caplog.at_level(logging.ERROR):
        answer = httpx.get(f"{endpoint.url}/broken")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert [one.action for one in caplog.records] == ["http_failed"]  # type: ignore[attr-defined]


def test_clients_that_say_nothing_do_not_keep_others_waiting() -> None:
    with listening() as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CONNECTIONS - 1)]
        assert httpx.get(f"{endpoint.url}/hello", timeout=5).status_code == 200
        for one in silent:
            one.close()


def test_more_than_it_bears_are_turned_away_and_it_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CONNECTIONS)]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{endpoint.url}/hello", timeout=5)
        for one in silent:
            one.close()

        def answers() -> bool:
            try:
                return httpx.get(f"{endpoint.url}/hello", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        awaited(answers)


def test_several_workers_share_a_range_of_ports() -> None:
    first = free_ports(2)
    address = f"127.0.0.1:{first}-{first + 1}"
    with listening(address) as one, listening(address) as two:
        assert {one.url, two.url} == {f"http://127.0.0.1:{first}", f"http://127.0.0.1:{first + 1}"}
        with pytest.raises(OSError, match="in use"):
            Endpoint(Address.parse(address), {}).open()


def test_a_port_in_use_is_told_once_and_taken_when_it_is_free(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    port = free_ports(1)
    with listening(f"127.0.0.1:{port}") as one, caplog.at_level(logging.INFO):
        second = Endpoint(Address.parse(f"127.0.0.1:{port}"), {"/hello": hello})
        second.start()
        assert second.url == ""
        one.close()
        awaited(lambda: second.url)
        assert httpx.get(f"{second.url}/hello").status_code == 200
        second.close()
    actions = [one.action for one in caplog.records]  # type: ignore[attr-defined]
    assert actions == ["http_not_listening", "http_listening"]
    assert "the work goes on" in caplog.records[0].getMessage()


def test_a_server_that_was_closed_before_it_could_listen_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(Address.parse("127.0.0.1:0"), {})
    endpoint.close()
    endpoint.open()
    assert endpoint.url == ""
