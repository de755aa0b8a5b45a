"""What is refused at start, what is warned of, and the fix that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from worker.environment.embedded_redis import EmbeddedRedis
from worker.monitoring.checks import Check, redis_checks, setting_checks, startup_checks
from worker.settings.tree import Settings, environment_names

Read = Callable[..., dict[str, Check]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The checks of settings, by name."""

    def read(**environment: str) -> dict[str, Check]:
        for name in environment_names():
            monkeypatch.delenv(name, raising=False)
        for name, value in {"KILI_API_KEY": "key", **environment}.items():
            monkeypatch.setenv(name, value)
        return {check.name: check for check in setting_checks(Settings())}

    return read


def test_the_defaults_are_fine(read: Read) -> None:
    assert {check.level for check in read().values()} == {"ok"}


def test_check_says_which_review_policy_is_in_force_and_what_it_cannot_give(read: Read) -> None:
    assert "built-in policy: 10 % of the traffic gets a priority, 3 %" in read()["review"].problem
    assert "20 % of the traffic" in read(WORKER_REVIEW__CAPACITY="0.2")["review"].problem
    for threshold in ({"WORKER_REVIEW__THRESHOLD": "0.7"}, {"WORKER_REVIEW__RULE": "threshold"}):
        found = read(**threshold)["review"]
        assert (found.level, "no audit sample" in found.problem) == ("warning", True)
        assert "WORKER_REVIEW__RULE=ranked" in found.fix
    assert "audit sample" in read(WORKER_REVIEW__AUDIT_RATE="0")["review"].problem
    both = read(WORKER_REVIEW__RULE="ranked", WORKER_REVIEW__THRESHOLD="0.7")["review"]
    assert "no effect" in both.problem


@pytest.mark.parametrize(
    ("environment", "name", "level", "fix"),
    [
        ({"KILI_API_KEY": ""}, "KILI_API_KEY", "refused", "KILI_API_KEY_FILE"),
        ({"KILI_API_ENDPOINT": "http://kili.example/graphql"}, "KILI_API_ENDPOINT", "warning", "https"),
        ({"WORKER_INTAKE__VISIBILITY_SECONDS": "60"}, "WORKER_INTAKE__VISIBILITY_SECONDS", "refused", "at least"),
        ({"WORKER_INTAKE__PATH_ROOTS": '["/"]'}, "WORKER_INTAKE__PATH_ROOTS", "refused", "name the folders"),
        ({"WORKER_INTAKE__PATH_ROOTS": '["/no/such"]'}, "WORKER_INTAKE__PATH_ROOTS", "warning", "mount"),
        ({"WORKER_DELIVERY__WAVE_ITEMS": "50"}, "WORKER_DELIVERY__WAVE_ITEMS", "refused", "as large as"),
        ({"WORKER_INTAKE__INBOX": "predictions"}, "WORKER_INTAKE__INBOX", "refused", "another key"),
        ({"WORKER_HEARTBEAT_FILE": "/no/such/beat"}, "WORKER_HEARTBEAT_FILE", "refused", "folder"),
        ({"WORKER_HEARTBEAT_FILE": "/"}, "WORKER_HEARTBEAT_FILE", "refused", "name a file"),
        ({"WORKER_PROJECTS_FILE": "/no/such.toml"}, "WORKER_PROJECTS_FILE", "refused", "correct"),
        ({"WORKER_REVIEW__POLICY": "/no/such.toml"}, "WORKER_REVIEW__POLICY", "refused", "correct"),
    ],
)
def test_a_dangerous_setting_is_named_with_its_fix(
    read: Read, environment: dict[str, str], name: str, level: str, fix: str
) -> None:
    check = read(**environment)[name]
    assert (check.level, bool(check.problem)) == (level, True)
    assert name not in check.problem, "the line begins with it"
    assert fix in check.fix


def test_the_fix_for_the_visibility_timeout_is_accepted(read: Read) -> None:
    name = "WORKER_INTAKE__VISIBILITY_SECONDS"
    needed = read(**{name: "1"})[name].fix.rpartition(" ")[2]
    assert read(**{name: needed})[name].level == "ok"


def test_a_standstill_is_longer_than_the_longest_call(read: Read) -> None:
    name = "WORKER_HTTP__STALLED_SECONDS"
    assert read()[name].level == "ok"
    short = read(**{name: "300"})[name]
    assert short.level == "warning"
    needed = short.fix.removeprefix("set it to at least ").partition(",")[0]
    assert read(**{name: needed})[name].level == "ok"
    assert read(**{name: "300", "WORKER_HTTP__LISTEN": ""})[name].level == "ok"


def test_a_root_that_leads_to_everything_by_a_link_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "all").symlink_to("/")
    assert read(WORKER_INTAKE__PATH_ROOTS=f'["{tmp_path}/all"]')["WORKER_INTAKE__PATH_ROOTS"].level == "refused"


@pytest.fixture
def levels(
    redis_server: EmbeddedRedis, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """Checks of the running Redis, as ``name level``."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("KILI_API_KEY", "key")
    return lambda: [f"{check.name} {check.level}" for check in redis_checks(Settings())]


def test_a_redis_with_an_append_only_file_and_noeviction_is_fine(levels: Callable[[], list[str]]) -> None:
    assert levels() == ["redis ok"]


@pytest.mark.parametrize(
    ("setting", "value", "before", "level"),
    [("maxmemory-policy", "allkeys-lru", "noeviction", "refused"), ("appendonly", "no", "yes", "warning")],
)
def test_a_redis_that_could_lose_what_waits_is_named(
    levels: Callable[[], list[str]], client: redis.Redis, setting: str, value: str, before: str, level: str
) -> None:
    client.config_set(setting, value)
    try:
        assert f"redis {level}" in levels()
    finally:
        client.config_set(setting, before)


def test_a_redis_or_broker_that_is_away_is_refused(
    redis_server: EmbeddedRedis, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILI_API_KEY", "key")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:word@127.0.0.1:9/0")
    away: Any = [check for check in startup_checks(Settings()) if check.level == "refused"]
    assert [check.name for check in away] == ["broker"]
    assert "word" not in away[0].problem
