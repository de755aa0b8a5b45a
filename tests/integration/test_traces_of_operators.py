"""What an operator does is told on the trace too, by command and on the page: replay, edit, move, drop, report."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner

from tests.awaiting import awaited
from tests.collector import Collector, collector
from tests.faults.house import prediction
from tests.integration.feedback_world import world
from tests.unit.page.world import TOKEN, Browser
from worker.cli import main
from worker.environment.embedded_redis import EmbeddedRedis
from worker.kili import AssetUpdate, derived_asset_id
from worker.page.application import Page
from worker.review import ReviewDecision
from worker.settings.tree import Settings
from worker.spool import Arrival, Spool, Waiting
from worker.spool.dead_letters import DeadLetters
from worker.tracing import TRACE_KEY
from worker.tracing.open_telemetry import ADMIT, EVALUATE, SETTLE
from worker.wiring import spool_of, tracer_of

PRODUCER = "00f067aa0ba902b7"
PROJECT = "refused-project"
COUNT = 4


def trace_id(number: int) -> str:
    return f"{number:032x}"


def context(number: int) -> str:
    return f"00-{trace_id(number)}-{PRODUCER}-01"


@pytest.fixture
def received(client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A receiver of spans, for whatever is called with the settings of this process."""
    with collector() as found:
        settings = {"REDIS_URL": redis_server.url, "KILI_API_KEY": "key", "WORKER_PAGE__TOKEN": TOKEN}
        for name, value in (settings | found.environment).items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def spool(received: Collector) -> Spool:
    """A spool in which traced predictions wait."""
    spool = spool_of(Settings())
    spool.admit([Arrival("", tuple(waiting(number) for number in range(1, COUNT + 1)))])
    return spool


def waiting(number: int) -> Waiting:
    decision = ReviewDecision(5, 0, "confident", "test").to_bytes((), "stream", context(number))
    payload = json.dumps(prediction(PROJECT, f"a/{number}.jpg")).encode()
    return Waiting(PROJECT, 5, f"asset-{number}", "m:1", number, "aa", payload, decision)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def await_spans(received: Collector, name: str, count: int) -> None:
    awaited(lambda: len(received.named(name)) >= count, f"{count} spans: {name}", limit=20)


def test_letters_made_by_a_command_are_replayed_on_the_page_within_their_traces(
    spool: Spool, received: Collector
) -> None:
    call("waiting", "dead-letter", PROJECT, "--yes")
    await_spans(received, SETTLE, COUNT)
    letters = {one.about["external_id"]: one.id for one in DeadLetters(spool.redis, spool.prefix).letters(limit=COUNT)}
    tracer = tracer_of(Settings())
    someone = Browser(Page(Settings(), spool, threading.Event(), tracer).application())
    someone.log_in(TOKEN)

    first, edited = letters["a/1.jpg"], letters["a/2.jpg"]
    someone.send(someone.get(f"/page/letters/do?do=replay&id={first}"))
    text = json.dumps(prediction(PROJECT, "a/edited.jpg"))
    someone.send(someone.send(someone.get(f"/page/letter/edit?id={edited}"), text=text))
    someone.send(someone.get("/page/letters/do?do=replay&cause=moved_by_operator"))
    await_spans(received, ADMIT, COUNT)
    tracer.close()

    replayed = {span.trace: span.attributes["prediction.replayed"] for span in received.named(ADMIT)}
    assert replayed == {trace_id(number): letters[f"a/{number}.jpg"] for number in range(1, COUNT + 1)}
    settled = received.named(SETTLE)
    assert [span.attributes["prediction.outcome"] for span in settled] == ["dead"] * COUNT
    assert {span.attributes["error.type"] for span in settled} == {"moved_by_operator"}
    assert {span.parent for span in received.spans} == {PRODUCER}


def test_what_a_command_drops_is_told(spool: Spool, received: Collector) -> None:
    call("waiting", "drop", PROJECT, "--yes")
    await_spans(received, SETTLE, COUNT)
    assert {span.attributes["prediction.outcome"] for span in received.named(SETTLE)} == {"dropped"}
    assert {span.trace for span in received.named(SETTLE)} == {trace_id(number) for number in range(1, COUNT + 1)}


@pytest.mark.parametrize("how", ["--collect", "--rebuild"])
def test_a_verdict_that_a_report_is_the_first_to_read_is_told(
    received: Collector, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with world() as place:
        place.predict("digits:1", range(5))
        asset_id = derived_asset_id(place.project, "digit-0.png")
        (asset,) = [
            one for one in place.admin(f"state?project={place.project}&full=1")["items"] if one["id"] == asset_id
        ]
        known = json.loads(asset["jsonMetadata"])
        traced = known | {TRACE_KEY: f"{context(1)} {known['prediction_at']}"}
        place.kili.update_assets(place.project, [AssetUpdate(asset_id, metadata=json.dumps(traced))])
        place.answer(asset_id, place.truth["digit-0.png"])
        monkeypatch.setenv("KILI_API_ENDPOINT", place.sandbox.endpoint)
        monkeypatch.setenv("KILI_API_KEY", place.sandbox.api_key)
        call("report", "--project", place.project, how)
    await_spans(received, EVALUATE, 1)
    assert [span.trace for span in received.named(EVALUATE)] == [trace_id(1)]
