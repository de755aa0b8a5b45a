"""Answers of the page: templates, headers that keep other sites out, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from worker.page import formatting

STATIC = {
    "page.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx-sse.js": "text/javascript; charset=utf-8",
    "idiomorph.min.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "idiomorph.LICENSE.txt": "text/plain; charset=utf-8",
    "htmx.LICENSE.txt": "text/plain; charset=utf-8",
    "htmx-sse.LICENSE.txt": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""The report is one file with its styles in it, and has no script; none is allowed."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


class NotPossible(Exception):
    """A request that is answered with words instead of what it asked for."""

    def __init__(self, status: int, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.fix = fix


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("worker.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= formatting.FILTERS
    return found


ENVIRONMENT = _environment()
FILES = {name: resources.files("worker.page").joinpath("static", name).read_bytes() for name in STATIC}


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """A template with its values; texts are escaped."""
    return ENVIRONMENT.get_template(template).render(values)


def html(text: str, status: int = 200, policy: str = POLICY) -> Response:
    """A page."""
    return HTMLResponse(text, status, headers={**HEADERS, "Content-Security-Policy": policy})


def plain(text: str, status: int = 200) -> Response:
    """A few words."""
    return Response(text + "\n", status, headers=HEADERS, media_type="text/plain")


def download(body: bytes, name: str) -> Response:
    """Bytes to be saved, whatever they are."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, headers={**HEADERS, **disposition}, media_type="application/octet-stream")


def see_other(place: str) -> Response:
    """Sends the browser on to another page."""
    return Response(status_code=303, headers={**HEADERS, "Location": place})


def static(name: str) -> Response:
    """One of the page's files; there are no others to be had."""
    if name not in STATIC:
        raise NotPossible(404, "there is no such file")
    headers = {**HEADERS, "Cache-Control": "public, max-age=3600"}
    return Response(FILES[name], headers=headers, media_type=STATIC[name])
