"""A message may only point to its result: the wave reads it, the doors never wait for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.faults.house import INTERFACE, House, found_labels, prediction
from worker.projects.results import TIMEOUT_SECONDS

CLASSES = list(INTERFACE["jobs"]["COLOUR"]["content"]["categories"])


class Bucket:
    """A server of results: a status and a body by path; a path that hangs answers when it is released.

    A path in ``shaky`` answers 503 to the first who asks.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.hanging: set[str] = set()
        self.shaky: set[str] = set()
        self._released = threading.Event()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bucket.asked.append(self.path)
                if self.path in bucket.hanging:
                    bucket._released.wait()
                status, body = bucket.answers.get(self.path, (404, b""))
                if self.path in bucket.shaky:
                    bucket.shaky.remove(self.path)
                    status = 503
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, name: str, *scores: float, status: int = 200) -> None:
        self.answers[f"/{name}"] = (status, json.dumps({"predictions": [list(scores)]}).encode())

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.close()


@pytest.fixture(scope="module")
def house(bucket: Bucket) -> Iterator[House]:
    places = json.dumps([f"s3://results/out/={bucket.url}"])
    settings = {"WORKER_INTAKE__RESULT_PLACES": places, "WORKER_INTAKE__RESULT_GRACE_SECONDS": "2"}
    with House(settings) as house:
        house.worker()
        yield house


def notice(location: str) -> dict[str, Any]:
    return {
        "invocationStatus": "Completed",
        "inferenceId": "id-1",
        "requestParameters": {"endpointName": "colours"},
        "responseParameters": {"contentType": "application/json", "outputLocation": location},
    }


def pointing(project: str, name: str, location: str, **output: Any) -> dict[str, Any]:
    in_sns = {"Type": "Notification", "Message": json.dumps(notice(location))}
    return prediction(project, name, output={"payload": in_sns, "classes": CLASSES, **output})


def send(house: House, *messages: dict[str, Any]) -> None:
    for message in messages:
        house.client.xadd("predictions:inbox", {"payload": json.dumps(message)})


def answers(house: House, project: str) -> dict[str, str]:
    found = found_labels(house.admin("state?full=1"))
    return {name: answer for (where, name, _), answer in found.items() if where == project}


def await_answers(house: House, project: str, expected: dict[str, str]) -> None:
    house.await_that(lambda: answers(house, project) == expected, f"{expected} in Kili")


def letters(house: House, project: str) -> dict[str, dict[str, Any]]:
    found = (letter.about for letter in house.letters.letters())
    return {about["external_id"]: about for about in found if about["project_id"] == project}


def test_a_result_is_read_where_the_settings_say_and_decides_about_review(house: House, bucket: Bucket) -> None:
    project = house.project()
    bucket.put("sure", 0.02, 0.95, 0.02, 0.01)
    bucket.put("doubtful", 0.4, 0.3, 0.2, 0.1)
    send(house, *(pointing(project, name, f"s3://results/out/{name}") for name in ("sure", "doubtful")))
    await_answers(house, project, {"sure": "BLACK", "doubtful": "RED"})
    house.await_that(lambda: house.ledger().waiting + house.ledger().leased == 0, "settled")
    queue = house.admin(f"queue?project={project}&first=2")
    assert [(asset["externalId"], asset["priority"]) for asset in queue] == [("doubtful", 60), ("sure", 0)]


def test_a_place_outside_the_settings_is_a_dead_letter_at_the_door(house: House) -> None:
    project = house.project()
    send(house, pointing(project, "a", "s3://elsewhere/a"), pointing(project, "b", "s3://results/out/../b"))
    house.await_that(lambda: len(letters(house, project)) == 2, "two letters")
    for about in letters(house, project).values():
        assert (about["cause"], about["stage"]) == ("result_place_refused", "intake")
        assert "WORKER_INTAKE__RESULT_PLACES" in about["fix"]


def test_a_result_that_is_not_there_is_a_dead_letter_and_can_be_replayed(house: House, bucket: Bucket) -> None:
    project = house.project()
    send(house, pointing(project, "late", "s3://results/out/late"))
    house.await_that(lambda: "late" in letters(house, project), "a letter")
    about = letters(house, project)["late"]
    assert (about["cause"], about["stage"], about["field"]) == ("result_missing", "fetch", "output.payload")
    assert "the server answered 404" in about["problem"]
    [letter] = [letter for letter in house.letters.letters() if letter.about["project_id"] == project]
    assert json.loads(letter.original) == pointing(project, "late", "s3://results/out/late")
    bucket.put("late", 0.9, 0.1, 0.0, 0.0)
    send(house, json.loads(letter.original) | {"predicted_at": "2026-11-23T10:15:01Z"})
    await_answers(house, project, {"late": "RED"})


def test_a_place_that_fails_for_a_while_delays_and_loses_nothing(house: House, bucket: Bucket) -> None:
    project = house.project()
    bucket.put("shaky", 0.0, 0.0, 0.9, 0.1)
    bucket.shaky.add("/shaky")
    send(house, pointing(project, "shaky", "s3://results/out/shaky"))
    await_answers(house, project, {"shaky": "GREY"})
    assert bucket.asked.count("/shaky") == 2


def test_a_place_that_fails_too_long_is_a_dead_letter(house: House, bucket: Bucket) -> None:
    project = house.project()
    bucket.put("down", 1.0, status=500)
    send(house, pointing(project, "down", "s3://results/out/down"))
    house.await_that(lambda: "down" in letters(house, project), "a letter")
    about = letters(house, project)["down"]
    assert (about["cause"], about["stage"]) == ("result_unavailable", "fetch")
    assert "the server answered 500" in about["problem"]


def test_a_result_that_cannot_be_read_names_the_field_within_it(house: House, bucket: Bucket) -> None:
    project = house.project()
    bucket.put("odd", 0.9, 0.9, 0.0, 0.0)
    send(house, pointing(project, "odd", "s3://results/out/odd"))
    house.await_that(lambda: "odd" in letters(house, project), "a letter")
    about = letters(house, project)["odd"]
    assert (about["cause"], about["field"]) == ("unreadable_output", "output.result.predictions[0]")


def test_a_batch_cannot_wait_for_its_result(house: House) -> None:
    project = house.project()
    message = pointing(project, "x", "s3://results/out/x")
    del message["external_id"], message["asset"]
    send(house, {**message, "external_ids": ["x", "y"]})
    house.await_that(lambda: None in letters(house, project), "a letter")
    about = letters(house, project)[None]  # type: ignore[index]
    assert about["cause"] == "result_elsewhere"
    assert "one message per asset" in about["fix"]


def test_a_place_that_hangs_holds_up_neither_the_doors_nor_other_projects(house: House, bucket: Bucket) -> None:
    stuck, free = house.project(), house.project()
    bucket.hanging.add("/hangs")
    begun = time.monotonic()
    send(house, pointing(stuck, "hangs", "s3://results/out/hangs"))
    house.await_that(lambda: "/hangs" in bucket.asked, "the attempt")
    send(house, prediction(free, "free"), prediction(stuck, "behind"))
    await_answers(house, free, {"free": "RED"})
    assert answers(house, stuck) == {} or time.monotonic() - begun > TIMEOUT_SECONDS
    bucket.release()
    house.await_that(lambda: answers(house, stuck) == {"behind": "RED"}, "what came behind")
    house.await_that(lambda: "hangs" in letters(house, stuck), "a letter")
    assert letters(house, stuck)["hangs"]["cause"] in ("result_missing", "result_unavailable")
