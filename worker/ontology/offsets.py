"""Offsets into a text.

A model counts characters. JavaScript, and with it a label drawn in a browser, counts UTF-16 units, in which an
emoji is two. Which of the two Kili's server means is not documented, so both readings of an offset are accepted.
"""

from __future__ import annotations


def fits(end: int, text: str) -> bool:
    """Whether an offset lies within the text, in characters or in UTF-16 units."""
    return end <= len(text) or (not text.isascii() and end <= len(_units(text)) // 2)


def reads(begin: int, end: int, content: str, text: str) -> bool:
    """Whether the text between two offsets is the content, in characters or in UTF-16 units."""
    if text[begin:end] == content:
        return True
    return not text.isascii() and _units(text)[2 * begin : 2 * end] == _units(content)


def in_characters(begin: int, end: int, content: str, text: str) -> tuple[int, int]:
    """The offsets in characters where they count UTF-16 units, between which the content stands; else as they are."""
    units = _units(text)
    if text.isascii() or begin < 0 or units[2 * begin : 2 * end] != _units(content):
        return begin, end
    start = len(units[: 2 * begin].decode("utf-16-le", "surrogatepass"))
    return start, start + len(content)


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
