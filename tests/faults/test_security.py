"""What must never come out, never come in, and never be taken for granted."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from click.testing import CliRunner

from tests.faults.chronicle import said
from tests.faults.house import House, prediction, predictions
from tests.faults.tls import CERTIFICATE, TlsFront
from worker.cli import main
from worker.environment.connections import connect
from worker.producer import Publisher

KEY = "kili-key-that-must-not-come-out"
PASSWORD = "redis-word-that-must-not-come-out"
PAYLOAD = "payload-word-that-must-not-come-out"
COMMANDS = ("+@all", "-@admin", "-@dangerous", "+info", "+client|setname")
"""All that the worker needs: nothing that administers the server."""


@pytest.fixture
def guarded() -> Any:
    """A house with a secret API key, whose Redis knows a user of its own; everything is logged."""
    with House(api_keys=(KEY,)) as house:
        add_user(house)
        house.environment["REDIS_URL"] = house.redis.url.replace("://", f"://worker:{PASSWORD}@")
        house.environment["WORKER_LOG__LEVEL"] = "DEBUG"
        yield house


def add_user(house: House) -> None:
    house.client.execute_command("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", "~*", "&*", *COMMANDS)


@pytest.mark.guarantee(
    "Security",
    fault="anything going wrong, with a Redis user of few rights",
    promise="no secret and no payload in any log",
)
def test_secrets_and_payloads_come_out_nowhere_whatever_goes_wrong(guarded: House) -> None:
    house, word = guarded, PAYLOAD
    project, texts = house.project(), house.project(input_type="TEXT")
    refuse = {"kind": "refuse", "external_ids": ["refused.jpg"], "message": f"[invalid] {word}"}
    house.harm(
        {"operation": "appendManyLabels", "action": refuse},
        {"operation": "filterExistingAssets", "times": 1, "action": {"kind": "status", "status": 401, "body": KEY}},
        {"operation": "appendManyAssets", "times": 1, "action": {"kind": "status", "status": 500, "body": KEY}},
        {"operation": "appendManyLabels", "times": 1, "skip": 1, "action": {"kind": "truncated"}},
    )
    worker = house.worker()
    own = {"metadata": {"note": word}, "message_id": "traced"}
    assets = {f"{n}.jpg": {"url": f"https://x/{word}/{n}"} for n in range(30)}
    neighbours = [prediction(project, name, asset=asset, **own) for name, asset in assets.items()]
    house.publish([prediction(project, "refused.jpg", **own), *neighbours])
    house.publish([prediction(texts, f"{n}", asset={"text": word}, **own) for n in range(10)], door="celery")
    house.publish([prediction(project, "classless.jpg", output={"scores": {word: 1.0}}, **own)])
    house.condemn(2)
    house.publish(
        [
            json.dumps(prediction(project, "bad", **{word: word})).encode(),
            json.dumps(prediction(project, "bad", confidence=word)).encode(),
            f'{{"cut": "{word}'.encode(),
        ]
    )
    house.client.lpush("predictions", f"no envelope {word}")
    house.published.count += 1
    house.condemn(1)
    house.await_settled()
    house.kill_redis()
    house.redis.restart()
    add_user(house)
    house.publish(predictions(project, 10, start=100))
    house.await_settled()
    house.judge()
    assert worker.stop() == 0
    log = worker.log.read_text("utf-8")
    assert said(house, "drained")
    shown = [run(house, *command) for command in COMMANDS_THAT_SHOW]
    for secret in (KEY, PASSWORD):
        assert all(secret not in text for text in (log, *shown))
    assert word not in log
    assert word not in shown[0], "status"
    (letter,) = house.letters.letters("not_json")
    assert word in run(house, "dead-letters", "show", letter.id, "--original")
    assert word not in run(house, "dead-letters", "show", letter.id)


COMMANDS_THAT_SHOW = [("status",), ("status", "--json"), ("dead-letters", "list"), ("check",), ("check", "--explain")]


@pytest.mark.guarantee(
    "Security",
    fault="a pickled message",
    promise="kept as a dead letter, never opened",
)
def test_a_pickle_is_kept_and_never_opened(house: House, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    body = base64.b64encode(pickle.dumps([[Trap()], {}, {}])).decode()
    for content_type in ("application/x-python-serialize", "application/json", "application/data"):
        envelope = {
            "body": body,
            "content-type": content_type,
            "content-encoding": "binary",
            "headers": {"task": "predictions.ingest"},
            "properties": {"body_encoding": "base64"},
        }
        house.client.lpush("predictions", json.dumps(envelope))
    house.published.count += 3
    house.condemn(3)
    house.await_settled()
    house.judge()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.guarantee(
    "Security",
    fault="a compression bomb",
    promise="not unpacked",
)
def test_a_compression_bomb_is_not_unpacked(house: House) -> None:
    worker = house.staffed()
    before = psutil.Process(worker.pid).memory_info().rss
    bomb = base64.b64encode(zlib.compress(b" " * 300_000_000)).decode()
    envelope = {
        "body": bomb,
        "content-type": "application/json",
        "headers": {"task": "predictions.ingest", "compression": "application/x-gzip"},
        "properties": {"body_encoding": "base64"},
    }
    house.client.lpush("predictions", json.dumps(envelope))
    house.published.count += 1
    house.condemn(1)
    house.await_settled()
    house.judge()
    (letter,) = house.case_letters()
    assert letter.about["field"] == "body"
    assert psutil.Process(worker.pid).memory_info().rss - before < 150_000_000


@pytest.mark.guarantee(
    "Security",
    fault="TLS to Redis",
    promise="works, the certificate is checked",
)
def test_redis_over_tls_with_a_certificate_that_is_checked() -> None:
    with House() as house, TlsFront(house.redis.port) as front:
        plain = f"rediss://127.0.0.1:{front.port}/0"
        trusted = f"{plain}?ssl_ca_certs={CERTIFICATE}"
        house.environment["REDIS_URL"] = trusted
        house.worker()
        project = house.project()
        house.publish(predictions(project, 20))
        for door, part in (("stream", range(20, 30)), ("celery", range(30, 40))):
            with Publisher(trusted, via=door) as publisher:
                for number in part:
                    message = prediction(project, f"a/{number}.jpg")
                    house.published.count += 1
                    house.published.note(message)
                    publisher.send(message)
        house.await_settled()
        house.judge()
        with pytest.raises(redis.ConnectionError, match="certificate"):
            connect(plain).ping()
        for door in ("stream", "celery"):
            with pytest.raises(redis.ConnectionError, match="certificate"), Publisher(plain, via=door) as publisher:
                publisher.send(prediction(project, "never.jpg"))
        house.environment["REDIS_URL"] = plain
        with pytest.raises(RuntimeError, match="certificate"):
            house.worker()


def run(house: House, *arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(main, arguments, env=house.environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
