"""The fleet on the page: its status, the part that is sent again whenever it has changed, and what can be looked at.

What ``status`` collects is read at most once a second. Those who look have threads of their own, so that they never
take the place of those who send. Rows are sorted and cut here, not computed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import anyio
import redis
from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from worker.environment import clock
from worker.feedback.drift import State
from worker.monitoring.exporter import Rate, Rates
from worker.monitoring.status import Presence, Roster, collect
from worker.page.access import AuditLog
from worker.page.answers import HEADERS, Asked, NotPossible, Values, plain
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.spool.dead_letters import LETTER_ID
from worker.wiring import inbox_of

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MOST = 10
_LIMITER = anyio.CapacityLimiter(MOST)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in one of the threads."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=_LIMITER)


AGE_SECONDS = 1.0
WINDOW_SECONDS = 300.0
WATCH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found, the rate of each project as far as it is known, and when (seconds since the epoch)."""

    found: dict[str, Any]
    rates: dict[str, Rate]
    at: float


class FleetStatus:
    """Looks at the fleet; threads share it.

    Args:
        settings: of the fleet.
        spool: to ask.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._inbox = inbox_of(settings)
        self._rates = Rates(WINDOW_SECONDS)
        self._guard = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._looked = float("-inf")

    def snapshot(self) -> Snapshot:
        """The figures, at most a second old. Raises redis.RedisError."""
        with self._guard:
            if self._snapshot is None or clock.monotonic() - self._looked > AGE_SECONDS:
                found = collect(self._settings, self._spool, self._inbox)
                self._looked = clock.monotonic()
                self._snapshot = Snapshot(found, self._rates.measure(found["projects"], self._looked), clock.now())
            return self._snapshot

    def watch(self, stop: threading.Event, presence: Presence) -> None:
        """Look now and then although nobody asks, so that rates are known when somebody does; until stopped."""
        while True:
            try:
                presence.tick()
                self.snapshot()
            except (redis.RedisError, OSError) as error:
                logger.debug("not looked: %s", error, extra={"action": "figures_wait"})
            if clock.wait(stop, WATCH_SECONDS):
                presence.end()
                return


EVERY_SECONDS = 2.0
STOP_SECONDS = 0.25
BEAT_SECONDS = 15.0
"""So often something is sent although nothing has changed, so that a connection that is gone is noticed."""

MOST_STREAMS = 50
LONGEST_SECONDS = 1800.0
"""After this time the browser connects anew, and its session is looked at again."""


class Live:
    """Sends parts of pages to those who look.

    Args:
        stop: set when the process ends.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._open = 0

    def response(self, part: Callable[[], str]) -> Response:
        """A stream of what ``part`` renders."""
        if self._open >= MOST_STREAMS:
            return plain("too many people look at the page", 503)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(part), headers=headers, media_type="text/event-stream")

    async def _events(self, part: Callable[[], str]) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            begun, sent, reported = clock.monotonic(), "", clock.monotonic()
            while not self._stop.is_set() and clock.monotonic() - begun < LONGEST_SECONDS:
                text = await self._rendered(part)
                if text and text != sent:
                    sent, reported = text, clock.monotonic()
                    yield event("change", text)
                elif clock.monotonic() - reported > BEAT_SECONDS:
                    reported = clock.monotonic()
                    yield b": still here\n\n"
                await self._rest()
        finally:
            self._open -= 1

    async def _rendered(self, part: Callable[[], str]) -> str:
        """The part, or nothing while Redis is away: what is on the screen stays, with its time."""
        try:
            return await in_thread(part)
        except redis.RedisError:
            return ""

    async def _rest(self) -> None:
        end = clock.monotonic() + EVERY_SECONDS
        while not self._stop.is_set() and clock.monotonic() < end:
            await asyncio.sleep(STOP_SECONDS)


def event(name: str, text: str) -> bytes:
    """One event; every line of its text is a line of data."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode()


FIRST_PROJECTS = 15
ROWS = 50
ENTRIES = 100
PREFIXES = {"project:": "project", "worker:": "worker"}


class Views:
    """What can be looked at.

    Args:
        status: of the fleet.
        spool: asked for the processes.
        audit: the log.
    """

    def __init__(self, status: FleetStatus, spool: Spool, audit: AuditLog) -> None:
        self._status = status
        self._roster = Roster(spool.redis, spool.prefix)
        self._audit = audit

    def overview(self, _asked: Asked) -> Values:
        """What matters now: what is wrong, how much waits, which projects have most of it."""
        snapshot = self._status.snapshot()
        rows = project_rows(snapshot)
        found = snapshot.found
        return {
            "at": snapshot.at,
            "found": found,
            "pauses": pause_rows(found),
            "rows": rows[:FIRST_PROJECTS],
            "more": len(rows) - FIRST_PROJECTS,
            "rates": _summed(snapshot.rates),
            "oldest": max((row["oldest_seconds"] for row in rows), default=0.0),
            "drain": max((row["rate"].drain_seconds for row in rows if row["rate"]), default=None),
            "dead": sum(found["dead_letters"].values()),
            "raised": sum(len(raised_of(one)) for one in found["feedback"].values()),
        }

    def projects(self, asked: Asked) -> Values:
        """Every project, page by page, or those whose id holds what is searched."""
        snapshot, searched = self._status.snapshot(), asked.text("search").strip()
        rows = [row for row in project_rows(snapshot) if searched.lower() in row["name"].lower()]
        return {"at": snapshot.at, "search": searched, **paged(rows, asked)}

    def project(self, asked: Asked) -> Values:
        """One project: its lanes, its counters, its model versions."""
        snapshot, name = self._status.snapshot(), asked.needs("id")
        if name not in snapshot.found["projects"]:
            raise NotPossible(404, "no message has come for this project", "look at the list of projects")
        (row,) = [one for one in project_rows(snapshot) if one["name"] == name]
        pauses = [one for one in pause_rows(snapshot.found) if one["scope"] in (f"project:{name}", "endpoint")]
        models = [(model, one) for model, one in snapshot.found["feedback"].get(name, {"models": {}})["models"].items()]
        return {"at": snapshot.at, "row": row, "pauses": pauses, "models": list(reversed(models))}

    def fleet(self, _asked: Asked) -> Values:
        """Processes, sources, calls."""
        snapshot = self._status.snapshot()
        found = snapshot.found
        inbox = found["backlogs"].get("inbox", 0)
        waiting = {name: count for name, count in found["backlogs"].items() if name != "inbox" and count}
        names = sorted({*found["sources"], *found["source_lags"], *waiting})
        sources = [
            {
                "name": name,
                "received": found["sources"].get(name, 0),
                "waiting": waiting.get(name),
                "lag": found["source_lags"].get(name),
            }
            for name in names
        ]
        members = self._roster.members()
        silent = [one for one in members if one.is_silent]
        return {
            "at": snapshot.at,
            "found": found,
            "members": members,
            "silent": len(silent),
            "sources": sources,
            "inbox": inbox,
        }

    def audit(self, asked: Asked) -> Values:
        """Who did what."""
        before = asked.text("before")
        if before and not LETTER_ID.fullmatch(before):
            raise NotPossible(400, "the address names no entry of the log", "follow a link of the page")
        entries = self._audit.latest(ENTRIES, before or "+")
        return {"entries": entries, "older": entries[-1][0] if len(entries) == ENTRIES else "", "before": before}


def project_rows(snapshot: Snapshot) -> list[Values]:
    """The projects, paused ones first, then those with the largest backlog."""
    found = snapshot.found
    paused = {one["scope"].removeprefix("project:"): one for one in found["pauses"]}
    rows = [
        {
            **one,
            "name": name,
            "rate": snapshot.rates.get(name),
            "pause": paused.get(name),
            "filled": _lanes(one),
            "raised": raised_of(found["feedback"].get(name, {"models": {}})),
        }
        for name, one in found["projects"].items()
    ]
    return sorted(rows, key=lambda row: (row["pause"] is None, -row["waiting"] - row["leased"], row["name"]))


def pause_rows(found: Mapping[str, Any]) -> list[Values]:
    """The pauses, with what of them is the project's or the worker's name, and how much waits for them."""
    rows = []
    for one in found["pauses"]:
        kind = next((kind for prefix, kind in PREFIXES.items() if one["scope"].startswith(prefix)), "")
        name = one["scope"].partition(":")[2] if kind else ""
        project = found["projects"].get(name) if kind == "project" else None
        rows.append({**one, "scope_kind": kind, "name": name, "project": project})
    return rows


def raised_of(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The model versions and detectors of a project whose alarm is raised."""
    return [
        (model, detector)
        for model, one in summary["models"].items()
        for detector, state in one["drift"].items()
        if state == State.RAISED
    ]


def page_asked(asked: Asked, total: int, size: int, name: str = "page") -> tuple[int, int]:
    """The number of the page that the query asks for under a name, and how many pages there are."""
    pages = max(1, -(-total // size))
    return asked.number(name, 1, pages), pages


def paged(rows: Sequence[T], asked: Asked, size: int = ROWS, name: str = "page") -> dict[str, Any]:
    """One page of rows, by the number that the query asks for under a name."""
    number, pages = page_asked(asked, len(rows), size, name)
    start = (number - 1) * size
    return {"rows": rows[start : start + size], "page": number, "pages": pages, "total": len(rows)}


def _lanes(one: Mapping[str, Any]) -> list[Values]:
    rows = zip(one["lanes"], one["lanes_leased"], one["lanes_oldest_seconds"], strict=True)
    return [
        {"lane": lane, "waiting": max(0, size - leased), "leased": leased, "oldest": oldest}
        for lane, (size, leased, oldest) in enumerate(rows)
        if size
    ]


def _summed(rates: Mapping[str, Rate]) -> Rate | None:
    if not rates:
        return None
    longest = max(one.drain_seconds for one in rates.values())
    return Rate(sum(one.received for one in rates.values()), sum(one.ended for one in rates.values()), longest)
