"""Pages with everything that all of them have: the menu, who looks, the session's own mark for forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from worker import __version__
from worker.page.answers import html, rendered
from worker.page.asked import Asked

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
