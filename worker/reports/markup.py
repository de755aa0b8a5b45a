"""HTML and SVG from function calls: what is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

VOID = frozenset({"br", "img", "meta"})
CAMEL_CASE = frozenset({"viewBox", "preserveAspectRatio"})


class Markup(str):
    """Text that is markup and must not be escaped again."""

    __slots__ = ()


Child = str | float | None | Iterable[Any]


def el(tag: str, *children: Child, **attributes: Any) -> Markup:
    """Write an element.

    Children may be texts, numbers, markup, None (nothing) or iterables of those. Attribute names lose a trailing
    underscore and have hyphens for the others; None leaves an attribute out.
    """
    given = [(_name(key), value) for key, value in attributes.items() if value is not None]
    opened = "".join(f' {key}="{escape(str(value))}"' for key, value in given)
    if tag in VOID:
        return Markup(f"<{tag}{opened}>")
    return Markup(f"<{tag}{opened}>{join(children)}</{tag}>")


def join(children: Iterable[Any]) -> Markup:
    """Write children one after the other."""
    return Markup("".join(map(_text, children)))


def _text(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int | float):
        return escape(str(child))
    return join(child)


def _name(key: str) -> str:
    return key if key in CAMEL_CASE else key.rstrip("_").replace("_", "-")
