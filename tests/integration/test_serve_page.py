"""The operator's page of a real ``serve``: beside the HTTP source, renewed while somebody looks, ended with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from click.testing import CliRunner
from pydantic import SecretStr

from tests.awaiting import PATIENCE, awaited, free_port
from tests.integration.feedback_world import world as feedback_world
from tests.nursery import spawn
from tests.unit.page.world import READ_TOKEN, TOKEN, Browser, message
from worker.cli import main
from worker.environment.embedded_redis import EmbeddedRedis
from worker.monitoring.status import Roster
from worker.page.application import Page
from worker.settings.source_groups import PageSettings
from worker.settings.tree import Settings
from worker.spool import Arrival, SampledOut
from worker.wiring import spool_of

PRODUCER = "producer-token-0123456789"


class Served:
    """A ``serve`` of its own with a log."""

    def __init__(self, url: str, log: Path, **settings: str) -> None:
        port = free_port()
        given = {"REDIS_URL": url, "WORKER_SERVE__PORT": str(port), "WORKER_SERVE__TOKENS": PRODUCER, **settings}
        self.log = log
        with log.open("ab") as file:
            command = [sys.executable, "-m", "worker", "serve"]
            environment = {**os.environ, **given}
            self.process = spawn(command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE)
        awaited(self.listens, f"it listens: {log.read_text()}")

    def listens(self) -> bool:
        try:
            return self.client.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def log_in(self, token: str) -> httpx.Response:
        return self.client.post("/page/login", data={"token": token, "name": "Ada", "next": "/"})

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture
def served(client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Served]:
    tokens = {"WORKER_PAGE__TOKEN": TOKEN, "WORKER_PAGE__READ_TOKEN": READ_TOKEN}
    one = Served(redis_server.url, tmp_path / "serve.log", **tokens)
    yield one
    one.close()


def test_page_and_source_share_an_address(served: Served, client: redis.Redis) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": message()}
    headers = {"Content-Type": "application/cloudevents+json", "Authorization": f"Bearer {PRODUCER}"}

    assert served.client.get("/").headers["location"] == "/page/login?next=%2F"
    assert served.client.post("/", content=json.dumps(event), headers=headers).status_code == 202
    assert served.client.post("/", content=json.dumps(event)).status_code == 401
    ours = {"Authorization": f"Bearer {TOKEN}"}
    assert served.client.post("/", content=json.dumps(event), headers=ours).status_code == 401
    assert served.log_in(TOKEN).status_code == 303
    page = served.client.get("/")
    assert page.status_code == 200
    assert "Ada, operator" in page.text
    assert served.client.get("/openapi.json").json()["openapi"]
    assert client.xlen("predictions:inbox") == 1


def test_without_a_token_there_is_no_page(client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    one = Served(redis_server.url, tmp_path / "serve.log")
    try:
        for path in ("/", "/page/login", "/page/letters", "/page/static/page.css"):
            response = one.client.get(path)
            assert response.status_code in (404, 405)
            assert response.headers["content-type"] == "application/problem+json"
    finally:
        one.close()


def test_a_page_whose_packages_are_missing_says_which(
    redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("worker.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    given = {"REDIS_URL": redis_server.url, "WORKER_SERVE__PORT": "0", "WORKER_PAGE__TOKEN": TOKEN}
    result = CliRunner().invoke(main, ["serve"], env=given)

    assert result.exit_code == 1
    assert "the operator's page needs jinja2: pip install 'kili-prediction-worker[http]'" in result.output


def test_figures_come_by_themselves_and_the_process_ends_although_somebody_looks(
    served: Served, redis_server: EmbeddedRedis
) -> None:
    served.log_in(READ_TOKEN)
    spool = spool_of(Settings(redis_url=SecretStr(redis_server.url)))
    waiting: list[str] = []
    with served.client.stream("GET", "/page/live/overview") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        for line in lines:
            if found := re.search(r"<dt>Received</dt><dd>(\d+)</dd>", line):
                waiting.append(found[1])
                if len(waiting) == 1:
                    spool.admit([Arrival("", (SampledOut("p"),), source="http")])
                if found[1] == "1":
                    break
        assert (waiting[0], waiting[-1]) == ("0", "1")
        served.process.send_signal(signal.SIGTERM)
        list(lines)  # it ends in order: one that was open until the limit of the process would be cut
    assert served.process.wait(PATIENCE) == 0


def test_the_fleet_knows_who_serves_until_it_ends(served: Served, redis_server: EmbeddedRedis) -> None:
    spool = spool_of(Settings(redis_url=SecretStr(redis_server.url)))
    roster = Roster(spool.redis, spool.prefix)
    awaited(lambda: [one.kind for one in roster.members()] == ["serve"], "it says that it is there")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE) == 0

    assert roster.members() == []


def test_tokens_and_marks_are_in_no_log(served: Served) -> None:
    for token in (TOKEN, READ_TOKEN, "a wrong one that is long"):
        served.log_in(token)
    served.client.get("/")
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(PATIENCE)
    log = served.log.read_text()

    assert '"action": "logged_in"' in log
    assert '"action": "login_refused"' in log
    for secret in (TOKEN, READ_TOKEN, "a wrong one", *served.client.cookies.values()):
        assert secret not in log


def test_the_report_is_that_of_now(redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> None:
    with feedback_world() as place:
        place.predict("digits:1", range(60))
        place.label(30)
        given: dict[str, Any] = {"redis_url": SecretStr(redis_server.url), "kili_api_endpoint": place.sandbox.endpoint}
        given["kili_api_key"] = SecretStr(place.sandbox.api_key)
        settings = Settings(page=PageSettings(token=SecretStr(TOKEN)), **given)
        spool = spool_of(settings)
        spool.admit([Arrival("", (SampledOut(place.project),), source="http")])
        someone = Browser(Page(settings, spool, threading.Event()).application())
        someone.log_in(TOKEN)
        response = someone.get(f"/page/report?project={place.project}")

    assert response.status_code == 200
    assert "Model versions" in response.text
    assert "script-src" not in response.headers["content-security-policy"]
    assert "default-src 'none'" in response.headers["content-security-policy"]
