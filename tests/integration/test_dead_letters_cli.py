"""``prediction-worker dead-letters`` on a real Redis: list, show, replay, drop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from tests.awaiting import awaited
from tests.faults.house import INTERFACE, House, prediction, predictions
from tests.nursery import spawn
from worker.cli import main
from worker.environment.embedded_redis import EmbeddedRedis
from worker.intake import Inbox
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.spool.dead_letters import DeadLetters
from worker.wiring import admitter_of, spool_of

HOMELESS = 20


@pytest.fixture
def spool(client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """A spool with letters: ``HOMELESS`` name no project, one is not JSON, one is a Celery message of two."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("KILI_API_KEY", "key")
    settings = Settings()
    spool = spool_of(settings)
    inbox = Inbox(client, key="predictions:inbox", queue="predictions", consumer="test")
    inbox.open()
    for message in predictions("p", HOMELESS):
        client.xadd(inbox.key, {"payload": json.dumps({**message, "project_id": None})})
    client.xadd(inbox.key, {"payload": "no json"})
    two = [[{**message, "project_id": "p"} for message in predictions("p", 2, start=500)]]
    envelope = {"body": json.dumps([two, {}, {}]), "headers": {"task": "other"}, "content-type": "application/json"}
    client.lpush("predictions", json.dumps(envelope))
    admitter_of(settings, spool).admit_entries(inbox.take(items=100, max_bytes=10**7), inbox=inbox.key)
    assert DeadLetters(client, "pw:").causes() == {"invalid_message": HOMELESS, "not_json": 1, "unknown_task": 1}
    return spool


def call(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, ["dead-letters", *arguments], catch_exceptions=False, **options)


def counts(spool: Spool) -> tuple[int, int, int]:
    ledger = spool.ledger()
    assert ledger.conservation_error == 0
    assert all(spool.ledger(project).conservation_error == 0 for project in spool.projects())
    return ledger.waiting, ledger.dead, ledger.dropped


def test_list_shows_causes_and_the_first_letters(spool: Spool) -> None:
    shown = call("list", "--limit", "3").output
    assert f"{HOMELESS}  invalid_message" in shown
    assert shown.count("a/") == 3
    found = json.loads(call("list", "--cause", "not_json", "--json").output)
    assert [letter["cause"] for letter in found["letters"]] == ["not_json"]


def test_show_tells_the_letter_and_only_when_asked_the_message(spool: Spool) -> None:
    (letter,) = DeadLetters(spool.redis, spool.prefix).letters("not_json")
    assert json.loads(call("show", letter.id).output)["field"] == "message"
    assert "no json" not in call("show", letter.id).output
    assert call("show", letter.id, "--original").output == "no json\n"
    assert call("show", "1-1").exit_code == 1


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a replay of everything, of a cause, of one letter, or a dry run",
)
def test_replay_needs_to_be_told_what_and_a_dry_run_only_counts(spool: Spool) -> None:
    assert call("replay").exit_code == 2
    assert call("replay", "--all", "--cause", "not_json").exit_code == 2
    assert call("replay", "--all", "--dry-run").output == f"{HOMELESS + 2} letters would be replayed\n"
    assert counts(spool) == (0, HOMELESS + 2, 0)


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a replay of everything, of a cause, of one letter, or a dry run",
    promise="what was asked for, at the rate asked for; a dry run only counts",
)
def test_replay_by_id_by_cause_and_all(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DEFAULT_PROJECT", "p")
    first, second, *_ = DeadLetters(spool.redis, spool.prefix).ids("invalid_message")
    assert call("replay", first, second, "1-1").output == "2 admitted, 0 superseded, 0 dead, 1 gone\n"
    assert call("replay", "--cause", "invalid_message").output.startswith(f"{HOMELESS - 2} admitted")
    assert call("replay", "--all").output == "0 admitted, 0 superseded, 2 dead, 0 gone\n"
    assert counts(spool) == (HOMELESS, 2, 0)


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="everything is replayed twice",
    promise="no effect but in the history",
)
def test_replaying_everything_twice_has_no_effect_but_in_the_history(spool: Spool) -> None:
    before = DeadLetters(spool.redis, spool.prefix).causes()
    originals = sorted(one.original for one in DeadLetters(spool.redis, spool.prefix).letters())
    for _ in range(2):
        call("replay", "--all")
    letters = list(DeadLetters(spool.redis, spool.prefix).letters())
    assert DeadLetters(spool.redis, spool.prefix).causes() == before
    assert sorted(one.original for one in letters) == originals
    assert {len(one.about["history"]) for one in letters} == {3}
    assert counts(spool) == (0, HOMELESS + 2, 0)


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a replay of everything, of a cause, of one letter, or a dry run",
)
def test_replay_keeps_its_rate(spool: Spool) -> None:
    begun = time.monotonic()
    call("replay", "--cause", "invalid_message", "--rate", "50")
    assert time.monotonic() - begun >= (HOMELESS - 1) / 50


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a replay is killed",
    promise="resumed by calling it again",
)
def test_a_replay_that_is_killed_is_resumed_by_calling_it_again(spool: Spool) -> None:
    command = [sys.executable, "-m", "worker", "dead-letters", "replay", "--all", "--rate", "2"]
    running = spawn(command, env={**os.environ, "WORKER_DEFAULT_PROJECT": "p"})
    awaited(lambda: spool.ledger().waiting >= 3)
    running.send_signal(signal.SIGKILL)
    running.wait()
    waiting, dead, _ = counts(spool)
    assert 3 <= waiting < HOMELESS
    assert waiting + dead == HOMELESS + 2
    call("replay", "--all", env={"WORKER_DEFAULT_PROJECT": "p"})
    assert counts(spool) == (HOMELESS, 2, 0)


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="letters are dropped",
    promise="only after a confirmation, and counted as dropped",
)
def test_drop_asks_first_and_then_counts_what_it_dropped(spool: Spool) -> None:
    assert call("drop", "--cause", "not_json", input="n\n").exit_code == 1
    assert counts(spool) == (0, HOMELESS + 2, 0)
    assert "1 dropped" in call("drop", "--cause", "not_json", input="y\n").output
    assert call("drop", "--all", "--yes").output == f"{HOMELESS + 1} dropped\n"
    assert call("drop", "--all", "--yes").output == "0 dropped\n"
    assert counts(spool) == (0, 0, HOMELESS + 2)


@pytest.mark.parametrize("command", [["replay", "1-1", "2-2"], ["drop", "1-1", "--yes"]], ids=" ".join)
def test_ids_that_no_letter_has_are_told_and_fail(spool: Spool, command: list[str]) -> None:
    found = call(*command)
    assert (found.exit_code, "none of these is a dead letter: 1-1" in found.output) == (1, True)


def test_a_redis_that_is_away_or_full_is_told_without_a_traceback(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_DEFAULT_PROJECT", "p")
    spool.redis.config_set("maxmemory", 1)
    try:
        full = call("replay", "--all")
    finally:
        spool.redis.config_set("maxmemory", 0)
    assert full.exit_code == 1
    assert "0 admitted" in full.output
    assert "call again" in full.output
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    away = call("list")
    assert away.exit_code == 1
    assert "Redis cannot be asked" in away.output


UPDATE = """
mutation ($where: ProjectWhere!, $data: ProjectData!) {
  data: updatePropertiesInProject(where: $where, data: $data) { id }
}
"""


@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a class is mended, an older answer is replayed",
    promise="delivered; the older stays behind",
)
def test_a_class_that_is_added_in_kili_and_a_replay_deliver_what_had_died_and_an_older_answer_stays_behind() -> None:
    with House() as house:
        house.worker()
        project = house.project()
        unknown = [prediction(project, f"{n}.jpg", output={"scores": {"PURPLE": 0.9, "RED": 0.1}}) for n in range(20)]
        house.publish(unknown)
        house.await_that(lambda: house.letters.causes().get("unknown_class") == 20, "the class is unknown")
        newer = prediction(project, "0.jpg", answer="BLACK", predicted_at="2026-11-23T10:15:01Z")
        house.publish([newer])
        house.await_that(lambda: house.ledger().delivered == 1, "the newer answer is delivered")
        with_purple = json.loads(json.dumps(INTERFACE))
        with_purple["jobs"]["COLOUR"]["content"]["categories"]["PURPLE"] = {"children": [], "name": "Purple"}
        house.graphql(UPDATE, {"where": {"id": project}, "data": {"jsonInterface": json.dumps(with_purple)}})
        for admitted in (19, 0):
            result = call("replay", "--all", env=house.environment)
            assert result.output.startswith(f"{admitted} admitted, {int(admitted > 0)} superseded")
            house.await_settled()
        house.judge()
