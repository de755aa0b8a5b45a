"""What a dead letter tells, and in which order letters are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis

from worker.spool import Admission, Arrival, Dead, Spool
from worker.spool.dead_letters import Cause, DeadLetters, Sender, write_letter

CAUSE = Cause("refused_by_kili", "refused", "appendManyLabels", "x" * 5000, "mend it" * 1000, "w" * 5000)
SENDER = Sender("p", "cam/1.jpg", "m:1", "trace")


def letter(**more: Any) -> dict[str, Any]:
    return dict(json.loads(write_letter(CAUSE, SENDER, stage="label", **more)))


def test_a_letter_says_whose_message_it_was_why_it_died_and_where() -> None:
    found = letter()
    assert {name: found[name] for name in ("project_id", "external_id", "model", "message_id")} == {
        "project_id": "p",
        "external_id": "cam/1.jpg",
        "model": "m:1",
        "message_id": "trace",
    }
    assert (found["cause"], found["kind"], found["field"], found["stage"]) == (
        "refused_by_kili",
        "refused",
        "appendManyLabels",
        "label",
    )


def test_words_are_cut_so_that_a_letter_stays_short() -> None:
    assert len(write_letter(CAUSE, SENDER, stage="label")) < 8000


def test_the_history_goes_on_and_does_not_grow_for_ever() -> None:
    history: list[dict[str, Any]] = []
    for number in range(100):
        history = letter(history=history)["history"]
        assert len(history) == min(number + 1, 51)
    assert {event["cause"] for event in history} == {"refused_by_kili"}


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with fakeredis.FakeRedis() as client:
        yield client


@pytest.fixture
def letters(client: redis.Redis) -> DeadLetters:
    spool = Spool(client, prefix="d:", lease_ms=1000, remember_ms=1000)
    for number, cause in enumerate(["a", "b", "a", "c", "a", "b"] * 3):
        about = write_letter(Cause(cause, "message", "f", "p"), SENDER, stage="intake")
        spool.admit([Arrival("", (Dead("p", cause, about, f"original {number}".encode()),))])
    return DeadLetters(client, "d:")


def test_letters_are_counted_by_cause_the_most_frequent_first(letters: DeadLetters) -> None:
    assert list(letters.causes().items()) == [("a", 9), ("b", 6), ("c", 3)]
    assert letters.count() == 18


def test_letters_are_read_oldest_first_of_all_causes_or_of_one_and_no_more_than_asked_for(letters: DeadLetters) -> None:
    originals = [one.original.decode() for one in letters.letters()]
    assert originals == [f"original {number}" for number in range(18)]
    assert [one.original.decode() for one in letters.letters("c")] == ["original 3", "original 9", "original 15"]
    assert [one.original.decode() for one in letters.letters(limit=4)] == originals[:4]
    assert letters.ids("a", limit=2) == [one.id for one in letters.letters("a")][:2]


def test_a_letter_that_is_gone_is_none_and_its_summary_leaves_the_message_out(letters: DeadLetters) -> None:
    (first,) = letters.letters(limit=1)
    assert letters.get("1-1") is None
    assert letters.get(first.id) == first
    assert "original 0" not in json.dumps(first.summary())
    assert "original 0" not in repr(first)
    assert first.summary()["original_bytes"] == len("original 0")


def test_the_words_of_a_replay_leave_out_nothing_that_became_of_a_letter() -> None:
    assert Admission(2, 1, 3, 4).text() == "2 admitted, 1 superseded, 3 dead, 4 gone"
    assert Admission(0, 0, 0, 0, sampled_out=1).text() == "0 admitted, 0 superseded, 0 dead, 0 gone, 1 sampled out"
