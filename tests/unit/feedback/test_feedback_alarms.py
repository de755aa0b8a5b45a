"""Alarms: told once, acknowledged, sent in the shape a receiver understands; and the room that does it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import fakeredis
import httpx
import pytest
import redis

from tests.unit.feedback.feedback_records import traffic
from tests.unit.feedback.kili_in_memory import INTERFACE, START, KiliInMemory, asset_of, label_of
from worker.feedback.alarms import AlarmBook
from worker.feedback.messages import AlarmNotification, Links, Webhook, WebhookShape
from worker.feedback.service import Feedback, FeedbackRules, Observers, summaries
from worker.review import Verdict

DAY = 86_400.0
ENDPOINT = "https://kili.example/api/label/v2/graphql"


@pytest.fixture
def client() -> Iterator[fakeredis.FakeRedis]:
    with fakeredis.FakeRedis() as found:
        yield found


@pytest.fixture
def book(client: fakeredis.FakeRedis) -> AlarmBook:
    return AlarmBook(client, "t:", "P")


def test_acknowledgements_are_kept_by_version_detector_and_number_and_the_first_one_counts(book: AlarmBook) -> None:
    book.acknowledge("accuracy_fell/a/b:1/2", 9.0)
    book.acknowledge("accuracy_fell/a/b:1/1", 5.0)
    book.acknowledge("accuracy_fell/a/b:1/1", 6.0)
    book.acknowledge("scores_changed/m:2/1", 7.0)

    found = book.known()

    assert found.acknowledgements("a/b:1")["accuracy_fell"] == {1: 5.0, 2: 9.0}
    assert found.acknowledgements("m:2")["scores_changed"] == {1: 7.0}
    assert found.acknowledgements("m:1")["scores_changed"] == {}


@pytest.mark.parametrize("wrong", ["", "accuracy_fell", "accuracy_fell/m:1", "something_else/m:1/1"])
def test_what_is_no_alarm_cannot_be_acknowledged(book: AlarmBook, wrong: str) -> None:
    with pytest.raises(ValueError, match="detector/model/number"):
        book.acknowledge(wrong, 1.0)


ALARM = {
    "id": "accuracy_fell/m:1/1",
    "detector": "accuracy_fell",
    "meaning": "the model is wrong more often than it used to be",
    "model": "m:1",
    "at": START + 100,
    "since": START,
    "acknowledged_at": None,
    "before": {"value": 0.95, "low": 0.93, "high": 0.96},
    "after": {"value": 0.85, "low": 0.8, "high": 0.89},
    "classes": [],
    "cases": [{"asset_id": "a1", "external_id": "one.jpg"}],
}
NOTICE = AlarmNotification(ALARM, Links.of(ENDPOINT, "P"))


def test_a_notice_says_what_since_when_and_from_where_to_where() -> None:
    assert NOTICE.headline == (
        "m:1: accuracy fell since about 01 Mar 2026 12:00 UTC: the model is wrong more often than it used to be; "
        "agreement before 95.0\u202f% (93.0\u202f% to 96.0\u202f%), after 85.0\u202f% (80.0\u202f% to 89.0\u202f%)"
    )


def test_the_generic_shape_has_everything_with_links() -> None:
    body = NOTICE.body(WebhookShape.GENERIC)

    assert body["event"] == "drift_alarm"
    assert (body["project"], body["model"], body["since"]) == ("P", "m:1", START)
    assert body["cases"][0]["link"] == "https://kili.example/label/projects/label/a1"


def test_the_shape_for_slack_is_a_text_with_links() -> None:
    body = NOTICE.body(WebhookShape.SLACK)

    assert list(body) == ["text"]
    assert "<https://kili.example/label/projects/label/a1|one.jpg>" in body["text"]


def test_the_shape_for_alertmanager_is_a_list_of_alerts() -> None:
    (alert,) = NOTICE.body(WebhookShape.ALERTMANAGER)

    assert alert["labels"] == {
        "alertname": "PredictionWorkerDrift",
        "project": "P",
        "model": "m:1",
        "detector": "accuracy_fell",
    }
    assert alert["startsAt"] == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(("status", "taken"), [(200, True), (500, False)])
def test_a_webhook_says_whether_it_was_taken(status: int, taken: bool) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(status)

    http = httpx.Client(transport=httpx.MockTransport(answer))

    assert Webhook("https://hook.example", WebhookShape.SLACK).post(NOTICE, http) is taken
    assert not http.is_closed
    assert seen == [NOTICE.body(WebhookShape.SLACK)]


def test_a_webhook_that_cannot_be_reached_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    assert not Webhook("https://hook.example").post(NOTICE, httpx.Client(transport=httpx.MockTransport(refuse)))
    assert [entry.action for entry in caplog.records] == ["webhook_failed"]


def room(client: fakeredis.FakeRedis, kili: KiliInMemory | None = None, **options) -> Feedback:
    rules = FeedbackRules(run_length=10_000.0, report_every=0.001, verify_every=0.001)
    options = {"endpoint": ENDPOINT, "now": lambda: START + 10 * DAY, "rules": rules, **options}
    return Feedback(kili or KiliInMemory(), client, "t:", "P", INTERFACE, **options)


def test_a_drift_is_logged_and_told_once_until_it_is_acknowledged(
    client: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[AlarmNotification] = []

    def take(notice: AlarmNotification) -> bool:
        told.append(notice)
        return True

    found = room(client, observers=Observers(alarm=take))
    found.store.put(traffic(3000, step=120, cows_are_dogs_from=1500))

    for _ in range(3):
        found.conclude()

    names = [notice.alarm["id"] for notice in told]
    assert "accuracy_fell/m:1/1" in names
    assert len(names) == len(set(names))
    assert [entry.action for entry in caplog.records] == ["drift_alarm"] * len(names)
    found.book.acknowledge("accuracy_fell/m:1/1", START + 10 * DAY)
    (model,) = found.report_data()["models"]
    alarm = next(one for one in model["drift"]["alarms"] if one["detector"] == "accuracy_fell")
    assert alarm["acknowledged_at"] == START + 10 * DAY


def test_an_alarm_that_the_webhook_did_not_take_is_posted_again_and_logged_once(
    client: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def refuse_first(notice: AlarmNotification) -> bool:
        tried.append(notice.alarm["id"])
        return tried.count(notice.alarm["id"]) > 1

    found = room(client, observers=Observers(alarm=refuse_first))
    found.store.put(traffic(3000, step=120, cows_are_dogs_from=1500))

    for _ in range(4):
        found.conclude()

    assert tried
    assert {tried.count(one) for one in tried} == {2}
    assert len(caplog.records) == len(set(tried))


def test_the_summary_is_there_for_status(client: fakeredis.FakeRedis) -> None:
    found = room(client)
    found.store.put(traffic(400))
    found.conclude()

    summary = summaries(client, "t:", ["P", "elsewhere"])

    assert list(summary) == ["P"]
    row = summary["P"]["models"]["m:1"]
    assert 0 < row["low"] < row["value"] < row["high"] < 1
    assert row["population"] == 400
    assert set(row["drift"]) == {"accuracy_fell", "worse_than_confidence", "scores_changed"}


def test_the_policy_hears_the_reviewers_pace_by_rule(client: fakeredis.FakeRedis) -> None:
    heard = []
    found = room(client, observers=Observers(reviewer_rate=lambda *about: heard.append(about)))
    found.store.put(traffic(400))

    found.conclude()

    ((project, rule, rate),) = heard
    assert (project, rule) == ("P", "rule one")
    assert rate > 0


def test_a_tick_collects_learns_and_concludes(client: fakeredis.FakeRedis) -> None:
    kili = KiliInMemory()
    metadata = {
        "prediction_model": "m:1",
        "prediction_at": "2026-03-01T12:00:00+00:00",
        "review_reason": "audit sample",
        "review_band": 2,
        "review_error_probability": 0.2,
        "review_percentile": 0.7,
    }
    labels = [
        label_of("i1", "INFERENCE", "CAT", START, model="m:1"),
        label_of("i0", "INFERENCE", "DOG", START, model="m:0"),
        label_of("h1", "DEFAULT", "DOG", START + 60),
    ]
    kili.add(asset_of("a1", labels, **metadata))
    learned: list[Verdict] = []

    result = room(client, kili, observers=Observers(training_examples=learned.extend)).tick()

    assert result.changed == 1
    ((lesson),) = learned
    assert (lesson.project, lesson.model, lesson.wrong, lesson.external_id) == ("P", "m:1", 1.0, "a1.jpg")
    assert (lesson.decision.error_probability, lesson.decision.percentile) == (0.2, 0.7)
    assert summaries(client, "t:", ["P"])["P"]["models"]["m:1"]["verdicts"] == 1


def test_verdicts_that_were_collected_while_nobody_listened_are_taught_later_and_once(
    client: fakeredis.FakeRedis,
) -> None:
    kili = KiliInMemory()
    labels = [label_of("i1", "INFERENCE", "CAT", START, model="m:1"), label_of("h1", "DEFAULT", "DOG", START + 60)]
    decided = {"review_reason": "audit sample", "review_error_probability": 0.2, "prediction_model": "m:1"}
    kili.add(asset_of("a1", labels, prediction_at="2026-03-01T12:00:00+00:00", **decided))
    room(client, kili).collect()
    learned: list[Verdict] = []

    for _ in range(2):
        room(client, kili, observers=Observers(training_examples=learned.extend)).collect()

    assert [(one.external_id, one.wrong) for one in learned] == [("a1.jpg", 1.0)]


def test_a_lesson_that_failed_is_taught_again(client: fakeredis.FakeRedis) -> None:
    kili = KiliInMemory()
    labels = [label_of("i1", "INFERENCE", "CAT", START, model="m:1"), label_of("h1", "DEFAULT", "DOG", START + 60)]
    decided = {"review_reason": "audit sample", "review_error_probability": 0.2, "prediction_model": "m:1"}
    kili.add(asset_of("a1", labels, prediction_at="2026-03-01T12:00:00+00:00", **decided))
    learned: list[Verdict] = []

    def fail(_: list[Verdict]) -> None:
        raise redis.ConnectionError("away")

    with pytest.raises(redis.ConnectionError):
        room(client, kili, observers=Observers(training_examples=fail)).collect()
    room(client, kili, observers=Observers(training_examples=learned.extend)).collect()

    assert [one.external_id for one in learned] == ["a1.jpg"]


def answered(kili: KiliInMemory, count: int) -> list[str]:
    """Assets with a decision and an answer; their external ids."""
    decided = {"review_reason": "audit sample", "review_error_probability": 0.2, "prediction_model": "m:1"}
    for number in range(count):
        labels = [
            label_of(f"i{number}", "INFERENCE", "CAT", START + number, model="m:1"),
            label_of(f"h{number}", "DEFAULT", "DOG", START + 1000 + number),
        ]
        kili.add(asset_of(f"a{number}", labels, prediction_at="2026-03-01T12:00:00+00:00", **decided))
    return sorted(f"a{number}.jpg" for number in range(count))


def test_a_round_teaches_once_whatever_it_read_in_how_many_pages(client: fakeredis.FakeRedis) -> None:
    kili = KiliInMemory()
    names = answered(kili, 35)
    kili.page = 10
    lessons: list[list[Verdict]] = []

    room(client, kili, observers=Observers(training_examples=lessons.append)).collect()

    ((lesson),) = lessons
    assert sorted(one.external_id for one in lesson) == names


def test_a_round_with_many_answers_teaches_them_bit_by_bit(
    client: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.feedback.collector.EXAMPLES_PER_CYCLE", 15)
    kili = KiliInMemory()
    names = answered(kili, 35)
    kili.page = 10
    lessons: list[list[Verdict]] = []

    room(client, kili, observers=Observers(training_examples=lessons.append)).collect()

    assert [len(lesson) for lesson in lessons] == [20, 15]
    assert sorted(one.external_id for lesson in lessons for one in lesson) == names


def test_what_a_round_read_before_an_error_is_taught_by_the_next_one_and_once(client: fakeredis.FakeRedis) -> None:
    kili = KiliInMemory()
    names = answered(kili, 35)
    kili.page = 10
    lessons: list[list[Verdict]] = []
    found = room(client, kili, observers=Observers(training_examples=lessons.append))
    calls = 0

    def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise redis.ConnectionError("away")

    kili.on_call = fail
    with pytest.raises(redis.ConnectionError):
        found.collect()
    assert lessons == []
    found.collect()
    found.collect()

    assert sorted(one.external_id for lesson in lessons for one in lesson) == names


def test_assets_without_a_decision_teach_nothing(client: fakeredis.FakeRedis) -> None:
    kili = KiliInMemory()
    labels = [label_of("i1", "INFERENCE", "CAT", model="m:1"), label_of("h1", "DEFAULT", "CAT", START + 60)]
    kili.add(asset_of("a1", labels))
    learned: list[Verdict] = []

    room(client, kili, observers=Observers(training_examples=learned.extend)).collect()

    assert learned == []
