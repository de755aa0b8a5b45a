"""The page's routes, and what is asked of every request before anybody answers it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, quote

import redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from worker.kili.budget import BudgetTimeout
from worker.page.access import COOKIE, AuditLog, LoginLimit, Session, Sessions, stored_key
from worker.page.answers import Answer, Asked, NotPossible, Renderer, Values, html, plain, rendered, see_other, static
from worker.page.fleet import FleetStatus, Live, Views, in_thread
from worker.page.letter_actions import LetterActions
from worker.page.letters import LettersView
from worker.page.quality import QualityView, Reports
from worker.review import PolicyError
from worker.settings.tree import Settings
from worker.spool import Spool
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)

MAX_FORM_BYTES = 2_000_000
MAX_FIELDS = 300
PLACE = re.compile(r"/(page(/[a-z/]*)?)?(\?[\x21-\x7e]*)?")
"""Where a login may lead: a page of ours, never another site."""

View = Callable[[Asked], Values]


class Page:
    """The operator's page.

    Args:
        settings: of the fleet.
        spool: where everything is.
        stop: set when the process ends.
        tracer: notified of letters that are replayed.
    """

    def __init__(self, settings: Settings, spool: Spool, stop: threading.Event, tracer: Tracer = NO_TRACES) -> None:
        self._settings = settings.page
        self._sessions = Sessions(settings.page, lambda: stored_key(spool.redis, spool.prefix))
        self._login_limit = LoginLimit()
        self._renderer = Renderer()
        self._live = Live(stop)
        self.status = FleetStatus(settings, spool)
        audit = AuditLog(spool.redis, spool.prefix)
        views = Views(self.status, spool, audit)
        self._letters = LettersView(LetterActions(settings, spool, audit, stop, tracer), self._renderer)
        self._quality = QualityView(settings, spool, self.status, audit, self._renderer)
        self._reports = Reports(settings, spool)
        self._views: dict[str, tuple[str, View]] = {
            "/": ("overview.html", views.overview),
            "/page/projects": ("projects.html", views.projects),
            "/page/project": ("project.html", views.project),
            "/page/letters": ("letters.html", self._letters.listed),
            "/page/letter": ("letter.html", self._letters.one),
            "/page/quality": ("quality.html", self._quality.listed),
            "/page/fleet": ("fleet.html", views.fleet),
            "/page/audit": ("audit.html", views.audit),
        }
        self._parts: dict[str, tuple[str, View]] = {
            "overview": self._views["/"],
            "projects": self._views["/page/projects"],
            "project": self._views["/page/project"],
            "letters": ("letters.html", self._letters.causes),
            "fleet": self._views["/page/fleet"],
        }

    def application(self) -> Starlette:
        """The ASGI application, of full paths."""
        letters, quality = self._letters, self._quality
        return Starlette(
            routes=[
                *(Route(path, self._seen(*view), methods=["GET"]) for path, view in self._views.items()),
                self._looks("/page/letter/original", letters.original),
                self._looks("/page/report", self._reports.show),
                *self._acts("/page/letters/do", letters.confirm, letters.do),
                *self._acts("/page/letter/edit", letters.edit, letters.preview),
                *self._acts("/page/letter/replace", None, letters.replace),
                *self._acts("/page/quality/accept", quality.confirm, quality.accept),
                Route("/page/live/{part}", self._stream, methods=["GET"]),
                Route("/page/static/{name}", self._static, methods=["GET"]),
                Route("/page/login", self._login_form, methods=["GET"]),
                Route("/page/login", self._log_in, methods=["POST"]),
                Route("/page/logout", self._guarded(self._log_out, forms=True, acts=False), methods=["POST"]),
            ],
            exception_handlers={HTTPException: self._no_route},
        )

    def _seen(self, template: str, view: View) -> Callable[..., object]:
        return self._guarded(lambda asked: self._renderer.page(template, asked, view(asked)))

    def _looks(self, path: str, answer: Answer) -> Route:
        return Route(path, self._guarded(answer), methods=["GET"])

    def _acts(self, path: str, form: Answer | None, does: Answer) -> list[Route]:
        """An action: GET asks whether it is meant, POST does it; both are for operators."""
        first = [Route(path, self._guarded(form, acts=True), methods=["GET"])] if form is not None else []
        return [*first, Route(path, self._guarded(does, forms=True, acts=True), methods=["POST"])]

    def _guarded(self, answer: Answer, *, forms: bool = False, acts: bool = False) -> Callable[..., object]:
        """The answer, for those who are logged in and may have it; ``forms`` must carry the mark of their session."""

        async def handle(request: Request) -> Response:
            session: Session | None = None
            try:
                session = await self._session(request)
                if session is None:
                    return self._to_login(request)
                return await self._answered(request, session, answer, forms, acts)
            except NotPossible as error:
                problem = error
            except redis.RedisError as error:
                problem = NotPossible(503, f"Redis cannot be asked: {error}", "try again when it is back")
            except (PolicyError, BudgetTimeout) as error:
                problem = NotPossible(503, str(error), "give serve the settings of the workers")
            return self._problem(problem, _asked(request, session, {}) if session else None)

        return handle

    async def _answered(self, request: Request, session: Session, answer: Answer, forms: bool, acts: bool) -> Response:
        if acts and not session.may_act:
            raise NotPossible(403, "readers cannot do this", "log in with the token of operators")
        form = await _form(request) if forms else {}
        if forms and not _is_ours(request, session, form):
            raise NotPossible(403, "the form is not of this login", "open the page again, and try once more")
        return await in_thread(answer, _asked(request, session, form))

    async def _session(self, request: Request) -> Session | None:
        return await in_thread(self._sessions.session, request.cookies.get(COOKIE, ""))

    async def _stream(self, request: Request) -> Response:
        try:
            session = await self._session(request)
        except redis.RedisError:
            return plain("Redis cannot be asked", 503)
        if session is None:
            return plain("log in", 401)
        name = request.path_params["part"]
        if name not in self._parts:
            return plain("there is no such part", 404)
        template, view = self._parts[name]
        asked = _asked(request, session, {})
        return self._live.response(lambda: self._renderer.part(template, asked, view(asked)))

    async def _static(self, request: Request) -> Response:
        try:
            return static(request.path_params["name"])
        except NotPossible as error:
            return self._problem(error)

    async def _login_form(self, request: Request) -> Response:
        return self._login_page(request.query_params.get("next", "/"))

    def _login_page(self, place: str, problem: str = "", status: int = 200) -> Response:
        shown = place if PLACE.fullmatch(place) else "/"
        return html(rendered("login.html", {"next": shown, "problem": problem}), status)

    async def _log_in(self, request: Request) -> Response:
        try:
            form = await _form(request)
        except NotPossible as error:
            return self._problem(error)
        sent = {name: form.get(name, [""])[0] for name in ("token", "name", "next")}
        address = _address(request)
        wait = self._login_limit.seconds_left(address)
        if wait > 0:
            response = self._login_page(sent["next"], "Too many wrong tokens; try again in a minute.", 429)
            response.headers["Retry-After"] = str(int(wait) + 1)
            return response
        role = self._sessions.role_of(sent["token"]) if _is_same_site(request) else None
        if role is None:
            self._login_limit.failed(address)
            logger.warning("login refused", extra={"action": "login_refused", "address": address})
            return self._login_page(sent["next"], "This token is not valid.", 401)
        try:
            cookie = await in_thread(self._sessions.begin, role, sent["name"])
        except redis.RedisError as error:
            return self._problem(NotPossible(503, f"Redis cannot be asked: {error}", "try again when it is back"))
        logger.info("logged in as %s", role, extra={"action": "logged_in", "role": role.value, "address": address})
        response = see_other(sent["next"] if PLACE.fullmatch(sent["next"]) else "/")
        self._set_cookie(response, cookie, int(self._settings.session_hours * 3600))
        return response

    def _log_out(self, _asked: Asked) -> Response:
        response = see_other("/page/login")
        self._set_cookie(response, "", 0)
        return response

    def _set_cookie(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE, value, max_age=seconds, path="/", secure=self._settings.https, httponly=True, samesite="lax"
        )

    def _to_login(self, request: Request) -> Response:
        if request.method != "GET":
            return self._login_page("/", "Your login has ended; nothing was done.", 401)
        place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see_other(f"/page/login?next={quote(place, safe='')}" if PLACE.fullmatch(place) else "/page/login")

    def _problem(self, error: NotPossible, asked: Asked | None = None) -> Response:
        """Why nothing came of it; with the menu for those who are logged in."""
        values = {"problem": error.problem, "fix": error.fix}
        return html(rendered("problem.html", self._renderer.values(asked, values) if asked else values), error.status)

    async def _no_route(self, _request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._problem(NotPossible(status, "there is nothing here", "go to the overview"))


def _asked(request: Request, session: Session, form: Mapping[str, Sequence[str]]) -> Asked:
    query = parse_qs(request.url.query, keep_blank_values=True, errors="replace")
    return Asked(request.url.path, session, _address(request), query, form)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def _form(request: Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form, read within a limit."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise NotPossible(415, "this is no form of the page", "use the page")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise NotPossible(413, "the form is too large", "save the original, and publish a new one")
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, ClientDisconnect):
        raise NotPossible(400, "the form cannot be read", "open the page again, and try once more") from None


def _is_same_site(request: Request) -> bool:
    """Whether a form came from this page, as far as the browser tells."""
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _is_ours(request: Request, session: Session, form: Mapping[str, Sequence[str]]) -> bool:
    return _is_same_site(request) and session.has_sent(form.get("mark", [""])[0])
