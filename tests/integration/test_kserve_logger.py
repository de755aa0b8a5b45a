"""KServe's inference logger imitated: what it posts for every prediction, and what it does with the answers."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator

import pytest

from tests.awaiting import awaited, free_port
from tests.conformance.sources.worlds import TOKEN, Http, opened

Post = tuple[dict[str, str], bytes]
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "",
)
"""The logger copies the caller's, for the response too: curl's own, for example, or none."""


def halves(project: str, number: int, content_type: str = "application/json") -> list[Post]:
    """The two posts for one prediction, in CloudEvents' binary mode with every attribute that the logger sets."""
    request = {"instances": [{"external_id": f"k/{number}.jpg", "image_url": f"https://example.com/k/{number}.jpg"}]}
    response = {"predictions": [{"scores": [0.9, 0.1], "classes": ["RED", "BLACK"]}]}
    annotations = {"prediction-worker/project": project, "prediction-worker/model-version": "1"}
    headers = {
        "User-Agent": "Go-http-client/1.1",
        "Ce-Annotations": json.dumps(annotations, separators=(",", ":")),
        "Ce-Component": "predictor",
        "Ce-Endpoint": "",
        "Ce-Id": f"inference-{number}",
        "Ce-Inferenceservicename": "m",
        "Ce-Metadata": "{}",
        "Ce-Namespace": "default",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Specversion": "1.0",
        "Ce-Time": "2026-11-23T10:15:00.123456789Z",
        "Accept-Encoding": "gzip",
        "Authorization": "",
        **({"Content-Type": content_type} if content_type else {}),
    }
    kinds = (("request", request), ("response", response))
    return [
        ({**headers, "Ce-Type": f"org.kubeflow.serving.inference.{side}"}, json.dumps(data).encode())
        for side, data in kinds
    ]


def log(gateway: Http, post: Post, *, keep: bool = False) -> int:
    """Post once, as the logger does: it sends nothing again, whatever the answer; the address has the token."""
    headers, body = post
    return gateway.request(body, headers, f"/?token={TOKEN}{'&on_error=keep' if keep else ''}")


@pytest.fixture
def world() -> Iterator[Http]:
    with opened(Http) as world:
        assert isinstance(world, Http)
        world.serve()
        yield world


def note_joined(world: Http, numbers: range) -> None:
    """Tell the judge of answers that are to be delivered."""
    for number in numbers:
        answer = {"external_id": f"k/{number}.jpg", "asset": {"url": f"https://example.com/k/{number}.jpg"}}
        model = {"name": "m", "version": "1"}
        expected = {"project_id": world.project, "model": model, "output": {"scores": {"RED": 0.9, "BLACK": 0.1}}}
        world.house.published.note({**expected, **answer, "predicted_at": "2026-11-23T10:15:00Z"})
    world.house.published.count += len(numbers)


def settle(world: Http, letters: int) -> dict[str, int]:
    """Let a worker deliver and the judge look; the counts of logged pairs."""
    world.house.published.count += letters
    world.house.condemn(letters)
    world.house.worker()
    awaited(lambda: world.house.status()["pairs"]["waiting"] == 0, "no half waits any more")
    world.house.await_settled()
    world.house.judge()
    pairs: dict[str, int] = world.house.status()["pairs"]
    return pairs


@pytest.mark.guarantee(
    "Sources",
    fault="KServe's logged requests and responses come shuffled, doubled or never, and the gateway is killed",
    promise="joined once each; a response alone is a dead letter, a request alone is counted",
)
def test_logged_inferences_are_joined_across_instances_and_restarts(world: Http) -> None:
    count, dice = 40, random.Random(5)
    posts = [
        half
        for number in range(count)
        for half in halves(world.project, number, CONTENT_TYPES[number % len(CONTENT_TYPES)])
    ]
    posts += dice.sample(posts, 10)
    dice.shuffle(posts)
    second = copy.copy(world)
    second.gateway, second.port = None, free_port()
    second.serve(WORKER_SERVE__PORT=str(second.port))
    try:
        for at, post in enumerate(posts):
            if at == len(posts) // 2:
                world.kill()
                world.serve()
            assert log(dice.choice([world, second]), post) == 202
    finally:
        second.kill()
    world.kill()
    world.serve(WORKER_KSERVE__PAIR_SECONDS="1")
    for post in (halves(world.project, 100)[1], halves(world.project, 101)[0]):
        assert log(world, post) == 202
    note_joined(world, range(count))
    pairs = settle(world, letters=1)
    assert pairs == {"joined": count, "repeated": 10, "orphan_requests": 1, "orphan_responses": 1, "waiting": 0}
    (letter,) = world.house.case_letters()
    assert (letter.cause, letter.about["source"], letter.about["form"]) == ("request_missing", "http", "event")


@pytest.mark.guarantee(
    "Sources",
    fault="Redis is away while KServe's logger posts, which sends nothing again",
    promise="503; what was refused is missing, its other half is counted or a dead letter, all others are joined",
)
def test_what_the_logger_loses_while_redis_is_away_is_seen_by_its_other_half(world: Http) -> None:
    world.kill()
    world.serve(WORKER_KSERVE__PAIR_SECONDS="10")
    first, second, third = (halves(world.project, number) for number in range(3))
    assert log(world, first[0]) == 202
    world.cut()
    assert [log(world, post) for post in (first[1], second[0])] == [503, 503]
    world.mend()
    awaited(lambda: world.status("/readyz") == 200, "messages can be stored again")
    assert [log(world, post) for post in (second[1], *third)] == [202, 202, 202]
    note_joined(world, range(2, 3))
    pairs = settle(world, letters=1)
    assert pairs == {"joined": 1, "orphan_requests": 1, "orphan_responses": 1, "waiting": 0}


def test_a_half_that_nobody_can_read_is_refused_or_kept_as_a_dead_letter(world: Http) -> None:
    headers, _ = halves(world.project, 0, "application/octet-stream")[0]
    tensors = b'{"inputs": []}\x00\x01\x02'
    assert log(world, (headers, tensors)) in (400, 422)
    assert log(world, (headers, tensors), keep=True) == 202
    settle(world, letters=1)
    (letter,) = world.house.case_letters()
    assert letter.about["source"] == "http"
