"""What somebody asks of the page, and how it answers: templates, their filters, headers that keep other sites out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from worker import __version__
from worker.environment import clock
from worker.feedback.messages import age, detector_name, percent
from worker.page.access import Session

NAMELESS = "(names none)"


def number(value: float | None) -> str:
    """A count with separators, or a rate with what digits it needs."""
    if value is None:
        return "unknown"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """A span of time; nothing for none."""
    if value is None:
        return "unknown"
    return "never at this rate" if math.isinf(value) else age(value)


def moment(value: float | str | None) -> str:
    """A time in UTC, of seconds since the epoch or as ISO 8601."""
    if value is None:
        return "unknown"
    found = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def until(moment_ms: int) -> str:
    """How long it is until a moment, in milliseconds since the epoch."""
    left = moment_ms / 1000 - clock.now()
    return f"in {age(left)}" if left > 0 else "now"


def size(count: int) -> str:
    """Bytes."""
    for length, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")):
        if count >= length:
            return f"{count / length:.1f}\u202f{unit}"
    return f"{count}\u202fB"


def query(values: Mapping[str, Any]) -> str:
    """The query of an address, without what is not set."""
    found = urlencode({name: value for name, value in values.items() if value not in (None, "")}, doseq=True)
    return f"?{found}" if found else ""


def named(text: str | None) -> str:
    """A name, or that there is none."""
    return NAMELESS if text in (None, "", "-") else str(text)


def diff_rows(text: str) -> list[tuple[str, str]]:
    """A kept diff as rows: its sign, and the line."""
    return [(line[:1], line[1:]) for line in text.splitlines()]


FILTERS: dict[str, Callable[..., Any]] = {
    "detector": detector_name,
    "diff_rows": diff_rows,
    "moment": moment,
    "named": named,
    "number": number,
    "percent": percent,
    "query": query,
    "seconds": seconds,
    "size": size,
    "until": until,
}


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
    found.filters |= FILTERS
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


MAX_VALUE = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its query, its form, who asks and from where."""

    path: str
    session: Session
    address: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A value of the query, empty when it is not there."""
        return _first(self.query, name)[:MAX_VALUE]

    def number(self, name: str, default: int, most: int) -> int:
        """A positive number of the query; the default when it is none."""
        given = self.text(name)
        return min(max(1, int(given[:9])), most) if given.isascii() and given.isdecimal() else default

    def sent(self, name: str) -> str:
        """A value of the form, empty when it is not there."""
        return _first(self.form, name)

    @property
    def who(self) -> str:
        """Who is noted in the audit log."""
        return f"{self.session.name or 'nameless'} ({self.session.role})"

    def needs(self, name: str) -> str:
        """A value of the query that must be there."""
        given = self.text(name)
        if not given:
            raise NotPossible(400, f"the address lacks {name}", "follow a link of the page")
        return given


def _first(values: Mapping[str, Sequence[str]], name: str) -> str:
    found = values.get(name, ())
    return found[0] if found else ""


Answer = Callable[[Asked], Response]
"""Answers a request; raises NotPossible."""

Values = dict[str, Any]
"""What a template is given."""


MENU = (
    ("/", "Overview"),
    ("/page/projects", "Projects"),
    ("/page/letters", "Dead letters"),
    ("/page/quality", "Quality"),
    ("/page/fleet", "Fleet"),
    ("/page/audit", "Audit log"),
)


class Renderer:
    """Makes pages from templates."""

    def page(self, template: str, asked: Asked, values: Mapping[str, Any], status: int = 200) -> Response:
        """A whole page."""
        return html(rendered(template, self.values(asked, values)), status)

    def part(self, template: str, asked: Asked, values: Mapping[str, Any]) -> str:
        """The part of a page that is renewed while somebody looks."""
        return rendered(f"_{template}", self.values(asked, values))

    def values(self, asked: Asked, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a template is given."""
        query = {name: list(given) for name, given in asked.query.items() if name != "live"}
        return {
            "menu": MENU,
            "path": asked.path,
            "session": asked.session,
            "query": query,
            "is_live": asked.text("live") != "off",
            "version": __version__,
            **values,
        }
