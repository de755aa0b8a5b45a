"""What somebody asks of the page, once it is known who he is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from worker.page.access import Session
from worker.page.answers import NotPossible

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
