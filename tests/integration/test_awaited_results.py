"""A wave completes the predictions whose results are elsewhere, within its time, and gives up on nobody too early."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from msgspec.structs import replace

from worker.contract import ReadingLimits, read_prediction
from worker.delivery import AwaitedResults, FailurePolicy, Graces, prepare
from worker.delivery.failure_policy import PLACE_FAILURES
from worker.delivery.failures import RESULT_UNAVAILABLE
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import output_of
from worker.projects.results import AWAITED, ResultPlaces, ResultReader
from worker.review import ReviewDecision, Subject
from worker.spool import Arrival, Leased, Outcome, Settlement, Spool, Waiting
from worker.spool.entries import tried_again

CONFIG = ProjectConfig(classes=["RED", "GREY"])
WAITS = ReviewDecision(5, 0, AWAITED, "none").to_bytes([{"stage": "earlier"}])
NUMBERS = itertools.count()
Handler = Callable[[httpx.Request], httpx.Response]


class Policy:
    """Remembers what it was asked; leaves out what is sure."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []

    def decide(self, subject: Subject) -> ReviewDecision:
        self.subjects.append(subject)
        return ReviewDecision(0, 7, "looked at", "test", subject.confidence, upload=(subject.confidence or 0) < 0.9)


def message(name: str, place: str = "https://host") -> bytes:
    pointer = {"outputLocation": f"{place}/{name}", "contentType": "application/json"}
    notice = {"invocationStatus": "Completed", "inferenceId": name, "responseParameters": pointer}
    return json.dumps(
        {
            "external_id": name,
            "model": {"name": "m", "version": "1"},
            "output": {"payload": notice},
            "predicted_at": "2026-11-23T10:15:00Z",
        }
    ).encode()


NOW = 1_700_000_000_000


def leased(name: str, *, deliveries: int = 1, tried_ms: int = 0, **changes: Any) -> Leased:
    """An entry that has waited in the queue for 20 minutes, and for its result since ``tried_ms``."""
    entry_id = f"{NOW - 1_200_000}-{next(NUMBERS)}"
    tries = tried_again(b"", RESULT_UNAVAILABLE, NOW - tried_ms, tried_ms) if tried_ms else b""
    changes = {"tries": tries, "leased_ms": NOW, **changes}
    found = Leased(5, entry_id, deliveries, name, "m:1", 1, "aa", message(name), WAITS)
    return replace(found, **changes)


def completing(handler: Handler, *, policy: Policy | None = None, **options: Any) -> AwaitedResults:
    places = ResultPlaces(["https://host/", "https://other/"])
    http = httpx.Client(transport=httpx.MockTransport(handler))
    given = {"failures": FailurePolicy(Graces(result=60.0)), "max_bytes": 10_000, "stop": threading.Event(), **options}
    return AwaitedResults(ResultReader(places, limits=ReadingLimits(), http=http), policy or Policy(), **given)


def row(*scores: float) -> Handler:
    return lambda _: httpx.Response(200, json={"predictions": [list(scores)]})


def test_an_entry_gets_its_answer_and_the_decision_on_it_and_keeps_what_arrived() -> None:
    policy = Policy()
    other = leased("plain", decision=ReviewDecision(9, 0, "confident", "test").to_bytes())
    completed = completing(row(0.6, 0.4), policy=policy).complete("p", [other, leased("a")], CONFIG)
    assert completed.settled == []
    untouched, entry = completed.entries
    assert untouched is other
    assert entry.original == message("a")
    output = output_of(read_prediction(json.loads(entry.payload)))
    assert output.evidence["sagemaker"]["output_location"] == "https://host/a"
    [subject] = policy.subjects
    assert (subject.project, subject.external_id, subject.confidence) == ("p", "a", 0.6)
    decision = ReviewDecision.from_bytes(entry.decision)
    assert (decision.priority, decision.reason) == (7, "looked at")
    assert ReviewDecision.history_in(entry.decision) == [{"stage": "earlier"}]


def outcomes(settled: list[Settlement]) -> list[tuple[str, Outcome, str]]:
    return [(one.entry.asset_id, one.outcome, one.cause) for one in settled]


def test_what_the_policy_leaves_out_ends_there() -> None:
    completed = completing(row(0.95, 0.05)).complete("p", [leased("a")], CONFIG)
    assert (completed.entries, outcomes(completed.settled)) == ([], [("a", Outcome.SAMPLED_OUT, "")])


def test_the_spool_counts_what_the_policy_leaves_out(client: redis.Redis) -> None:
    spool = Spool(client, prefix="t:", lease_ms=5000, remember_ms=60_000)
    spool.admit([Arrival("", (Waiting("p", 5, "a", "m:1", 1, "aa", message("a"), WAITS),))])
    token = spool.acquire("p") or ""
    entries = spool.lease("p", token, items=10, max_bytes=10**7, aging_ms=60_000)
    spool.settle("p", token, completing(row(1.0, 0.0)).complete("p", entries, CONFIG).settled)
    ledger = spool.ledger()
    assert (ledger.received, ledger.sampled_out, ledger.waiting, ledger.leased, ledger.conservation_error) == (
        1,
        1,
        0,
        0,
        0,
    )


def test_a_place_that_fails_is_asked_a_few_times_a_wave_and_others_are_not_held_up() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(503) if request.url.host == "other" else row(0.6, 0.4)(request)

    failing = [leased(f"x{n}", payload=message(f"x{n}", "https://other")) for n in range(20)]
    completed = completing(handler).complete("p", [*failing, leased("a")], CONFIG)
    assert [entry.asset_id for entry in completed.entries] == ["a"]
    assert {one.outcome for one in completed.settled} == {Outcome.LATER}
    assert len(completed.settled) == 20
    assert asked.count("other") < PLACE_FAILURES + prepare.READERS
    untried = [one for one in completed.settled if not one.cause]
    assert len(untried) == 20 - asked.count("other"), "who was not tried uses up no grace"


@pytest.mark.parametrize("status", [403, 429, 500])
def test_one_result_that_cannot_be_read_does_not_keep_those_beside_it(status: int) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status) if request.url.path == "/bad" else row(0.6, 0.4)(request)

    entries = [leased("bad"), *(leased(f"a{n}") for n in range(20))]
    completed = completing(handler).complete("p", entries, CONFIG)
    assert [entry.asset_id for entry in completed.entries] == [f"a{n}" for n in range(20)]
    assert [(one.entry.asset_id, one.outcome) for one in completed.settled] == [("bad", Outcome.LATER)]


def test_each_delay_is_twice_the_last_up_to_a_minute() -> None:
    entry, delays = leased("a", deliveries=500), []
    for _ in range(9):
        [later] = (
            completing(lambda _: httpx.Response(500), failures=FailurePolicy(Graces(result=10_000.0)))
            .complete("p", [entry], CONFIG)
            .settled
        )
        assert later.outcome is Outcome.LATER
        delays.append(later.delay_ms // 1000)
        entry = replace(entry, tries=later.tries, leased_ms=entry.leased_ms + later.delay_ms)
    assert delays == [1, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_result_that_fails_once_after_a_long_wait_in_the_queue_is_waited_for() -> None:
    entries = [leased(f"a{n}", deliveries=40) for n in range(50)]
    completed = completing(lambda _: httpx.Response(503)).complete("p", entries, CONFIG)
    assert {one.outcome for one in completed.settled} == {Outcome.LATER}


def test_after_the_grace_it_is_a_dead_letter_that_says_how_long_it_waited() -> None:
    entry = leased("a", deliveries=7, tried_ms=61_000)
    [dead] = completing(lambda _: httpx.Response(500)).complete("p", [entry], CONFIG).settled
    letter = json.loads(dead.letter)
    assert (dead.outcome, dead.cause, letter["stage"]) == (Outcome.DEAD, "result_unavailable", "fetch")
    assert "the server answered 500, for 61" in letter["problem"]
    assert letter["history"][0] == {"stage": "earlier"}


@pytest.mark.parametrize("limit", ["stop", "time", "bytes"])
def test_what_a_wave_has_no_time_or_room_for_is_left_to_the_next(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}
    if limit == "stop":
        options["stop"] = threading.Event()
        options["stop"].set()
    elif limit == "time":
        monkeypatch.setattr(prepare, "READING_SECONDS", -1.0)
    else:
        options["max_bytes"] = -1
    completed = completing(row(0.6, 0.4), **options).complete("p", [leased("a")], CONFIG)
    assert (completed.entries, completed.settled) == ([], [])


def test_a_fault_of_ours_buries_one_and_not_the_wave() -> None:
    class Broken(Policy):
        def decide(self, subject: Subject) -> ReviewDecision:
            if subject.external_id == "a":
                raise KeyError("a")
            return super().decide(subject)

    completed = completing(row(0.6, 0.4), policy=Broken()).complete("p", [leased("a"), leased("b")], CONFIG)
    assert [entry.asset_id for entry in completed.entries] == ["b"]
    assert outcomes(completed.settled) == [("a", Outcome.DEAD, "worker_fault")]


def test_a_message_that_needs_no_result_any_more_is_read_as_it_is() -> None:
    inline = json.loads(message("a"))
    inline["output"]["payload"] = {"predictions": [[0.7, 0.3]]}
    entry = leased("a", payload=json.dumps(inline).encode())
    completed = completing(lambda _: httpx.Response(500)).complete("p", [entry], CONFIG)
    assert ReviewDecision.from_bytes(completed.entries[0].decision).confidence == 0.7
