"""Commands that show something leave Redis as it was, to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from tests.integration.feedback_world import World, world
from worker.cli import main
from worker.cli.report import opened
from worker.environment.embedded_redis import EmbeddedRedis
from worker.intake.inbox import Inbox
from worker.settings.tree import Settings
from worker.wiring import admitter_of, spool_of

LEFT_OUT = (b"pw:calls", b"pw:budget:", b"_kombu.")
"""Every call to Kili is counted, whoever makes it; ``check`` declares the queue, as ``start`` does."""


@pytest.fixture
def place(
    redis_server: EmbeddedRedis,
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A project with predictions, answers, and a worker that has looked at them."""
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"rules": [{"name": "all", "capacity": {"share": 0.2}, "audit": {"rate": 0.05}}]}))
    with world() as found:
        for name, value in {
            "KILI_API_ENDPOINT": found.sandbox.endpoint,
            "KILI_API_KEY": found.sandbox.api_key,
            "REDIS_URL": redis_server.url,
            "WORKER_KILI__CALLS_PER_MINUTE": "6000",
            "WORKER_LOG__LEVEL": "ERROR",
            "WORKER_REVIEW__POLICY": str(policy),
        }.items():
            monkeypatch.setenv(name, value)
        found.predict("digits:1", range(60))
        found.label(40)
        with opened(found.project) as room:
            room.feedback.tick()
            room.feedback.book.note_logged("mean/digits:1/1", 1.0)
        yield found


def admitted(client: redis.Redis, project: str) -> None:
    """Some predictions wait, one is a dead letter, and the policy has counted them."""
    settings = Settings()
    inbox = Inbox(client, key="predictions:inbox", queue="predictions", consumer="test")
    inbox.open()
    for number in range(3):
        client.xadd(inbox.key, {"payload": json.dumps(message(project, f"digit-{number}.png"))})
    client.xadd(inbox.key, {"payload": "no json"})
    admitter = admitter_of(settings, spool_of(settings))
    admitter.admit_entries(inbox.take(items=100, max_bytes=10**7), inbox=inbox.key)
    admitter.keep()


def message(project: str, external_id: str) -> dict[str, Any]:
    return {
        "external_id": external_id,
        "project_id": project,
        "model": {"name": "digits", "version": "1"},
        "predicted_at": "2026-03-01T12:00:00Z",
        "output": {"scores": {"ONE": 0.7, "TWO": 0.3}},
    }


def snapshot(client: redis.Redis) -> dict[bytes, Any]:
    keys: Any = client.keys("*")
    return {key: client.dump(key) for key in keys if not key.startswith(LEFT_OUT)}


def test_looking_changes_nothing(place: World, client: redis.Redis, tmp_path: Path) -> None:
    admitted(client, place.project)
    recorded, cases = tmp_path / "recorded.jsonl", tmp_path / "cases.json"
    recorded.write_text(json.dumps(message(place.project, "digit-0.png")) + "\n")
    cases.write_text(json.dumps({"cases": [{"name": "a", "message": message("p", "a"), "expect": {}}]}))
    at = ("--project", place.project)
    commands = [
        ("status",),
        ("status", "--json"),
        ("status", "--format", "prometheus"),
        ("check",),
        ("check", "--explain"),
        ("health",),
        ("health", "--ready"),
        ("schema",),
        ("explain", str(recorded)),
        ("policy", "show"),
        ("policy", "test", str(cases)),
        ("policy", "simulate", str(recorded), "--learned"),
        ("dead-letters", "list"),
        ("dead-letters", "show", letter_of(client)),
        ("report", *at, "--no-collect"),
        ("report", *at, "--no-collect", "--days", "0.001", "--json"),
        (
            "report",
            *at,
            "--no-collect",
            "--html",
            str(tmp_path / "page.html"),
            "--export",
            str(tmp_path / "said.jsonl"),
        ),
        ("evaluate", str(recorded), *at, "--model", "digits:1", "--no-upload"),
        ("evaluate", str(recorded), *at, "--model", "digits:2", "--wait", "0"),
    ]
    before = snapshot(client)
    for command in commands:
        result = CliRunner().invoke(main, list(command))
        assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.output)
        assert "Traceback" not in result.output
        changed = {key for key, value in snapshot(client).items() if before.get(key) != value}
        assert (command, changed, before.keys() - snapshot(client).keys()) == (command, set(), set())


def letter_of(client: redis.Redis) -> str:
    [(entry, _)] = client.xrange("pw:dead")  # type: ignore[misc, union-attr]
    return entry.decode()


def test_a_report_that_collects_keeps_what_status_shows_and_who_was_told(place: World, client: redis.Redis) -> None:
    base = f"pw:feedback:{place.project}:"
    before = {name: client.dump(base + name) for name in ("summary", "told", "acknowledged", "posted")}
    assert before["summary"]
    assert before["told"]
    place.label(10)

    result = CliRunner().invoke(main, ["report", "--project", place.project, "--days", "0.001"])

    assert result.exit_code == 0, result.output
    assert {name: client.dump(base + name) for name in before} == before
