"""``prediction-worker waiting`` on a real Redis: what waits, and how an operator ends the wait."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from tests.faults.house import prediction
from worker.cli import main
from worker.delivery import CircuitBreaker
from worker.delivery.waiting import ProjectBusy, Wait, dead_letter
from worker.environment.embedded_redis import EmbeddedRedis
from worker.kili import RefusedProject
from worker.review import ReviewDecision
from worker.settings.tree import Settings
from worker.spool import Arrival, Outcome, Settlement, Spool, Waiting
from worker.spool.dead_letters import DeadLetters
from worker.wiring import admitter_of, spool_of

WRONG = "no-such-project"
COUNT = 620
pytestmark = pytest.mark.servers("all")


@pytest.fixture
def spool(client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """A spool in which ``COUNT`` predictions of a refused project wait, and one of another project."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("KILI_API_KEY", "key")
    spool = spool_of(Settings())
    spool.admit([Arrival("", tuple(waiting(WRONG, f"a{n}", lane=n % 3) for n in range(COUNT)))])
    spool.admit([Arrival("", (waiting("good", "a"),))])
    return spool


def waiting(project: str, name: str, *, lane: int = 9, stamp: int = 1) -> Waiting:
    decision = ReviewDecision(lane, 0, "confident", "test").to_bytes()
    payload = json.dumps(prediction(project, name)).encode()
    return Waiting(project, lane, f"{project}/{name}", "m:1", stamp, "aa", payload, decision)


def call(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, ["waiting", *arguments], catch_exceptions=False, **options)


def counts(spool: Spool, project: str = WRONG) -> tuple[int, int, int]:
    for ledger in (spool.ledger(), spool.ledger(project)):
        assert (ledger.conservation_error, ledger.leased) == (0, 0)
    letters = spool.ledger().dead
    assert spool.measured() == (spool.ledger().waiting, letters)
    ledger = spool.ledger(project)
    return ledger.waiting, ledger.dead, ledger.dropped


def refuse(spool: Spool) -> CircuitBreaker:
    pauses = CircuitBreaker(spool.redis, spool.prefix, first=3600, cap=3600)
    pauses.failed(WRONG, RefusedProject("projects: no access to the project"))
    return pauses


def test_list_says_how_many_wait_since_when_and_why(spool: Spool) -> None:
    refuse(spool)
    first, second = call("list").output.splitlines()
    assert first.startswith(f"{WRONG}: {COUNT} since 20")
    assert re.search(r"refused for \d+ s: projects: no access to the project$", first)
    assert second.startswith("good: 1 since 20")
    found = {one["project"]: one for one in json.loads(call("list", "--json").output)}
    assert (found[WRONG]["waiting"], found[WRONG]["pause"]["kind"]) == (COUNT, "RefusedProject")
    assert (found["good"]["pause"], found["good"]["oldest_seconds"] < 600) == (None, True)


def test_status_says_it_too_and_what_can_be_done(spool: Spool) -> None:
    refuse(spool)
    shown = CliRunner().invoke(main, ["status"], catch_exceptions=False).output
    assert re.search(rf"PAUSED         project:{WRONG} for \d", shown)
    assert f"{COUNT} predictions wait, the oldest for" in shown
    assert f"prediction-worker waiting dead-letter {WRONG}" in shown
    found = json.loads(CliRunner().invoke(main, ["status", "--json"], catch_exceptions=False).output)
    assert found["projects"][WRONG]["oldest_seconds"] >= 0
    assert WRONG in found["pauses"][0]["remedy"]


def test_what_waits_becomes_dead_letters_that_can_be_replayed(spool: Spool) -> None:
    refuse(spool)
    assert (
        call("dead-letter", WRONG, "--yes").output == f"{COUNT} predictions of {WRONG} were moved to the dead letters\n"
    )
    assert counts(spool) == (0, COUNT, 0)
    assert spool.ledger("good").waiting == 1
    assert json.loads(CliRunner().invoke(main, ["status", "--json"]).output)["pauses"] == []
    letters = DeadLetters(spool.redis, spool.prefix)
    assert letters.causes() == {"moved_by_operator": COUNT}
    letter = next(letters.letters())
    assert letter.about["project_id"] == WRONG
    assert letter.about["external_id"] == json.loads(letter.original)["external_id"]
    assert "no access to the project" in letter.about["problem"]
    admitter = admitter_of(Settings(), spool)
    for one in list(letters.letters(limit=3)):
        admitter.replay(one)
    assert counts(spool) == (3, COUNT - 3, 0)


def test_what_waits_can_be_dropped_for_good(spool: Spool) -> None:
    assert call("drop", WRONG, "--yes").exit_code == 0
    assert counts(spool) == (0, 0, COUNT)
    assert spool.redis.exists(f"pw:asset:{WRONG}/a1") == 0


@pytest.mark.parametrize("command", ["dead-letter", "drop"])
def test_nothing_happens_without_a_word(spool: Spool, command: str) -> None:
    assert call(command, WRONG, input="n\n").exit_code == 1
    assert call(command, WRONG, "--json").exit_code == 2
    assert f"{COUNT} predictions of {WRONG} would be" in call(command, WRONG, "--dry-run").output
    found = json.loads(call(command, WRONG, "--dry-run", "--json").output)
    assert found == {"project": WRONG, "predictions": COUNT, "dry_run": True}
    assert counts(spool) == (COUNT, 0, 0)
    assert call(command, WRONG, input="y\n").exit_code == 0
    assert spool.ledger(WRONG).waiting == 0


def test_a_project_with_nothing_waiting_is_said_so(spool: Spool) -> None:
    result = call("dead-letter", "misspelt", "--yes")
    assert (result.exit_code, "nothing waits for project misspelt" in result.output) == (1, True)


def put_off(spool: Spool) -> None:
    token = spool.acquire(WRONG) or ""
    entries = spool.lease(WRONG, token, items=50, max_bytes=10**7, aging_ms=10**6)
    spool.settle(WRONG, token, [Settlement(one, Outcome.LATER, "asset_missing", delay_ms=60_000) for one in entries])
    spool.release(WRONG, token)


def die_in_a_wave(spool: Spool) -> None:
    token = spool.acquire(WRONG) or ""
    assert spool.lease(WRONG, token, items=50, max_bytes=10**7, aging_ms=10**6)
    spool.redis.delete(f"pw:lock:{WRONG}")


@pytest.mark.parametrize("before", [put_off, die_in_a_wave])
def test_what_was_put_off_and_what_a_dead_worker_had_leased_goes_too(
    spool: Spool, before: Callable[[Spool], None]
) -> None:
    before(spool)
    assert call("drop", WRONG, "--yes").output.startswith(f"{COUNT} ")
    assert counts(spool) == (0, 0, COUNT)
    assert spool.redis.exists(f"pw:later:{WRONG}", f"pw:tries:{WRONG}") == 0


def test_while_a_wave_has_the_project_nothing_is_taken_from_it(spool: Spool) -> None:
    token = spool.acquire(WRONG) or ""
    entries = spool.lease(WRONG, token, items=50, max_bytes=10**7, aging_ms=10**6)
    with pytest.raises(ProjectBusy):
        dead_letter(spool, Wait(WRONG, COUNT - 50, 50, None, None), patience=0.2)
    spool.settle(WRONG, token, [Settlement(one, Outcome.DELIVERED) for one in entries])
    spool.release(WRONG, token)
    assert counts(spool) == (COUNT - 50, 0, 0)


def test_what_comes_meanwhile_stays(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = spool.lease

    def leasing(*args: Any, **options: Any) -> Any:
        spool.admit([Arrival("", (waiting(WRONG, f"new{time.monotonic_ns()}"),))])
        return lease(*args, **options)

    monkeypatch.setattr(spool, "lease", leasing)
    assert dead_letter(spool, Wait(WRONG, COUNT, 0, None, None)) == COUNT
    waiting_now, dead, _ = counts(spool)
    assert (waiting_now > 0, dead) == (True, COUNT)


def test_a_paused_project_can_be_tried_at_once(spool: Spool) -> None:
    pauses = refuse(spool)
    assert not pauses.may_try(pauses.of(WRONG))
    assert call("retry", WRONG).output == f"{WRONG} is tried at once\n"
    assert pauses.may_try(pauses.of(WRONG))
    assert call("retry", "good").output == "good is not paused\n"
    unknown = call("retry", "no-such")
    assert (unknown.exit_code, "nothing waits for project no-such" in unknown.output) == (1, True)
