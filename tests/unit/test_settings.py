"""Settings: names that users have, files for secrets, and what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.environment.connections import broker_ssl, connect
from worker.settings.tree import Settings, environment_names, explain, mistakes


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment_names():
        monkeypatch.delenv(name, raising=False)


def test_the_names_that_users_have_are_read_and_the_broker_is_the_spools_redis_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KILI_API_KEY", "k")
    monkeypatch.setenv("KILI_API_ENDPOINT", "https://kili.example/graphql")
    monkeypatch.setenv("REDIS_URL", "redis://r:1/2")
    settings = Settings()
    assert settings.kili_api_endpoint == "https://kili.example/graphql"
    assert (settings.redis, settings.broker, settings.broker_is_redis) == ("redis://r:1/2", "redis://r:1/2", True)
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://q")
    assert (Settings().broker, Settings().broker_is_redis) == ("amqp://q", False)


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///s", "redis+socket:///s"])
def test_every_way_to_write_a_redis_is_a_redis(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert Settings().broker_is_redis


def test_users_passwords_and_tls_of_a_url_reach_the_client() -> None:
    options = connect("rediss://worker:s%40fe@h:6390/3?ssl_ca_certs=/ca.pem").connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("worker", "s@fe", 3)
    assert options["ssl_ca_certs"] == "/ca.pem"
    assert "unix" in repr(connect("redis+socket:///run/redis.sock").connection_pool.connection_class).lower()


def test_celery_checks_the_certificate_of_a_tls_broker_unless_its_url_says_otherwise() -> None:
    assert broker_ssl("rediss://h") == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert broker_ssl("redis://h") is None
    assert broker_ssl("amqp://h//") is None
    assert broker_ssl("amqps://u:p@h:5671//") == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h"}


def test_secrets_come_from_files_and_are_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    monkeypatch.setenv("KILI_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("REDIS_URL", "redis://u:hidden@h")
    settings = Settings()
    assert settings.kili_api_key is not None
    assert settings.kili_api_key.get_secret_value() == "from-a-file"
    assert "from-a-file" not in repr(settings)
    assert "hidden" not in repr(settings)
    monkeypatch.setenv("KILI_API_KEY", "from-the-environment")
    key = Settings().kili_api_key
    assert key is not None
    assert key.get_secret_value() == "from-the-environment"


def test_a_name_that_users_have_does_not_hide_its_file_when_it_is_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("KILI_API_KEY", "from-a-file"), ("REDIS_URL", "redis://h:1/2"), ("CELERY_BROKER_URL", "")):
        (tmp_path / name).write_text(value)
        monkeypatch.setenv(name, "")
        if value:
            monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = Settings()
    assert settings.kili_api_key is not None
    assert settings.kili_api_key.get_secret_value() == "from-a-file"
    assert settings.broker == settings.redis == "redis://h:1/2"


@pytest.mark.parametrize(
    ("environment", "in_force"),
    [
        ({}, "ranked"),
        ({"WORKER_REVIEW__THRESHOLD": "0.7"}, "threshold"),
        ({"WORKER_REVIEW__RULE": "threshold"}, "threshold"),
        ({"WORKER_REVIEW__RULE": "ranked", "WORKER_REVIEW__THRESHOLD": "0.7"}, "ranked"),
        ({"WORKER_REVIEW__POLICY": "p.toml", "WORKER_REVIEW__THRESHOLD": "0.7"}, "file"),
    ],
)
def test_who_set_a_threshold_keeps_it_and_everybody_else_has_the_ranked_policy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], in_force: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings().review.in_force == in_force


@pytest.mark.parametrize("value", ["/a,/b", '["/a", "/b"]', " /a , /b ,"])
def test_a_list_is_written_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORKER_INTAKE__PATH_ROOTS", value)
    assert Settings().intake.path_roots == [Path("/a"), Path("/b")]


def test_a_secret_file_that_cannot_be_read_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILI_API_KEY_FILE", "/nowhere/key")
    with pytest.raises(OSError, match="/nowhere/key"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_DELIVERY__BATCH_ITEMS", "101"),
        ("WORKER_DELIVERY__WAVE_ITEMS", "1001"),
        ("WORKER_DELIVERY__LINGER_SECOND", "1"),
        ("WORKER_SPOOL__PREFIX", ""),
        ("WORKER_KILI__BURST", "0"),
        ("WORKER_INTAKE__MAX_DEPTH", "101"),
        ("WORKER_REVIEW__THRESHOLD", "1.5"),
        ("WORKER_LOG__FORMAT", "xml"),
    ],
)
def test_what_kili_or_redis_could_not_take_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.rpartition("__")[2].lower()):
        Settings()


def test_every_setting_is_explained_under_the_name_by_which_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = explain()
    assert len({name for name, _, _ in rows}) == len(rows) > 40
    assert all(meaning for _, _, meaning in rows)
    assert {"KILI_API_KEY", "REDIS_URL", "WORKER_DELIVERY__LINGER_SECONDS"} <= {name for name, _, _ in rows}
    for name, default, _ in rows:
        if default and name.count("__") == 1 and not default.startswith("["):
            monkeypatch.setenv(name, default)
    assert Settings() == Settings.model_construct(**Settings().__dict__)


NUMBERS = [
    name for name, default, _ in explain() if default and default.replace(".", "").isdecimal() and "RATE" not in name
]


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e400", "9" * 21])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_no_clock_and_no_server_can_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (mistake,) = mistakes(refused.value)
    assert mistake.startswith(f"{name}: ")


def test_a_long_time_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SPOOL__DEAD_LETTER_DAYS", "36500")
    assert Settings().spool.dead_letter_days == 36500


@pytest.mark.parametrize(
    "name",
    ["WORKER_FEEDBACK__WEBHOOK_URL", "WORKER_DEFAULT_PROJECT", "WORKER_REVIEW__POLICY", "WORKER_PROJECTS_FILE"],
)
def test_what_is_not_set_by_default_may_be_empty(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    settings = Settings()
    assert settings.default_project is settings.projects_file is settings.review.policy is None
    assert settings.feedback.webhook_url is None


@pytest.mark.parametrize("value", ["junk", "ftp://h/", "http://", "http://h:port/"])
def test_an_address_that_no_alarm_can_be_posted_to_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORKER_FEEDBACK__WEBHOOK_URL", value)
    with pytest.raises(ValidationError, match="https://host/path"):
        Settings()
