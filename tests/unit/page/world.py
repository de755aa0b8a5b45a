"""A fleet in one Redis with everything that the page can show, names with markup in them too; and a browser."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from html import unescape
from typing import Any

import httpx
import redis
from pydantic import SecretStr

from tests.unit.feedback.feedback_records import traffic
from tests.unit.feedback.kili_in_memory import INTERFACE, START
from worker.environment import clock
from worker.feedback.alarms import AlarmBook
from worker.feedback.report_data import ReportQuestion, report_data_of
from worker.feedback.service import summary_of
from worker.kili import CallRecord
from worker.kili.budget import CallCounter
from worker.monitoring.status import Member, Roster
from worker.page.application import Page
from worker.settings.source_groups import PageSettings
from worker.settings.tree import Settings
from worker.spool import Arrival, Dead, Spool, Waiting
from worker.spool.dead_letters import Cause, Sender, write_letter
from worker.wiring import spool_of

TOKEN = "operator-token-0123456789"
READ_TOKEN = "reader-token-0123456789ab"
HOSTILE = "<script>alert('x')</script>\"'&"
DAY = 86_400.0


def settings_of(url: str, **page: Any) -> Settings:
    """Settings of a fleet with a page for operators and readers."""
    tokens = {"token": SecretStr(TOKEN), "read_token": SecretStr(READ_TOKEN)}
    return Settings(redis_url=SecretStr(url), kili_api_key=SecretStr("key"), page=PageSettings(**{**tokens, **page}))


@cache
def drifted() -> dict[str, Any]:
    """Report data of two versions, the second one drifted."""
    first = traffic(400, step=300)
    second = traffic(
        1500, model=f"m:{HOSTILE}", at=START + 2 * DAY, first=1000, step=300, cows_are_dogs_from=600, seed=5
    )
    return report_data_of(first + second, INTERFACE, ReportQuestion(now=START + 20 * DAY, run_length=10_000.0))


def message(name: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    """A prediction that admission takes."""
    return {
        "project_id": "p-1",
        "external_id": name,
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {"RED": 0.9, "BLUE": 0.1}},
        "predicted_at": "2026-11-23T10:15:00Z",
        **changes,
    }


def dead(cause: Cause, original: bytes, *, external_id: str = "a.jpg", project: str = "p-1") -> Dead:
    """A dead letter."""
    sender = Sender(project, external_id, "m:1", "message-1")
    return Dead(project, cause.slug, write_letter(cause, sender, stage="intake", source="stream"), original)


WRONG = Cause("invalid_message", "message", "model", "is missing", "add the model's name and version")
REFUSED = Cause("refused_by_kili", "refused", "asset", "Kili refused it", "look at the words", f"No: {HOSTILE}")


class World:
    """A fleet that is there by name only: nothing runs."""

    def __init__(self, url: str, **page: Any) -> None:
        self.settings = settings_of(url, **page)
        self.spool: Spool = spool_of(self.settings)
        self.redis: redis.Redis = self.spool.redis
        self.stop = threading.Event()
        self.page = Page(self.settings, self.spool, self.stop)
        self.app = self.page.application()

    def fill(self) -> None:
        """Everything that there can be."""
        self.wait_for(["p-1", HOSTILE], 3)
        self.bury()
        self.pause("project:p-1", "RefusedProject", f"Kili says {HOSTILE}")
        self.pause("endpoint", "Unavailable", "no connection")
        self.raise_alarm("p-1")
        self.count_calls()
        self.enrol()

    def wait_for(self, projects: Sequence[str], each: int) -> None:
        """Predictions that wait, some of them in the first lane."""
        items = tuple(
            Waiting(project, number % 2 * 5, f"{project}/{number}", "m:1", number, f"{number:02x}", b"{}", b"{}")
            for project in projects
            for number in range(each)
        )
        self.spool.admit([Arrival("", items, source="stream")])

    def bury(self) -> None:
        """Three letters: one that an edit mends, one of Kili's, one that is no text."""
        self.spool.admit(
            [
                Arrival("", (dead(WRONG, json.dumps(message(model=None)).encode()),), source="http"),
                Arrival("", (dead(REFUSED, b"{}", external_id=HOSTILE, project=HOSTILE),), source="http"),
                Arrival("", (dead(Cause("not_json", "message", "body", HOSTILE), b"\xff\x00"),), source="http"),
            ]
        )

    def pause(self, scope: str, kind: str, reason: str) -> None:
        """A pause as the circuit breaker stores it."""
        now = int(clock.now() * 1000)
        row = {"kind": kind, "reason": reason, "since": now - 90_000, "until": now + 30_000, "failures": 4}
        self.redis.hset(f"{self.spool.prefix}pauses", scope, json.dumps(row))

    def raise_alarm(self, project: str) -> str:
        """Figures of two versions, the second one drifted, as the feedback room stores them; the alarm's id."""
        report_data = drifted()
        alarms = [alarm for model in report_data["models"] for alarm in model["drift"]["alarms"]]
        with self.redis.pipeline() as pipe:
            AlarmBook(self.redis, self.spool.prefix, project).keep(pipe, alarms)
            pipe.set(f"{self.spool.prefix}feedback:{project}:summary", json.dumps(summary_of(report_data)))
            pipe.execute()
        return str(alarms[0]["id"])

    def count_calls(self) -> None:
        """Calls of Kili, one failed."""
        counter = CallCounter(self.redis, self.spool.prefix)
        for outcome, status in (("ok", 200), ("RateLimited", 429)):
            counter.observe(CallRecord("createLabels", 3, 0.4, status, outcome, 1, 100, 0.0))

    def enrol(self) -> None:
        """Two processes, one silent."""
        now, roster = clock.now(), Roster(self.redis, self.spool.prefix)
        roster.note(Member("host-1", "worker", "0.1.0", now - 500, now, 2, ""))
        roster.note(Member(f"host-2{HOSTILE}", "worker", "0.1.0", now - 500, now - 300, 0, HOSTILE))

    def browser(self, token: str | None = TOKEN) -> Browser:
        """Somebody who looks at the page, logged in unless there is no token."""
        found = Browser(self.app)
        if token is not None:
            assert found.log_in(token).status_code == 303
        return found


class Browser:
    """Asks as a browser does: with cookies, and forms as they are on the page. Redirects are not followed."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.cookies: dict[str, str] = {}

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("192.0.2.7", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://here", cookies=self.cookies) as client:
                return await client.request(method, path, **options)

        response = asyncio.run(call())
        self.cookies |= dict(response.cookies)
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Look at a page."""
        return self.request("GET", path, **options)

    def post(self, path: str, form: Mapping[str, Any], **options: Any) -> httpx.Response:
        """Send a form as it is given."""
        return self.request("POST", path, data=dict(form), **options)

    def log_in(self, token: str, **more: str) -> httpx.Response:
        """Send the form of the login."""
        return self.post("/page/login", {"token": token, "name": "Ada", "next": "/", **more})

    def send(self, page: httpx.Response, **changes: Any) -> httpx.Response:
        """Send the form in the main part of a page, with what it holds and what is changed."""
        action, fields = form_of(page.text)
        return self.post(action, {**fields, **changes})


def form_of(text: str) -> tuple[str, dict[str, Any]]:
    """Where the form in the main part of a page leads, and what it holds."""
    main = text.partition("<main")[2]
    form = re.search(r'<form[^>]*method="post"[^>]*action="([^"]+)"(.*?)</form>', main, re.DOTALL)
    assert form is not None, text
    fields: dict[str, Any] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[2]):
        fields.setdefault(name, []).append(unescape(value))
    for name, value in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form[2], re.DOTALL):
        fields[name] = [unescape(value)]
    return form[1], fields


def members(world: World) -> list[dict[str, Any]]:
    """What the roster knows."""
    return [asdict(one) for one in Roster(world.redis, world.spool.prefix).members()]
