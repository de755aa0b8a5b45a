"""Webhooks of Kili: a hint to look now, believed in nothing but the project's name."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis

from worker.feedback.collection_cycle import MAX_BODY, project_in, webhook_receiver


@contextmanager
def listening(hasten: Callable[[str], object], secret: str = "") -> Iterator[str]:
    server = webhook_receiver(("127.0.0.1", 0), hasten, known=lambda project: project == "P", secret=secret)
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(
    "event",
    [
        {"eventType": "label.workflow.created.default", "logPayload": {"runId": "r", "projectId": "P"}, "payload": {}},
        {"projectId": "P"},
        {"payload": {"label": {"project": {"project_id": "P"}}}},
        [{"nothing": 1}, {"projectID": "P"}],
    ],
)
def test_the_project_is_found_wherever_an_event_names_it(event: Any) -> None:
    assert project_in(event) == "P"


@pytest.mark.parametrize("event", [None, 3, "P", [], {}, {"projectId": ""}, {"projectId": 3}])
def test_an_event_without_a_project_has_none(event: Any) -> None:
    assert project_in(event) is None


def test_a_knock_hastens_the_round_of_its_project() -> None:
    heard: list[str] = []
    with listening(heard.append) as url:
        answer = httpx.post(url, json={"logPayload": {"projectId": "P"}})

    assert (answer.status_code, heard) == (202, ["P"])


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"{}", 400, "names no project"),
        (b'{"projectId": "Q"}', 404, "no prediction for this project"),
    ],
)
def test_what_is_no_knock_is_refused_with_words(content: bytes, status: int, words: str) -> None:
    with listening(lambda _: pytest.fail("hastened")) as url:
        answer = httpx.post(url, content=content)

    assert answer.status_code == status
    assert words in answer.text


def test_a_body_that_is_announced_as_too_large_is_not_read() -> None:
    with listening(lambda _: pytest.fail("hastened")) as url:
        connection = http.client.HTTPConnection(httpx.URL(url).netloc.decode(), timeout=10)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", str(MAX_BODY + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()


def test_only_who_knows_the_secret_is_heard() -> None:
    heard: list[str] = []
    with listening(heard.append, secret="swordfish") as url:
        stranger = httpx.post(url, json={"projectId": "P"})
        friend = httpx.post(url, json={"projectId": "P"}, headers={"Authorization": "swordfish"})

    assert (stranger.status_code, friend.status_code, heard) == (401, 202, ["P"])


def test_a_knock_that_redis_does_not_take_is_to_be_sent_again() -> None:
    def away(_: str) -> None:
        raise redis.ConnectionError("away")

    with listening(away) as url:
        assert httpx.post(url, json={"projectId": "P"}).status_code == 503
