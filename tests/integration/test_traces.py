"""One trace from producer to verdict, over what real processes do: a retry, a kill -9, a dead letter and its replay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.awaiting import PATIENCE
from tests.collector import Collector, Received, collector
from tests.faults.house import House, prediction
from worker.sandbox.labelers import Labelers
from worker.tracing.open_telemetry import ADMIT, EVALUATE, EVALUATION, SETTLE

PRODUCER = "00f067aa0ba902b7"
SETTINGS = {"WORKER_FEEDBACK__EVERY_SECONDS": "0.5", "WORKER_FEEDBACK__BUDGET_SHARE": "1"}
SECRET_NAME, SECRET_NOTE = "patient-4711.jpg", "only for the asset"


@pytest.fixture
def traced() -> Iterator[tuple[House, Collector]]:
    """A house whose workers send their spans to a collector."""
    with collector() as found, House({**SETTINGS, **found.environment}) as house:
        yield house, found


def trace_id(number: int) -> str:
    return f"{0x4BF92F3577B34DA6A3CE929D0E0E0000 + number:032x}"


def traced_prediction(project: str, number: int, *, sampled: bool = True, **changes: Any) -> dict[str, Any]:
    parent = f"00-{trace_id(number)}-{PRODUCER}-{sampled:02x}"
    return prediction(project, f"a/{number}.jpg", score=0.55, traceparent=parent, **changes)


def test_one_trace_leads_from_the_producer_over_a_retry_a_kill_and_a_replay_to_the_verdict(
    traced: tuple[House, Collector],
) -> None:
    house, received = traced
    project = house.project()
    worker = house.worker()
    trace = trace_id(0)

    house.harm({"operation": "appendManyLabels", "action": {"kind": "refuse", "external_ids": ["a/0.jpg"]}})
    house.publish([traced_prediction(project, 0), traced_prediction(project, 1)])
    house.await_settled()
    house.await_that(lambda: received.named(SETTLE, trace, prediction__outcome="dead"), "the dead letter's span")
    (letter,) = house.letters.letters()
    worker.kill()

    house.heal()
    replayed = subprocess.run(
        [sys.executable, "-m", "worker", "dead-letters", "replay", letter.id],
        env={**os.environ, **house.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 admitted" in replayed.stdout, replayed

    house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 30}})
    killed = house.worker()
    house.await_that(lambda: sum(house.struck()) == 1, "a call that hangs")
    killed.kill()
    house.heal()
    house.harm({"operation": "appendManyLabels", "times": 1, "action": {"kind": "status", "status": 503}})
    house.worker()
    house.await_settled()
    house.await_that(lambda: received.named(SETTLE, trace, prediction__outcome="delivered"), "the settlement's span")

    answers = {"a/0.jpg": "RED", "a/1.jpg": "BLACK"}

    def answer(external_id: str) -> dict[str, Any]:
        return {"COLOUR": {"categories": [{"name": answers[external_id]}]}}

    with Labelers(house.kili.endpoint, house.kili.api_key, project, answer, count=1) as people:
        assert len(people.label(2).labeled) == 2
    verdicts = "the verdicts' spans, after the lock of a feedback round that was killed"
    house.await_that(lambda: len(received.named(EVALUATE)) == 2, verdicts, limit=2 * PATIENCE)
    house.judge()

    chain = received.of_trace(trace)
    assert {span.parent for span in chain if span.name in (ADMIT, SETTLE, EVALUATE)} == {PRODUCER}
    admitted = received.named(ADMIT, trace)
    assert [span.attributes.get("prediction.replayed") for span in admitted] == [None, letter.id]
    settled = received.named(SETTLE, trace)
    assert [span.attributes["prediction.outcome"] for span in settled] == ["dead", "delivered"]
    assert [span.failed for span in settled] == [True, False]
    batches = {span.id: span for span in received.spans if span.name in ("deliver batch", "update batch")}
    for span in settled:
        assert is_in_batch(span, batches, trace)
    assert [batches[span.links[0][1]].name for span in settled] == ["deliver batch", "update batch"]
    last = max(received.named("deliver batch", trace), key=lambda span: span.start)
    calls = [span for span in received.spans if span.parent == last.id and span.name == "kili appendManyLabels"]
    assert [(span.failed, span.attributes.get("http.request.resend_count")) for span in calls] == [
        (True, None),
        (False, 1),
    ]
    assert calls[0].attributes["http.response.status_code"] == 503
    (verdict,) = received.named(EVALUATE, trace)
    assert verdict.events == (
        (
            EVALUATION,
            {
                "gen_ai.evaluation.name": "human_agreement",
                "gen_ai.evaluation.score.value": 1.0,
                "gen_ai.evaluation.score.label": "correct",
            },
        ),
    )
    (other,) = received.named(EVALUATE, trace_id(1))
    assert other.events[0][1]["gen_ai.evaluation.score.label"] == "incorrect"
    assert {span.service for span in received.spans} == {"prediction-worker"}


def is_in_batch(span: Received, batches: dict[str, Received], trace: str) -> bool:
    """Whether a settlement and its batch are linked, in both directions or as parent and child."""
    ((_, batch_id),) = span.links
    batch = batches[batch_id]
    ours = (trace, PRODUCER)
    return (batch.trace, batch.parent) == ours or ours in batch.links


def test_what_is_not_sampled_makes_no_span_and_nothing_of_payloads_or_keys_is_in_any(
    traced: tuple[House, Collector],
) -> None:
    house, received = traced
    project = house.project()
    house.worker()
    house.publish([traced_prediction(project, 1, sampled=False), traced_prediction(project, 2)])
    own = {"metadata": {"note": SECRET_NOTE}, "message_id": "secret-message"}
    house.publish([prediction(project, SECRET_NAME, **own)])
    house.await_settled()
    house.await_that(lambda: len(received.named(SETTLE)) == 2, "the spans of both that are sampled")
    house.judge()
    assert received.of_trace(trace_id(1)) == []
    roots = [span for span in received.named(ADMIT) if not span.parent]
    (root,) = roots
    assert [span.parent for span in received.named(SETTLE, root.trace)] == [root.id]
    told = repr(received.spans)
    for secret in (house.kili.api_key, SECRET_NAME, "a/2.jpg", SECRET_NOTE, "secret-message", "example.com", "RED"):
        assert secret not in told, secret
    assert all(house.kili.api_key not in repr(headers) for headers in received.requests)
    assert set(received.paths) == {"/v1/traces"}
