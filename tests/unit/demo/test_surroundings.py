"""The settings of the shell that starts the demo do not reach it."""

from __future__ import annotations

import os

import pytest

from worker.demo.environment import settings_environment
from worker.settings.tree import Settings

SHELL = {
    "KILI_API_KEY_FILE": "/run/secrets/real-key",
    "CELERY_BROKER_URL": "amqp://production",
    "WORKER_INTAKE__QUEUE": "other",
    "worker_default_project": "real-project",
    "https_proxy": "http://proxy.example",
}


def test_settings_and_proxies_are_put_aside_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    with settings_environment({"REDIS_URL": "redis://127.0.0.1:1/0", "KILI_API_KEY": "sandbox-key"}):
        inside = Settings()
        assert not SHELL.keys() & os.environ.keys()

    assert inside.broker == inside.redis == "redis://127.0.0.1:1/0"
    assert (inside.intake.queue, inside.default_project) == ("predictions", None)
    assert dict(os.environ) == before


def test_they_come_back_after_an_error() -> None:
    before = dict(os.environ)

    with pytest.raises(ValueError, match="inside"), settings_environment({"REDIS_URL": "redis://127.0.0.1:1/0"}):
        raise ValueError("inside")

    assert dict(os.environ) == before
