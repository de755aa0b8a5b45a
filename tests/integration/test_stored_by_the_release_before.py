"""What the release before has left in Redis is taken over: the inbox, the spool, dead letters, what the policy knows.

``stored_by_the_release_before.jsonl`` holds the commands that bring Redis into the state in which a worker of that
release left it: messages of every kind admitted and decided on, some attempted in vain, some dead-lettered, one
replayed and still wrong, and as many that only wait in the inbox and in the Celery queue. ``make test-rolling`` shows
the same with running workers, in both directions.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.faults.house import INTERFACE, answer_of
from worker.contract import ReadingLimits
from worker.delivery import AwaitedResults
from worker.delivery.circuit_breaker import DocumentRejection, Pause
from worker.delivery.content import Import
from worker.delivery.failure_policy import DEFAULT_POLICY
from worker.delivery.failures import RESULT_UNAVAILABLE
from worker.delivery.prepare import prepare
from worker.environment.json_text import of_stored
from worker.intake import Inbox
from worker.monitoring.progress import Heartbeat
from worker.monitoring.status import Member
from worker.ontology import Interface
from worker.page.access import AuditEntry
from worker.page.letter_actions import ActionProgress
from worker.projects.configuration import ProjectConfig
from worker.projects.results import AWAITED, ResultPlaces, ResultReader
from worker.review import RankedPolicy, RedisState, ReviewDecision
from worker.settings.tree import Settings
from worker.spool import Admission, Leased, Spool
from worker.spool.dead_letters import DeadLetter, DeadLetters, ExpiryNotification
from worker.spool.watch import Replacement
from worker.wiring import admitter_of

LEFT = Path(__file__).with_name("stored_by_the_release_before.jsonl")
PROJECT = "cl0project000000000000000"
PLACES = ["https://results.example/"]
ANSWERS = {
    "scores.jpg": "RED",
    "doubt é.jpg": "GREY",
    "kili.jpg": "WHITE",
    "labels.jpg": "BLACK",
    "row1.jpg": "WHITE",
    "row2.jpg": "RED",
    "celery.jpg": "WHITE",
    "event.jpg": "RED",
}
KINDS = [
    Pause,
    DocumentRejection,
    Import,
    Heartbeat,
    Member,
    AuditEntry,
    ActionProgress,
    ExpiryNotification,
    Replacement,
]


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    for line in LEFT.read_text("utf-8").splitlines():
        client.execute_command(*(word.encode("latin-1") for word in json.loads(line)))
    return Spool(client, prefix="pw:", lease_ms=5000, remember_ms=60_000)


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"intake": {"result_places": PLACES}})


def leased(spool: Spool) -> dict[str, Leased]:
    token = spool.acquire(PROJECT)
    assert token is not None
    spool.hasten(PROJECT, token)
    found = spool.lease(PROJECT, token, items=100, max_bytes=10**8, aging_ms=10**9)
    return {json.loads(entry.payload)["external_id"].partition("/")[2]: entry for entry in found}


def answers(entries: list[Leased]) -> dict[str, str]:
    prepared = prepare(PROJECT, entries, Interface.parse(INTERFACE, "IMAGE"))
    assert prepared.settled == []
    return {
        item.prediction.external_id.partition("/")[2]: answer_of(json.loads(item.json_response))
        for item in prepared.items
    }


def test_what_waits_is_leased_and_made_ready_as_it_was_decided(spool: Spool) -> None:
    entries = leased(spool)
    elsewhere = entries.pop("elsewhere.jpg")
    assert answers(list(entries.values())) == ANSWERS
    decisions = {name: ReviewDecision.from_bytes(entry.decision) for name, entry in entries.items()}
    assert {name: one.lane for name, one in decisions.items()} == {name: one.lane for name, one in entries.items()}
    assert decisions["doubt é.jpg"].confidence == pytest.approx(0.55)
    assert decisions["doubt é.jpg"].policy.startswith("ranked/built-in")
    sources = {name: ReviewDecision.source_in(entry.decision) for name, entry in entries.items()}
    assert (sources["celery.jpg"], sources["event.jpg"], sources["scores.jpg"]) == ("celery", "http", "stream")
    assert ReviewDecision.from_bytes(elsewhere.decision).reason == AWAITED
    assert RESULT_UNAVAILABLE in json.loads(elsewhere.tries)
    assert entries["labels.jpg"].tried_for_ms("fault") >= 0
    assert "fault" in json.loads(entries["labels.jpg"].tries)
    assert {entry.deliveries for entry in entries.values()} == {2}
    assert spool.ledger().conservation_error == 0


def test_a_result_that_was_waited_for_is_read_and_decided_on(spool: Spool) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"predictions": [[0.1, 0.7, 0.1, 0.1]]})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    reader = ResultReader(ResultPlaces(PLACES), limits=ReadingLimits(), http=http)
    awaited = AwaitedResults(reader, RankedPolicy(), failures=DEFAULT_POLICY, max_bytes=10_000, stop=threading.Event())
    completed = awaited.complete(PROJECT, [leased(spool)["elsewhere.jpg"]], ProjectConfig())
    assert completed.settled == []
    assert answers(completed.entries) == {"elsewhere.jpg": "BLACK"}


def test_what_only_waits_in_the_inbox_is_admitted(spool: Spool, settings: Settings) -> None:
    inbox = Inbox(spool.redis, key="predictions:inbox", queue="predictions", consumer="here")
    entries = inbox.take(items=100, max_bytes=10**8)
    result = admitter_of(settings, spool).admit_entries(entries, inbox=inbox.key)
    assert result == Admission(admitted=10, superseded=0, dead=2, skipped=0, sampled_out=0)
    ledger = spool.ledger()
    assert (ledger.received, ledger.waiting, ledger.dead, ledger.conservation_error) == (24, 19, 5, 0)
    assert inbox.backlog() == 0


def letters(spool: Spool) -> dict[str, DeadLetter]:
    return {letter.cause: letter for letter in DeadLetters(spool.redis, "pw:").letters()}


def test_dead_letters_are_replayed_with_their_history(spool: Spool, settings: Settings) -> None:
    found = letters(spool)
    assert set(found) == {"not_json", "unknown_class", "invalid_message"}
    assert [row["cause"] for row in found["invalid_message"].about["history"]] == ["invalid_message"] * 2
    admitter = admitter_of(settings, spool)
    assert admitter.replay(found["unknown_class"]).admitted == 1
    assert admitter.replay(found["invalid_message"]).dead == 1
    assert len(letters(spool)["invalid_message"].about["history"]) == 3
    ready = answers([leased(spool)["payload.jpg"]])
    assert ready == {"payload.jpg": "GREY"}
    assert spool.ledger().conservation_error == 0


def test_what_the_policy_has_seen_is_known(spool: Spool) -> None:
    state = RedisState(spool.redis, prefix="pw:")
    (source,), (board,) = state.sources(), state.rule_keys()
    assert (source.project, source.model) == (PROJECT, "m:1")
    state.refresh([source], [board])
    assert (state.histogram(source).seen, state.rule_statistics(board).log_odds.seen) == (8, 9)
    assert spool.sources() == {"celery": 1, "http": 1, "stream": 10}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_a_later_release_has_added_is_left_out(kind: Any) -> None:
    names = list(kind.__dataclass_fields__)
    stored = json.dumps({**dict.fromkeys(names, 0), "added_later": 1})
    found = of_stored(kind, stored)
    assert [getattr(found, name) for name in names] == [0] * len(names)


def test_what_is_stored_as_fields_is_read_in_one_way() -> None:
    """Any other way refuses what a later release has added."""
    worker = Path(__file__).parents[2] / "worker"
    found = [path.name for path in worker.rglob("*.py") if "(**json.loads(" in path.read_text("utf-8")]
    assert found == []
