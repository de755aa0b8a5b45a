"""One admission for both doors, on a real Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from worker.contract import ReadingLimits
from worker.contract.schemas import EXAMPLE
from worker.intake import Admitter, Rules
from worker.intake import admission as admission_room
from worker.intake import parsing as understanding_room
from worker.intake.parsing import InboxEntry
from worker.projects.configuration import Projects
from worker.review import ReviewDecision, Subject, ThresholdPolicy
from worker.spool import INBOX_GROUP, Leased, Spool
from worker.spool.dead_letters import DeadLetter, DeadLetters

pytestmark = pytest.mark.servers("all")

INBOX = "inbox"


class Desk:
    """An admitter, its spool, and an inbox in the same Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.spool = Spool(client, prefix="a:", lease_ms=60_000, remember_ms=60_000)
        self.letters = DeadLetters(client, "a:")
        client.xgroup_create(INBOX, INBOX_GROUP, id="0", mkstream=True)

    def admitter(self, policy: Any = ThresholdPolicy(0.8), **rules: Any) -> Admitter:
        return Admitter(self.spool, policy, Rules(**rules), Projects(None))

    def entries(self, *fields: dict[bytes, bytes]) -> list[InboxEntry]:
        ids: list[Any] = [self.client.xadd(INBOX, dict(one)) for one in fields]
        return [InboxEntry(entry_id.decode(), one) for entry_id, one in zip(ids, fields, strict=True)]

    def admit(self, *messages: Any, **rules: Any) -> None:
        raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
        self.admitter(**rules).admit_entries(self.entries(*({b"payload": one} for one in raw)), inbox=INBOX)
        assert self.client.xlen(INBOX) == 0
        assert self.spool.ledger().conservation_error == 0

    def letter(self) -> DeadLetter:
        (letter,) = self.letters.letters()
        return letter

    def waiting(self, project: str) -> list[Leased]:
        token = self.spool.acquire(project)
        assert token is not None
        return self.spool.lease(project, token, items=1000, max_bytes=10**9, aging_ms=60_000)


@pytest.fixture
def desk(client: redis.Redis) -> Desk:
    return Desk(client)


def changed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**EXAMPLE, **changes}.items() if value is not None}


def test_a_prediction_waits_in_the_lane_that_the_policy_chose_with_its_bytes_unchanged(desk: Desk) -> None:
    raw = json.dumps(EXAMPLE, indent=3).encode()
    desk.admit(raw)
    (entry,) = desk.waiting(EXAMPLE["project_id"])
    decision = ReviewDecision.from_bytes(entry.decision)
    assert (entry.payload, entry.model) == (raw, "car-colour:2026-11-01")
    assert (entry.lane, decision.priority, decision.confidence) == (decision.lane, 39, 0.61)


def test_the_message_s_own_confidence_goes_before_that_of_its_output(desk: Desk) -> None:
    desk.admit(changed(confidence=0.99))
    (entry,) = desk.waiting(EXAMPLE["project_id"])
    assert ReviewDecision.from_bytes(entry.decision).priority == 0


def test_a_message_without_a_project_goes_to_the_default_or_dies(desk: Desk) -> None:
    desk.admit(changed(project_id=None), default_project="home")
    assert len(desk.waiting("home")) == 1
    desk.admit(changed(project_id=None))
    assert (desk.letter().about["field"], desk.letter().project) == ("project_id", "-")


def test_a_moment_in_the_far_future_is_refused_for_it_would_win_for_ever(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.admit(changed(predicted_at=(now + timedelta(hours=23)).isoformat()))
    desk.admit(changed(predicted_at=(now + timedelta(hours=25)).isoformat()))
    assert desk.letter().about["field"] == "predicted_at"


def test_a_path_is_honoured_below_the_roots_alone(desk: Desk, tmp_path: Path) -> None:
    inside, outside = str(tmp_path / "in" / "a.png"), str(tmp_path / "out.png")
    roots = (tmp_path / "in",)
    desk.admit(changed(asset={"path": inside}), path_roots=roots)
    assert desk.letters.count() == 0
    for path, allowed in ((outside, roots), (inside, ())):
        desk.admit(changed(asset={"path": path}), path_roots=allowed)
    assert desk.letters.causes() == {"path_refused": 2}


def test_a_dead_letter_tells_whose_message_it_was_as_far_as_that_can_be_read(desk: Desk) -> None:
    desk.admit(changed(message_id="trace-1", output={}))
    about = desk.letter().about
    assert (about["project_id"], about["external_id"]) == (EXAMPLE["project_id"], EXAMPLE["external_id"])
    assert (about["model"], about["message_id"]) == ("car-colour:2026-11-01", "trace-1")
    assert about["stage"] == "intake"


def test_caps_are_those_of_the_settings(desk: Desk) -> None:
    desk.admit(EXAMPLE, limits=ReadingLimits(max_bytes=100))
    desk.admit(EXAMPLE, limits=ReadingLimits(max_depth=1))
    assert desk.letters.causes() == {"too_deep": 1, "too_large": 1}


def test_an_entry_without_a_payload_is_kept_as_it_came(desk: Desk) -> None:
    desk.admitter().admit_entries(desk.entries({b"body": b"\xff", b"n": b"1"}), inbox=INBOX)
    letter = desk.letter()
    assert letter.cause == "no_payload"
    assert json.loads(letter.original) == {"body": "\ufffd", "n": "1"}


def test_a_batch_becomes_one_prediction_for_each_row_and_no_more_bytes_than_the_cap(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[0.9, 0.1], [0.2, 0.8]]
    batch = {key: value for key, value in EXAMPLE.items() if key not in ("external_id", "asset", "output")}
    output = {"payload": {"predictions": rows}, "format": "tf-serving-rows", "classes": ["RED", "BLACK"]}
    batch |= {"external_ids": ["a", "b"], "output": output}
    desk.admit(batch)
    found = [json.loads(entry.payload)["external_id"] for entry in desk.waiting(EXAMPLE["project_id"])]
    assert sorted(found) == ["a", "b"], desk.letter().about
    monkeypatch.setattr(understanding_room, "BATCH_BYTES", 500)
    desk.admit({**batch, "external_ids": ["c", "d"]})
    assert desk.letter().about["field"] == "external_ids"


class Broken:
    """A policy that remembers how often it was asked, and fails on some assets."""

    def __init__(self, *fails_on: str, error: type[Exception] = KeyError) -> None:
        self.asked: list[int] = []
        self._fails_on = fails_on
        self._error = error

    def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
        self.asked.append(len(subjects))
        for subject in subjects:
            if subject.external_id in self._fails_on:
                raise self._error(subject.external_id)
        return ThresholdPolicy(0.8).decide_all(subjects)


def test_a_mistake_of_ours_buries_the_message_and_tells_the_place_but_not_the_payload(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    entries = desk.entries({b"payload": json.dumps(changed(external_id="a-name")).encode()})
    desk.admitter(Broken("a-name")).admit_entries(entries, inbox=INBOX)
    (record,) = caplog.records
    assert desk.letter().cause == "not_understood"
    assert "KeyError at test_intake_admission.py" in desk.letter().about["problem"]
    assert "a-name" not in record.getMessage()
    assert record.exc_info is None


def numbered(count: int) -> list[dict[bytes, bytes]]:
    return [{b"payload": json.dumps(changed(external_id=str(number))).encode()} for number in range(count)]


def test_the_policy_is_asked_once_about_all_messages_of_a_read(desk: Desk) -> None:
    policy = Broken()
    desk.admitter(policy).admit_entries(desk.entries(*numbered(50)), inbox=INBOX)
    assert policy.asked == [50]
    assert desk.spool.ledger().waiting == 50


def test_no_more_is_held_for_a_decision_than_the_cap(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_room, "DECIDED_ITEMS", 4)
    policy = Broken()
    desk.admitter(policy).admit_entries(desk.entries(*numbered(10)), inbox=INBOX)
    assert policy.asked == [4, 4, 2]
    assert desk.spool.ledger().waiting == 10


def test_a_message_that_the_policy_fails_on_dies_alone_and_its_letter_tells_whose_it_was(desk: Desk) -> None:
    desk.admitter(Broken("3", "5")).admit_entries(desk.entries(*numbered(8)), inbox=INBOX)
    assert desk.letters.causes() == {"not_understood": 2}
    assert sorted(str(letter.about["external_id"]) for letter in desk.letters.letters()) == ["3", "5"]
    assert len(desk.waiting(EXAMPLE["project_id"])) == 6


def test_a_policy_that_answers_too_little_buries_what_it_does_not_answer_on(desk: Desk) -> None:
    class Forgetful(Broken):
        def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
            return super().decide_all([subject for subject in subjects if subject.external_id != "1"])

    desk.admitter(Forgetful()).admit_entries(desk.entries(*numbered(3)), inbox=INBOX)
    (letter,) = desk.letters.letters()
    assert letter.about["external_id"] == "1"
    assert desk.spool.ledger().waiting == 2


def test_a_policy_whose_memory_is_away_leaves_the_messages_in_the_inbox(desk: Desk) -> None:
    with pytest.raises(redis.ConnectionError):
        desk.admitter(Broken("1", error=redis.ConnectionError)).admit_entries(desk.entries(*numbered(3)), inbox=INBOX)
    assert desk.client.xlen(INBOX) == 3
    assert desk.spool.ledger().received == 0


@pytest.mark.parametrize(("is_backlog", "expected"), [(False, [5, 2]), (True, [3, 3, 1])])
def test_many_entries_are_admitted_in_transactions_of_bounded_size(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, expected: list[int], *, is_backlog: bool
) -> None:
    monkeypatch.setattr(admission_room, "TRANSACTION_ITEMS", 5)
    monkeypatch.setattr(admission_room, "BACKLOG_ITEMS", 3)
    sizes: list[int] = []
    start = desk.spool.start_admission

    def counting(arrivals: Any, **options: Any) -> Any:
        sizes.append(len(arrivals))
        return start(arrivals, **options)

    monkeypatch.setattr(desk.spool, "start_admission", counting)
    desk.admitter().admit_entries(desk.entries(*numbered(7)), inbox=INBOX, is_backlog=is_backlog)
    assert sizes == expected
    assert desk.spool.ledger().waiting == 7


def test_a_replayed_celery_message_is_read_again_whole_and_only_once(desk: Desk) -> None:
    body = json.dumps([[[changed(external_id="1"), changed(external_id="2")]], {}, {}]).encode()
    headers = {"task": "predictions.ingest", "expires": "2020-01-01T00:00:00+00:00"}
    envelope = {
        "body": base64.b64encode(body).decode(),
        "headers": headers,
        "content-type": "application/json",
        "properties": {"body_encoding": "base64"},
    }
    desk.admitter().admit_entries(desk.entries({b"envelope": json.dumps(envelope).encode()}), inbox=INBOX)
    letter = desk.letter()
    assert letter.cause == "expired"
    assert desk.admitter().replay(letter).admitted == 2
    assert desk.admitter().replay(letter).skipped == 2
    (first, _) = desk.waiting(EXAMPLE["project_id"])
    assert [event["cause"] for event in ReviewDecision.history_in(first.decision)] == ["expired"]
