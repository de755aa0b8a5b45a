"""Who belongs to the fleet: told now and then, silent after a minute, forgotten after a day or at the end."""

from __future__ import annotations

import fakeredis
import pytest
import redis

from worker.environment import clock
from worker.monitoring.status import FORGOTTEN_SECONDS, NOTE_SECONDS, SILENT_SECONDS, Member, Presence, Roster


@pytest.fixture
def roster() -> Roster:
    return Roster(fakeredis.FakeRedis(), "pw:")


class Time:
    """A clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1e9
        for name in ("now", "monotonic"):
            monkeypatch.setattr(clock, name, lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def test_a_process_tells_now_and_then_what_it_is_about(roster: Roster, time: Time) -> None:
    presence = Presence(roster, "host-1", "worker")
    presence.tick(held=2)
    presence.tick(held=3, trouble="too soon to be told")
    (first,) = roster.members()
    time.now += NOTE_SECONDS
    presence.tick(held=3, trouble="x" * 1000)
    (second,) = roster.members()

    assert (first.held, first.trouble, first.started, first.at) == (2, "", 1e9, 1e9)
    assert (second.held, len(second.trouble), second.started, second.at) == (3, 300, 1e9, 1e9 + NOTE_SECONDS)


def test_it_is_silent_after_a_while_and_forgotten_after_a_day(roster: Roster, time: Time) -> None:
    Presence(roster, "host-1", "worker").tick()
    assert [one.is_silent for one in roster.members()] == [False]
    time.now += SILENT_SECONDS + 1
    assert [one.is_silent for one in roster.members()] == [True]
    time.now += FORGOTTEN_SECONDS
    assert roster.members() == []
    Presence(roster, "host-2", "serve").tick()
    assert [one.decode() for one in roster._redis.hkeys("pw:workers")] == ["host-2"]  # type: ignore[union-attr]


def test_one_that_ends_is_gone_at_once(roster: Roster, time: Time) -> None:
    presence = Presence(roster, "host-1", "worker")
    presence.tick()
    presence.end()

    assert roster.members() == []


def test_without_redis_it_goes_on(time: Time) -> None:
    class Away(Roster):
        def note(self, member: Member) -> None:
            raise redis.ConnectionError

        def forget(self, name: str) -> None:
            raise redis.ConnectionError

    presence = Presence(Away(fakeredis.FakeRedis(), "pw:"), "host-1", "worker")
    presence.tick()
    presence.end()
