"""Drift alarms over months, as the worker runs them: in virtual time, with restarts, late answers, lost replies."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
import redis

from benchmarks.feedback.production import DAY, START, Production, size_of
from benchmarks.feedback.simulated_kili import PROJECT, Prediction, SimulatedKili
from worker.feedback.alarms import AlarmBook
from worker.feedback.drift import Alarm, DriftWatch, Scored, StateError, watch
from worker.feedback.service import FeedbackRules, Scope
from worker.reports.page import page
from worker.reports.text import text
from worker.statistics.samples import Sample
from worker.statistics.windows import Patience

RULES = FeedbackRules(run_length=140_000.0, horizon_days=8, report_days=5.0, verify_every=1e9)
KEY = f"sim:feedback:{PROJECT}:"


@pytest.fixture(autouse=True)
def warnings_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def a_day(
    world: Production, day: float, rate: float, dice: random.Random, *, count: int = 125, model: str = "m:1"
) -> list[Prediction]:
    """A day's predictions; a person answers each of them within a day and a half."""
    made = []
    for number in range(count):
        at = START + (day + number / count) * DAY
        asset_id = f"{model}-{day:07.2f}-{number:04}"
        wrong = dice.random() < rate
        one = Prediction(asset_id, model, at, wrong, p_error=0.1, confidence=dice.betavariate(8, 2))
        world.kili.predict(one)
        world.kili.answer(one, at + 1.5 * DAY * dice.random())
        made.append(one)
    return made


@pytest.mark.parametrize(("drifts", "days"), [((10, 30), 42), pytest.param((10, 30, 50), 63, marks=pytest.mark.slow)])
def test_drifts_of_one_model_weeks_apart_are_all_told_once(
    drifts: tuple[int, ...], days: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The horizon is eight days: each drift has left it before the next, so that a second one stands for any number."""
    world = Production(RULES, acknowledge_after=2.0)
    dice = random.Random(1)
    for day in range(days):
        a_day(world, day, 0.05 + 0.2 * sum(day >= one for one in drifts), dice, count=70)
        if day % 3 == 2:
            world.look(START + (day + 1) * DAY)
        if day % 12 == 11:
            world.restart()

    fell = [one for one in world.told if one.detector == "accuracy_fell"]
    assert [one.id for one in fell] == [f"accuracy_fell/m:1/{number}" for number in range(1, len(drifts) + 1)]
    assert all(begun < one.day < begun + 10 for one, begun in zip(fell, drifts, strict=True))
    assert len({one.id for one in world.told}) == len(world.told)
    logged = [entry.id for entry in caplog.records if getattr(entry, "action", "") == "drift_alarm"]
    assert logged == [one.id for one in world.told]
    assert world.counts()["worse_than_confidence"] <= 3
    for seen in (0.5, 400.0):
        report_data = world.room.report_data(seen)
        kept = {alarm["id"] for one in report_data["models"] for alarm in one["drift"]["alarms"]}
        assert kept == {one.id for one in world.told if one.day > days - RULES.horizon_days - 2}


def streams(count: int, length: int, drift_at: int | None = None) -> Iterator[list[Scored]]:
    """A tenth are answered audits, P(error) and confidence tell the truth; after a drift they promise too much."""
    for seed in range(count):
        dice = random.Random(f"calm {seed}")
        found: list[Scored] = []
        for number in range(length):
            p = 0.3 * dice.random() ** 2
            audited = dice.random() < 0.1
            lost = 0.3 if drift_at is not None and number >= drift_at else 0.0
            error = float(dice.random() < p + lost) if audited else None
            found.append((Sample(f"a{number:06}", 90.0 * number, audited, 0.1, p, p, error), 1 - p))
        yield found


def looked_at_again_and_again(model: str, samples: list[Scored], late_days: float = 0.0) -> list[Alarm]:
    """What a service raises that looks at the last days of what there is, time and again, and keeps its state."""
    one, alarms = DriftWatch(model), []
    dice = random.Random(7)
    comes = [sample.at + 86_400 * late_days * dice.random() ** 3 if sample.audited else 0.0 for sample, _ in samples]
    for end in range(2000, len(samples) + 1, 2000):
        now = 90.0 * end
        first = max(0, end - 6000)
        seen = [
            (sample if comes[place] <= now else replace(sample, error=None), score)
            for place, (sample, score) in enumerate(samples[first:end], first)
        ]
        one = DriftWatch.restore(model, json.loads(json.dumps(one.state())))
        alarms += one.look(seen, Patience.at(now, 72 * 3600), {})
    return alarms


def in_one_pass(samples: list[Scored]) -> list[Alarm]:
    return watch("m:1", samples, overdue_before=1e12, acknowledged={}).alarms


@pytest.mark.parametrize("count", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_stationary_streams_that_are_looked_at_again_and_again_raise_no_more_alarms_than_in_one_pass(
    count: int,
) -> None:
    """Each is looked at six times: detectors that begin anew would raise alarms on every other one."""
    calm = list(streams(count, 12_000))

    single_attempt = [in_one_pass(one) for one in calm]
    again = [looked_at_again_and_again("m:1", one, late_days=4.0) for one in calm]

    assert sum(map(bool, single_attempt)) <= count * 12_000 * 3 / 140_000
    assert sum(map(bool, again)) <= sum(map(bool, single_attempt))


def test_a_drift_is_found_at_the_same_moment_however_often_the_stream_is_looked_at() -> None:
    """Detectors that were fitted anew to what is still kept would find it later, twice, or under another number."""
    for drifting in streams(3, 12_000, drift_at=7000):
        single_attempt = in_one_pass(drifting)

        assert {one.detector for one in single_attempt} >= {"accuracy_fell", "worse_than_confidence"}
        assert looked_at_again_and_again("m:1", drifting) == single_attempt


@pytest.mark.slow
def test_what_redis_keeps_does_not_grow_after_the_horizon() -> None:
    rules = replace(RULES, horizon_days=10)
    world = Production(rules, acknowledge_after=1.0)
    dice = random.Random(4)
    sizes = {}
    for day in range(75):
        a_day(world, day, 0.02 if day % 30 < 15 else 0.5, dice, count=40, model=f"m:{day // 15}")
        if day % 3 == 2:
            world.look(START + (day + 1) * DAY)
            sizes[day] = size_of(world.client)

    later = [size for day, size in sizes.items() if 29 <= day < 45]
    last = [size for day, size in sizes.items() if day >= 60]
    assert sum(last) / len(last) <= 1.1 * sum(later) / len(later)
    assert set(world.client.hgetall(f"{KEY}watches")) <= {b"m:3", b"m:4"}


READS = ("HSCAN", "SMEMBERS", "HGETALL", "HVALS", "HLEN", "GET")


class Failing(fakeredis.FakeRedis):
    """Loses one call other than a plain read: it fails before or after it has its effect."""

    countdown: int | None = None
    after = False
    failed: str | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._lost(lambda: super(Failing, self).execute_command(*args, **options), str(args[:2]))

    def pipeline(self, *args: Any, **options: Any) -> Any:
        pipe = super().pipeline(*args, **options)
        execute = pipe.execute
        pipe.execute = lambda *a, **o: self._lost(lambda: execute(*a, **o), "pipeline")
        return pipe

    def _lost(self, call: Callable[[], Any], name: str) -> Any:
        if self.countdown is None or any(one in name for one in READS):
            return call()
        self.countdown -= 1
        if self.countdown != 0:
            return call()
        self.countdown, self.failed = None, name
        if self.after:
            call()
        raise redis.ConnectionError("away")


@pytest.fixture(scope="module")
def on_the_eve() -> Production:
    """The next look finds a drift. Nobody may change it; ``eve`` is a copy."""
    world = Production(RULES)
    dice = random.Random(2)
    for day in range(8):
        a_day(world, day, 0.02 if day < 4 else 0.6, dice, count=130)
    world.time = START + 3 * DAY
    world.room.collect()
    world.room.conclude()
    world.time = START + 10 * DAY
    world.room.collect()
    assert world.told == []
    return world


@pytest.fixture
def eve(on_the_eve: Production) -> Production:
    """The same, for a test of its own."""
    client = fakeredis.FakeRedis()
    for key in on_the_eve.client.scan_iter():
        client.restore(key, 0, on_the_eve.client.dump(key))
    world = replace_world(on_the_eve, client)
    known = on_the_eve.kili
    listed = {kind: list(rows) for kind, rows in known._listed.items()}
    world.kili = SimulatedKili(lambda: world.time, dict(known._assets), listed, list(known._coming), known._number)
    world.restart()
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_call_to_redis_that_is_lost_anywhere_loses_no_alarm(
    after: bool, on_the_eve: Production, caplog: pytest.LogCaptureFixture
) -> None:
    """The state of the world before the look is copied, one call is lost, another worker goes on."""
    base = on_the_eve
    copied = {key: base.client.dump(key) for key in base.client.scan_iter()}
    lost = 0
    for number in range(1, 200):
        client = Failing()
        for key, value in copied.items():
            client.restore(key, 0, value)
        world = replace_world(base, client)
        caplog.clear()
        client.countdown, client.after = number, after
        try:
            world.room.conclude()
        except redis.ConnectionError:
            lost += 1
        else:
            if client.failed is None:
                break
        client.countdown = None
        client.delete(f"{KEY}lock")
        world.restart()
        world.room.conclude()
        world.room.conclude()

        ids = [one.id for one in world.told]
        logged = [entry.id for entry in caplog.records if getattr(entry, "action", "") == "drift_alarm"]
        assert "accuracy_fell/m:1/1" in ids, client.failed
        assert set(ids) == set(logged), client.failed
        noting = client.failed is not None and "HSET" in client.failed
        assert noting or (len(ids) == len(set(ids)) and len(logged) == len(set(logged))), client.failed
    assert lost > 5


def replace_world(base: Production, client: redis.Redis) -> Production:
    world = Production(RULES, client=client, time=base.time)
    world.kili = base.kili
    world.restart()
    return world


def test_two_workers_tell_once_and_a_project_that_is_being_collected_is_left_alone(eve: Production) -> None:
    world = eve
    other = world.new_room()
    assert other.store.acquire()

    world.room.conclude()
    assert world.told == []

    other.store.release()
    for room in (world.room, other, world.room):
        room.conclude()
    assert len({one.id for one in world.told}) == len(world.told) > 0


def test_two_looks_at_the_same_time_store_one(eve: Production) -> None:
    world = eve
    first, second = world.room.monitor.begin(), world.room.monitor.begin()

    stored = [world.room.monitor.store(look, world.time, 1e9) for look in (first, second)]
    assert stored == [True, True]

    rules = world.room._monitor_rules()
    for look in (first, second):
        world.room.monitor.go_on(look, list(world.room.store.records()), world.time, rules)
    assert [world.room.monitor.store(look, world.time, 1e9) for look in (first, second)] == [True, False]


def test_a_rebuild_keeps_the_alarms_and_an_empty_redis_raises_the_same_ones_anew(eve: Production) -> None:
    world = eve
    world.room.conclude()
    told = [one.id for one in world.told]
    before = alarms_of(world)

    assert world.room.rebuild().complete
    world.room.conclude()
    assert alarms_of(world) == before
    assert [one.id for one in world.told] == told

    empty = replace_world(world, fakeredis.FakeRedis())
    empty.room.collect()
    empty.room.conclude()
    assert {one[0] for one in alarms_of(empty)} == {one[0] for one in before}


def alarms_of(world: Production) -> list[tuple[str, float, float]]:
    (model,) = world.room.report_data()["models"]
    return [(one["id"], one["at"], one["since"]) for one in model["drift"]["alarms"]]


def test_a_report_shows_what_the_next_look_will_raise_and_stores_nothing(eve: Production) -> None:
    world = eve
    before = {key: world.client.dump(key) for key in world.client.scan_iter()}

    seen = alarms_of(world)

    assert seen
    assert {key: world.client.dump(key) for key in world.client.scan_iter()} == before
    world.room.conclude()
    assert alarms_of(world) == seen


def test_an_open_alarm_of_a_version_without_recent_predictions_is_in_every_report(eve: Production) -> None:
    world = eve
    world.room.conclude()
    world.look(START + 15 * DAY)

    report_data = world.room.report_data(0.5)

    assert report_data["models"] == []
    assert "ALARM accuracy_fell/m:1/1" in text(report_data, "Letters")
    assert " --acknowledge accuracy_fell/m:1/1" in page(report_data, "Letters", world.room.links)


def test_an_alarm_that_was_never_raised_cannot_be_acknowledged(eve: Production) -> None:
    world = eve

    with pytest.raises(ValueError, match="never raised"):
        world.room.acknowledge("accuracy_fell/m:1/2")
    world.room.acknowledge("accuracy_fell/m:1/1")

    world.room.conclude()
    assert "accuracy_fell/m:1/1" in world.room.book.known().logged


def test_what_is_answered_or_deleted_after_a_window_was_looked_at_changes_no_detector() -> None:
    world = Production(RULES)
    dice = random.Random(3)
    made = [one for day in range(5) for one in a_day(world, day, 0.05, dice)]
    world.look(START + 7 * DAY)
    state = world.client.hgetall(f"{KEY}watches")
    assert state

    for one in made[:400]:
        world.kili.answer(one, START + 7.1 * DAY, wrong=True)
    world.look(START + 7.2 * DAY)

    assert world.client.hgetall(f"{KEY}watches") == state
    (model,) = world.room.report_data()["models"]
    assert model["agreement"]["value"] < 0.9


def test_predictions_with_older_times_that_come_late_are_looked_at_once() -> None:
    world = Production(RULES)
    dice = random.Random(3)
    a_day(world, 4, 0.05, dice, count=500)
    world.look(START + 6 * DAY)
    for number in range(250):
        at = START + 2 * DAY + number
        late = Prediction(f"late{number:03}", "m:1", at, wrong=False, uploaded_at=START + 6.1 * DAY + number)
        world.kili.predict(late)
        world.kili.answer(late, START + 6.5 * DAY)
    counts = []
    for day in (7.0, 7.1, 7.2):
        world.look(START + day * DAY)
        state = json.loads(world.client.hgetall(f"{KEY}watches")[b"m:1"])
        counts.append(state["detectors"]["worse_than_confidence"][4]["seen"])

    assert counts[1:] == [750, 750]


def before_the_upgrade(world: Production, **times: dict[str, float]) -> None:
    """What workers without stored detectors left behind."""
    for name, mapping in times.items():
        world.client.hset(f"{KEY}{name}", mapping=mapping)
    world.client.delete(f"{KEY}watches", f"{KEY}alarms")


def test_after_an_upgrade_an_open_alarm_is_still_open_and_not_told_again(eve: Production) -> None:
    world = eve
    at = START + 8 * DAY
    before_the_upgrade(world, told={"accuracy_fell/m:1/4": at}, posted={"accuracy_fell/m:1/4": at})

    world.room.conclude()

    assert [one.id for one in world.told if one.detector == "accuracy_fell"] == []
    (model,) = world.room.report_data()["models"]
    assert "accuracy_fell/m:1/4" in {one["id"] for one in model["drift"]["alarms"]}
    assert model["drift"]["states"]["accuracy_fell"] == "raised"


def test_after_an_upgrade_an_open_alarm_that_cannot_be_seen_any_more_is_kept() -> None:
    world = Production(RULES)
    a_day(world, 0, 0.05, random.Random(1))
    at = START - 40 * DAY
    before_the_upgrade(world, told={"accuracy_fell/m:1/2": at}, posted={"accuracy_fell/m:1/2": at})

    world.look(START + 3 * DAY)

    assert world.told == []
    (model,) = world.room.report_data()["models"]
    (alarm,) = model["drift"]["alarms"]
    assert (alarm["id"], alarm["at"], alarm["acknowledged_at"]) == ("accuracy_fell/m:1/2", at, None)


def test_after_an_upgrade_a_drift_behind_an_acknowledged_alarm_is_told_under_a_new_number(eve: Production) -> None:
    """The lost alarm: its number was used up by an alarm that had slid out of sight."""
    world = eve
    known = {"accuracy_fell/m:1/1": START - 20 * DAY}
    before_the_upgrade(world, told=known, posted=known, acknowledged=known)

    world.room.conclude()

    assert [one.id for one in world.told if one.detector == "accuracy_fell"] == ["accuracy_fell/m:1/2"]


def test_the_number_of_a_forgotten_alarm_is_not_used_again(eve: Production) -> None:
    world = eve
    world.room.conclude()
    assert "accuracy_fell/m:1/1" in {one.id for one in world.told}
    world.look(START + 60 * DAY)
    world._pruned = 0.0
    world.look(START + 64 * DAY)
    world.look(START + 68 * DAY)
    assert world.client.hgetall(f"{KEY}alarms") == {}
    assert world.client.hgetall(f"{KEY}watches") == {}

    dice = random.Random(5)
    for day in range(70, 80):
        a_day(world, day, 0.02 if day < 74 else 0.6, dice, count=130)
    world.look(START + 82 * DAY)

    ids = [one.id for one in world.told]
    assert len(set(ids)) == len(ids)
    assert "accuracy_fell/m:1/2" in ids


def test_detectors_that_a_newer_worker_has_stored_are_not_touched(eve: Production) -> None:
    world = eve
    world.client.hset(f"{KEY}watches", "m:1", json.dumps({"version": 2}))

    with pytest.raises(StateError, match="one release"):
        world.room.conclude()

    assert json.loads(world.client.hgetall(f"{KEY}watches")[b"m:1"]) == {"version": 2}


@pytest.mark.parametrize(("scope", "factor"), [(Scope.DETECTOR, 1), (Scope.VERSION, 3), (Scope.FLEET, 60)])
def test_one_run_length_is_shared_by_what_the_scope_says(scope: Scope, factor: int) -> None:
    world = Production(replace(RULES, run_length=1000.0, scope=scope))
    world.client.hset("sim:feedback:versions", mapping={"one": 12, "other": 8})

    assert world.room._monitor_rules().run_length == 1000.0 * factor


def test_forgetting_a_project_forgets_its_detectors(eve: Production) -> None:
    world = eve
    world.room.conclude()

    world.room.store.forget()

    assert world.client.hgetall("sim:feedback:versions") == {}
    assert [key for key in world.client.scan_iter() if b"watches" in key or b"alarms" in key] == []
    assert AlarmBook(world.client, "sim:", PROJECT).known().alarms == {}
