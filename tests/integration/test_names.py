"""Names are found in sets: no command looks through every key, and what older installations left is found too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

import worker
from tests.unit.feedback.feedback_records import traffic
from tests.unit.review.review_subjects import Clock, answers
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.reading import LabelKind
from worker.feedback.store import FeedbackStore
from worker.monitoring.status import collect, text
from worker.review import FixedPolicy, RankedPolicy, RedisState, parse_policy
from worker.settings.tree import Settings
from worker.spool import Arrival, Spool, Waiting, names

pytestmark = pytest.mark.servers("all")
PROJECTS = ["a", "b:c", "[d]*"]
RULE = {"name": "all", "capacity": {"share": 0.15}, "audit": {"rate": 0.05, "uniform": 1.0}}
SETS = ("pw:names", "pw:projects", "pw:review:names:scores", "pw:review:names:counts")


def spool_of(client: redis.Redis) -> Spool:
    return Spool(client, prefix="pw:", lease_ms=1000, remember_ms=1000)


def state_of(client: redis.Redis) -> RedisState:
    return RedisState(client, prefix="pw:", refresh_seconds=0, flush_seconds=0)


def fill(client: redis.Redis) -> None:
    """What a running installation keeps."""
    for project in PROJECTS:
        spool_of(client).admit([Arrival("", (Waiting(project, 5, project, "m:1", 1, "aa", b"{}", b"{}"),))])
        store = FeedbackStore(client, "pw:", project)
        store.put(traffic(50))
        store.release()
    policy = FixedPolicy(parse_policy({"rules": [RULE]}))
    RankedPolicy(policy, state_of(client), clock=Clock()).decide_all(answers(30))


def found(client: redis.Redis) -> Any:
    state = state_of(client)
    counts = [FeedbackStore(client, "pw:", project).counts(LabelKind.INFERENCE) for project in PROJECTS]
    return spool_of(client).projects(), counts, state.sources(), state.rule_keys()


def scans(client: redis.Redis) -> int:
    """How many commands looked through the keys."""
    stats: Any = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("scan", "keys"))


def look_around(client: redis.Redis, server: EmbeddedRedis) -> None:
    """Everything that lists something."""
    assert found(client)[0] == sorted(PROJECTS)
    assert "project b:c: 1 waiting" in text(collect(Settings(redis_url=server.url)))  # type: ignore[arg-type]
    for project in PROJECTS:
        store = FeedbackStore(client, "pw:", project)
        store.put(traffic(60))
        store.forget_labels_before(max(store.counts(LabelKind.INFERENCE)))
        store.clear()


def test_nothing_looks_through_every_key(client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    fill(client)
    names.fill_once(client, "pw:")
    before = scans(client)
    look_around(client, redis_server)
    assert scans(client) == before


def test_what_an_older_installation_left_is_found_with_one_look(client: redis.Redis) -> None:
    fill(client)
    wanted = found(client)
    assert len(wanted[0]) == 3
    assert all(wanted[1:])
    client.delete(*SETS, *client.keys("pw:feedback:*:labeldays:*"))  # type: ignore[misc]
    before = scans(client)
    assert found(client) == wanted
    first = scans(client) - before
    assert first >= 1
    assert found(client) == wanted
    assert scans(client) - before == first


def test_a_full_memory_does_not_hide_what_an_older_installation_left(client: redis.Redis) -> None:
    fill(client)
    client.delete(*SETS)
    client.config_set("maxmemory", 1)
    try:
        assert spool_of(client).projects() == sorted(PROJECTS)
    finally:
        client.config_set("maxmemory", 0)


def test_an_older_worker_beside_newer_ones_hides_nothing_for_long(client: redis.Redis) -> None:
    names.fill_once(client, "pw:")
    fill(client)
    client.delete("pw:projects", *client.keys("pw:feedback:*:labeldays:*"))  # type: ignore[misc]
    assert spool_of(client).acquire("a") is not None
    assert spool_of(client).projects() == ["a"]
    store = FeedbackStore(client, "pw:", "a")
    assert store.put(traffic(50)) == set()
    assert sum(store.counts(LabelKind.INFERENCE).values()) == 50


def test_no_module_but_the_one_that_fills_the_sets_scans() -> None:
    root = Path(worker.__file__).parent
    asking = re.compile(r"\.scan_iter\(|\.scan\(|\.keys\(f?[\"']|[\"'](SCAN|KEYS)[\"']")
    places = {path.name for path in root.rglob("*.py") if asking.search(path.read_text("utf-8"))}
    assert places == {"names.py"}
