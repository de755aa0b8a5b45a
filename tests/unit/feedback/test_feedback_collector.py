"""The records become what Kili has, whatever lags, goes missing, comes late or is deleted on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import inf
from typing import Any

import fakeredis
import pytest

from tests.unit.feedback.kili_in_memory import INTERFACE, START, KiliInMemory, asset_of, label_of
from worker.feedback.collector import Collector
from worker.feedback.label_files import MOST_CYCLES, Unread, UnreadBook, UnreadLabels
from worker.feedback.reading import LabelKind
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, report_data_of
from worker.feedback.store import FeedbackStore
from worker.feedback.verdicts import record_of

DAY = 86_400.0


@pytest.fixture
def kili() -> KiliInMemory:
    return KiliInMemory()


@pytest.fixture
def redis_client() -> Iterator[fakeredis.FakeRedis]:
    with fakeredis.FakeRedis() as client:
        yield client


@pytest.fixture
def make(kili: KiliInMemory, redis_client: fakeredis.FakeRedis) -> Callable[..., tuple[Collector, FeedbackStore]]:
    """A collector as a process starts it: everything it knows is in Redis."""

    def start(**options) -> tuple[Collector, FeedbackStore]:
        store = FeedbackStore(redis_client, "t:", "P")
        options = {"now": lambda: START + DAY, **options}
        return Collector(kili, store, INTERFACE, **options), store

    return start


def predict(kili: KiliInMemory, number: int, name: str = "CAT", at: float = START, **metadata: Any) -> str:
    asset_id = f"a{number}"
    prediction = label_of(f"i{number}", "INFERENCE", name, at, model="m:1", author="bot")
    kili.add(asset_of(asset_id, [prediction], at, **metadata))
    return asset_id


def answer(kili: KiliInMemory, asset_id: str, name: str = "CAT", at: float = START + 60, **options) -> str:
    label_id = options.pop("label_id", f"h-{asset_id}-{at}")
    kili.write(asset_id, label_of(label_id, "DEFAULT", name, at, **options))
    return label_id


def expected(kili: KiliInMemory) -> dict[str, AssetRecord]:
    """What a clean computation from Kili gives."""
    records = [record_of(asset, INTERFACE) for asset in kili.assets_by_id.values()]
    return {record.asset_id: record for record in records if record.labels}


def kept(store: FeedbackStore) -> dict[str, AssetRecord]:
    return {record.asset_id: record for record in store.records(with_labels=True)}


def test_predictions_and_answers_are_collected_over_many_pages(kili, make) -> None:
    assets = [predict(kili, number) for number in range(35)]
    for asset_id in assets[:25]:
        answer(kili, asset_id)
    collector, store = make()

    result = collector.collect()

    assert result.complete
    assert kept(store) == expected(kili)
    assert sum(record.verdicts for record in store.records()) == 25


def test_a_round_without_news_costs_two_pages_and_two_counts(kili, make) -> None:
    for number in range(35):
        answer(kili, predict(kili, number), mark=1.0)
    kili.page = 100
    collector, _ = make()
    collector.collect()
    kili.calls = 0

    assert collector.collect().changed == 0
    assert kili.calls == 4


def test_a_new_process_goes_on_where_the_last_one_ended(kili, make) -> None:
    asset_id = predict(kili, 1)
    make()[0].collect()
    answer(kili, asset_id)

    collector, store = make()

    assert collector.collect().changed == 1
    assert kept(store) == expected(kili)


def test_a_label_that_a_lagging_read_hid_is_found_later(kili, make) -> None:
    first = predict(kili, 1)
    hidden = answer(kili, first, at=START + 10)
    kili.hidden.add(hidden)
    for number in range(2, 150):
        answer(kili, predict(kili, number, at=START + number), at=START + 100 + number)
    collector, store = make()
    collector.collect()
    kili.hidden.clear()

    collector.collect()
    collector.collect()

    assert kept(store) == expected(kili)


def test_a_deleted_label_takes_its_verdict_with_it(kili, make) -> None:
    assets = [predict(kili, number) for number in range(30)]
    labels = [answer(kili, asset_id) for asset_id in assets]
    collector, store = make()
    collector.collect()
    kili.delete(assets[3], labels[3])

    collector.collect()

    assert kept(store) == expected(kili)
    assert kept(store)["a3"].verdicts == 0


@pytest.mark.parametrize("moment", range(1, 16))
def test_a_label_deleted_while_its_day_is_read_anew_is_found_by_the_next_rounds(kili, make, moment: int) -> None:
    assets = [predict(kili, number) for number in range(12)]
    labels = {asset_id: answer(kili, asset_id, mark=1.0) for asset_id in assets}
    collector, store = make()
    collector.collect()
    kili.delete("a3", labels["a3"])
    last = kili.calls + moment

    def delete_another() -> None:
        if kili.calls == last:
            kili.delete("a7", labels["a7"])

    kili.on_call = delete_another
    for _ in range(6):
        collector.collect()

    assert kept(store) == expected(kili)


def test_a_deleted_asset_goes(kili, make) -> None:
    for number in range(5):
        answer(kili, predict(kili, number))
    collector, store = make()
    collector.collect()
    del kili.assets_by_id["a2"]

    assert collector.collect().removed == 1
    assert kept(store) == expected(kili)


def test_a_corrected_answer_replaces_the_earlier_one(kili, make) -> None:
    asset_id = predict(kili, 1)
    answer(kili, asset_id, "DOG")
    collector, store = make()
    collector.collect()
    answer(kili, asset_id, "CAT", at=START + 90)

    collector.collect()

    (on_verdicts,) = kept(store)[asset_id].answers
    assert [(one.agreement, one.standing) for one in on_verdicts.verdicts] == [(0.0, False), (1.0, True)]


def test_days_with_deletions_are_found_by_halving(kili, make) -> None:
    assets = [predict(kili, day, at=START - day * DAY) for day in range(60)]
    labels = [answer(kili, asset_id, at=START - day * DAY + 60, mark=1.0) for day, asset_id in enumerate(assets)]
    kili.page = 100
    collector, store = make()
    collector.collect()
    kili.delete(assets[40], labels[40])
    kili.calls = 0

    collector.collect()

    assert kept(store) == expected(kili)
    assert kili.calls < 25


def test_a_label_changed_in_place_is_found_by_verifying_its_day(kili, make) -> None:
    asset_id = predict(kili, 1)
    label_id = answer(kili, asset_id, "DOG", mark=0.5)
    collector, store = make()
    collector.collect()
    kili.delete(asset_id, label_id)
    answer(kili, asset_id, "CAT", label_id=label_id, mark=1.0)

    assert collector.collect().changed == 0
    collector.verify(datetime.fromtimestamp(START, UTC).date())

    assert kept(store) == expected(kili)


def test_the_tour_begins_with_the_day_that_was_verified_least_recently(kili, make) -> None:
    for day in range(3):
        predict(kili, day, at=START - day * DAY)
    collector, _ = make()
    collector.collect()
    oldest = datetime.fromtimestamp(START - 2 * DAY, UTC).date()

    assert collector.next_to_verify() == oldest
    collector.verify(oldest)
    assert collector.next_to_verify() == datetime.fromtimestamp(START - DAY, UTC).date()


def test_late_marks_are_asked_for_until_they_are_there(kili, make) -> None:
    asset_id = predict(kili, 1)
    label_id = answer(kili, asset_id)
    collector, store = make()
    collector.collect()
    kili.delete(asset_id, label_id)
    answer(kili, asset_id, label_id=label_id, mark=1.0)

    collector.collect()

    assert kept(store)[asset_id].answers[0].verdicts[0].mark == 1.0
    assert store.unmarked(0, 10) == []


def test_predictions_are_left_for_later_while_the_budget_has_no_room(kili, make) -> None:
    answer(kili, predict(kili, 1))
    predict(kili, 2)
    collector, store = make(may_read=lambda: False)

    assert not collector.collect().complete
    assert set(kept(store)) == {"a1"}
    collector, store = make()
    collector.collect()
    assert kept(store) == expected(kili)


def test_only_one_process_collects_a_project(kili, make, redis_client) -> None:
    predict(kili, 1)
    other = FeedbackStore(redis_client, "t:", "P")
    other.acquire()

    assert not make()[0].collect().complete
    other.release()
    assert make()[0].collect().changed == 1


def test_what_is_older_than_the_horizon_goes(kili, make) -> None:
    answer(kili, predict(kili, 1, at=START - 20 * DAY), at=START - 20 * DAY)
    answer(kili, predict(kili, 2))
    make()[0].collect()
    collector, store = make(horizon_days=10)

    assert collector.prune() == 1
    assert set(kept(store)) == {"a2"}
    assert sum(store.counts(LabelKind.HUMAN).values()) == 1


def test_what_is_within_the_horizon_is_not_read_to_find_what_is_older(kili, make, redis_client, monkeypatch) -> None:
    answer(kili, predict(kili, 1, at=START - 20 * DAY), at=START - 20 * DAY)
    answer(kili, predict(kili, 2, at=START - 19 * DAY), at=START)
    answer(kili, predict(kili, 3))
    make()[0].collect()
    collector, store = make(horizon_days=10)
    read: list[str] = []
    scan = redis_client.hscan_iter
    monkeypatch.setattr(redis_client, "hscan_iter", lambda key, **options: read.append(key) or scan(key, **options))

    assert collector.prune() == 1
    assert [key[-len("2026-02-09") :] for key in read] == ["2026-02-09", "2026-02-10"]
    assert set(kept(store)) == {"a2", "a3"}


def test_days_beyond_the_horizon_are_forgotten_once_nothing_of_them_is_kept(kili, make) -> None:
    answer(kili, predict(kili, 1, at=START - 20 * DAY), at=START - 20 * DAY)
    answer(kili, predict(kili, 2, at=START - 19 * DAY), at=START)
    collector, store = make()
    collector.collect()
    days = store.days()
    for day in (*days, date(2026, 3, 1)):
        collector.verify(day)

    make(horizon_days=10)[0].prune()

    assert store.days() == days[1:]
    assert set(store.verified()) == {date(2026, 3, 1)}
    assert set(kept(store)) == {"a2"}


class Killed(BaseException):
    """The process is gone."""


class Death:
    """Kills a collector before some call to Kili or Redis; from then on it can do nothing more, not even clean up."""

    def __init__(self, kili: KiliInMemory, client: fakeredis.FakeRedis) -> None:
        self.left: float = inf
        self._execute, self._pipeline = client.execute_command, client.pipeline
        kili.on_call = self._strike
        client.execute_command = self._command  # type: ignore[method-assign]
        client.pipeline = self._piped  # type: ignore[method-assign]

    def _strike(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def _command(self, *arguments: Any, **options: Any) -> Any:
        self._strike()
        return self._execute(*arguments, **options)

    def _piped(self, *arguments: Any, **options: Any) -> Any:
        pipe = self._pipeline(*arguments, **options)
        execute = pipe.execute
        pipe.execute = lambda *more, **others: (self._strike(), execute(*more, **others))[1]
        return pipe


@dataclass
class Turmoil:
    """Predictions, answers, edits and deletions by a seed, seen through reads that lag and change their order."""

    kili: KiliInMemory
    dice: random.Random
    now: float = START
    answers: list[tuple[str, str]] = field(default_factory=list)

    def step(self, number: int) -> None:
        """Let something happen."""
        self.now += self.dice.choice((1, 60, 7200))
        action = self.dice.random()
        if action < 0.4 or not self.kili.assets_by_id:
            predict(self.kili, number, self.dice.choice(("CAT", "DOG")), self.now, **self._decision())
        elif action < 0.7:
            self._answer(number)
        elif action < 0.77 and self.answers:
            asset_id, label_id = self.dice.choice(self.answers)
            if asset_id in self.kili.assets_by_id:
                self.kili.edit(asset_id, label_id, self.dice.choice(("CAT", "DOG", "COW")))
        elif action < 0.85 and self.answers:
            asset_id, label_id = self.answers.pop(self.dice.randrange(len(self.answers)))
            if asset_id in self.kili.assets_by_id:
                self.kili.delete(asset_id, label_id)
        elif action < 0.88:
            del self.kili.assets_by_id[self.dice.choice(sorted(self.kili.assets_by_id))]
        shown = [label.id for asset in self.kili.assets_by_id.values() for label in asset.labels]
        self.kili.hidden = set(self.dice.sample(shown, self.dice.randrange(0, min(6, len(shown) + 1))))

    def _decision(self) -> dict[str, Any]:
        doubt, band = self.dice.random(), self.dice.choice((0, 1, 2))
        return {
            "prediction_model": "m:1",
            "prediction_at": datetime.fromtimestamp(self.now, UTC).isoformat(),
            "prediction_confidence": 1 - doubt,
            "review_band": band,
            "review_error_probability": doubt,
            "review_inclusion_probability": 0.3,
        }

    def _answer(self, number: int) -> None:
        asset_id = self.dice.choice(sorted(self.kili.assets_by_id))
        late = self.now - self.dice.choice((0, 0, 30, 100_000))
        name, kind = self.dice.choice(("CAT", "DOG", "COW")), self.dice.choice(("DEFAULT", "DEFAULT", "REVIEW"))
        label = label_of(f"h{number}", kind, name, late, author=f"p{number % 3}")
        self.kili.write(asset_id, label)
        self.answers.append((asset_id, label.id))


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_with_lagging_reordered_reads_edits_and_deletions_the_figures_are_a_clean_computation(
    kili, make, redis_client, seed
) -> None:
    turmoil = Turmoil(kili, random.Random(seed))
    dice, death, deaths = turmoil.dice, Death(kili, redis_client), 0
    kili.jitter = 90.0
    for number in range(120):
        turmoil.step(number)
        if dice.random() < 0.5:
            death.left = dice.choice((inf, dice.randrange(40)))
            try:
                make(now=lambda: turmoil.now)[0].collect()
            except Killed:
                deaths += 1
            death.left = inf
            redis_client.delete("t:feedback:P:lock")  # it expires

    kili.hidden, kili.jitter = set(), 0.0
    collector, store = make(now=lambda: turmoil.now)
    collector.collect()
    for _ in store.counts(LabelKind.HUMAN) | store.counts(LabelKind.INFERENCE):
        turmoil.now += 60
        if day := collector.next_to_verify():
            collector.verify(day)
    collector.collect()

    question = ReportQuestion(now=turmoil.now, run_length=500)
    clean = expected(kili)
    assert deaths > 5
    assert kept(store) == clean
    assert report_data_of(store.records(), INTERFACE, question) == report_data_of(clean.values(), INTERFACE, question)
    collector.rebuild()
    assert kept(store) == clean


def test_a_label_file_that_cannot_be_read_is_left_out_and_read_when_it_is_back(
    kili: KiliInMemory, make: Callable[..., tuple[Collector, FeedbackStore]], redis_client: fakeredis.FakeRedis
) -> None:
    book = UnreadBook(redis_client, "t:", "P")
    for number in range(3):
        answer(kili, predict(kili, number))
    kili.files = {f"h-a1-{START + 60}": Unread("the server answered 404")}
    collector, store = make(unread=book)
    assert collector.collect().unread == 1
    assert {one.asset_id: one.verdicts for one in store.records()} == {"a0": 1, "a1": 0, "a2": 1}
    assert book.summary() == UnreadLabels(1, 0, "the server answered 404")
    kili.files = {}
    assert collector.collect().unread == 0
    assert {one.asset_id: one.verdicts for one in store.records()} == {"a0": 1, "a1": 1, "a2": 1}
    assert book.summary() == UnreadLabels()


def test_a_label_file_that_never_comes_is_asked_for_in_so_many_rounds_and_then_counted(
    kili: KiliInMemory, make: Callable[..., tuple[Collector, FeedbackStore]], redis_client: fakeredis.FakeRedis
) -> None:
    book = UnreadBook(redis_client, "t:", "P")
    answer(kili, predict(kili, 0))
    kili.files = {"i0": Unread("the server answered 404")}
    collector, _ = make(unread=book)
    unread = [collector.collect().unread for _ in range(MOST_CYCLES + 3)]
    assert unread == [1] * MOST_CYCLES + [0] * 3
    assert book.summary() == UnreadLabels(0, 1, "the server answered 404")
    kili.files = {}
    collector.verify(datetime.fromtimestamp(START, UTC).date())
    assert book.summary() == UnreadLabels()


def test_a_file_for_which_there_was_no_time_uses_up_no_round(
    kili: KiliInMemory, make: Callable[..., tuple[Collector, FeedbackStore]], redis_client: fakeredis.FakeRedis
) -> None:
    book = UnreadBook(redis_client, "t:", "P")
    predict(kili, 0)
    kili.files = {"i0": Unread("no time", tried=False)}
    collector, _ = make(unread=book)
    assert [collector.collect().unread for _ in range(MOST_CYCLES + 2)] == [1] * (MOST_CYCLES + 2)


def test_what_was_known_of_an_asset_is_kept_while_its_file_cannot_be_read(
    kili: KiliInMemory, make: Callable[..., tuple[Collector, FeedbackStore]], redis_client: fakeredis.FakeRedis
) -> None:
    book = UnreadBook(redis_client, "t:", "P")
    answer(kili, predict(kili, 0))
    collector, store = make(unread=book)
    collector.collect()
    known = {one.asset_id: one for one in store.records(with_labels=True)}
    kili.files = {"i0": Unread("the server answered 503")}
    collector.verify(datetime.fromtimestamp(START, UTC).date())
    assert {one.asset_id: one for one in store.records(with_labels=True)} == known


def test_of_several_human_labels_one_that_is_unread_makes_the_others_count_for_nothing(kili: KiliInMemory) -> None:
    asset_id = predict(kili, 0)
    answer(kili, asset_id, "DOG")
    answer(kili, asset_id, "CAT", at=START + 90, label_id="review")
    kili.files = {"review": Unread("gone")}
    [asset] = kili.assets("P", [asset_id])
    assert record_of(asset, INTERFACE).verdicts == 0


def test_each_verdict_is_told_once_with_the_time_that_it_took(kili, make) -> None:
    heard: list[float] = []
    first, second = predict(kili, 1), predict(kili, 2)
    answer(kili, first, at=START + 60)
    for _ in range(2):
        make(delays=heard.extend)[0].collect()
    assert heard == [60.0]
    answer(kili, first, "DOG", at=START + 90, label_id="again", author="another")
    answer(kili, second, at=START + 30)
    make(delays=heard.extend)[0].collect()
    assert sorted(heard) == [30.0, 60.0, 90.0]
    make(delays=heard.extend)[0].verify(datetime.fromtimestamp(START, UTC).date())
    assert len(heard) == 3


def test_a_verdict_counts_from_the_newest_answer_before_it(kili, make) -> None:
    heard: list[float] = []
    asset_id = predict(kili, 1)
    kili.write(asset_id, label_of("later", "INFERENCE", "DOG", START + 40, model="m:2", author="bot"))
    answer(kili, asset_id, at=START + 60)
    kili.write(asset_id, label_of("last", "INFERENCE", "DOG", START + 80, model="m:3", author="bot"))
    make(delays=heard.extend)[0].collect()
    assert heard == [20.0]
