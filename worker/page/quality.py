"""How good the models are: agreement, drift alarms that are accepted here, and the report of a project."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from worker.environment import clock
from worker.feedback.alarms import AlarmBook, OpenAlarm, open_alarms
from worker.feedback.messages import Links, estimate_text
from worker.feedback.reading import KiliReader
from worker.kili import KiliError
from worker.kili.interfaces import InterfaceCache
from worker.ontology import InterfaceError
from worker.page.access import AuditLog
from worker.page.answers import REPORT_POLICY, Asked, NotPossible, Renderer, Values, html, see_other
from worker.page.fleet import FleetStatus, paged
from worker.reports.page import page, version_page
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.wiring import access_of, budget_of, feedback_of, file_rules_of, kili_of

MODELS = 30
ALARMS = 10
PATIENCE_SECONDS = 20.0


class QualityView:
    """Shows agreement and alarms.

    Args:
        settings: of the fleet.
        spool: whose Redis has the alarms.
        status: of the fleet.
        audit: where an acceptance is noted.
        renderer: makes pages.
    """

    def __init__(
        self, settings: Settings, spool: Spool, status: FleetStatus, audit: AuditLog, renderer: Renderer
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._status = status
        self._audit = audit
        self._renderer = renderer

    def listed(self, asked: Asked) -> Values:
        """Open alarms, and the newest model versions of each project with what is known of them."""
        snapshot = self._status.snapshot()
        feedback = snapshot.found["feedback"]
        alarms = paged(self._open(list(snapshot.found["projects"])), asked, ALARMS, "alarms")
        alarms["rows"] = [
            {**one.read(), "project": one.project, "asset_links": self._links(one.project)} for one in alarms["rows"]
        ]
        rows = [
            {"project": project, "model": model, **one, "at": summary["at"]}
            for project, summary in feedback.items()
            for model, one in list(reversed(summary["models"].items()))[:MODELS]
        ]
        rows.sort(key=lambda row: ("raised" not in row["drift"].values(), row["project"]))
        models = paged(rows, asked)
        models["rows"] = [{**row, "words": estimate_text(row)} for row in models["rows"]]
        return {"at": snapshot.at, "review": snapshot.found["review"], "alarms": alarms, "models": models}

    def confirm(self, asked: Asked) -> Response:
        """Ask whether an alarm shall be accepted."""
        project, alarm = asked.needs("project"), asked.needs("alarm")
        return self._renderer.page("accept.html", asked, {"project": project, "alarm": self._alarm(project, alarm)})

    def accept(self, asked: Asked) -> Response:
        """Accept an alarm: its detector learns anew."""
        project, alarm_id = asked.sent("project"), asked.sent("alarm")
        self._alarm(project, alarm_id)
        AlarmBook(self._spool.redis, self._spool.prefix, project).acknowledge(alarm_id, clock.now())
        self._audit.note(asked.who, asked.address, "acknowledge drift alarm", f"{project} {alarm_id}", "acknowledged")
        return see_other("/page/quality")

    def _alarm(self, project: str, alarm_id: str) -> Values:
        found = [one.read() for one in self._open([project]) if one.id == alarm_id]
        if not found:
            raise NotPossible(404, "there is no such open alarm", "somebody may have accepted it; see the audit log")
        return found[0]

    def _open(self, projects: list[str]) -> list[OpenAlarm]:
        return open_alarms(self._spool.redis, self._spool.prefix, projects)

    def _links(self, project: str) -> Links:
        return Links.of(self._settings.kili_api_endpoint, project)


@dataclass(frozen=True, slots=True)
class Made:
    """Figures of a project with its links, and when they were computed (monotonic seconds)."""

    at: float
    report_data: dict[str, Any]
    links: Links


class Reports:
    """The reports of projects, computed when somebody looks, and kept for a while.

    Args:
        settings: of the fleet.
        spool: whose Redis has the records.
    """

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._guard = threading.Lock()
        self._made: dict[str, Made] = {}

    def show(self, asked: Asked) -> Response:
        """The report of a project or of one of its model versions, as old as figures may be at most."""
        project = asked.needs("project")
        if project not in self._spool.projects():
            raise NotPossible(404, "no message has come for this project", "look at the list of projects")
        try:
            return html(self._page(project, asked.text("model")), policy=REPORT_POLICY)
        except ValueError as error:
            raise NotPossible(503, f"no report: {error}", "give serve the settings of the workers") from error
        except (KiliError, InterfaceError) as error:
            raise NotPossible(502, f"no report: {error}", "try again when Kili answers") from error

    def _page(self, project: str, model: str) -> str:
        found = self._report_data(project)
        if not model:
            return page(found.report_data, project, found.links, place_of=lambda name: _place(project, name))
        try:
            return version_page(found.report_data, project, found.links, model, _place(project))
        except KeyError:
            raise NotPossible(
                404, "there are no figures of this model version", "look at the project's report"
            ) from None

    def _report_data(self, project: str) -> Made:
        if not self._guard.acquire(timeout=PATIENCE_SECONDS):
            raise NotPossible(503, "other reports are being computed", "try again in a moment")
        try:  # one at a time: a report may take the memory and the seconds of its records
            made = self._made.get(project)
            if made is None or clock.monotonic() - made.at > self._settings.feedback.figures_seconds:
                made = Made(clock.monotonic(), *self._make(project))
                self._made = {**self._fresh(), project: made}
            return made
        finally:
            self._guard.release()

    def _fresh(self) -> dict[str, Made]:
        limit = clock.monotonic() - self._settings.feedback.figures_seconds
        return {project: made for project, made in self._made.items() if made.at > limit}

    def _make(self, project: str) -> tuple[dict[str, Any], Links]:
        settings, spool = self._settings, self._spool
        budget = budget_of(settings, spool)
        with closing(kili_of(settings, budget, attempts=1)) as kili:
            cache = InterfaceCache(
                spool.redis, spool.prefix, settings.delivery.interface_seconds, kili.project_interface
            )
            interface = cache.get(project)
        with closing(KiliReader(access_of(settings), budget=budget, files=file_rules_of(settings))) as reader:
            feedback = feedback_of(settings, spool, project, reader, interface)
            return feedback.report_data(), feedback.links


def _place(project: str, model: str = "") -> str:
    asked = {"project": project} | ({"model": model} if model else {})
    return f"/page/report?{urlencode(asked)}"
