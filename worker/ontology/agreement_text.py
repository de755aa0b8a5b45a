"""How two texts agree."""

from __future__ import annotations


def text_agreement(a: str, b: str) -> float:
    """Return ``1 - levenshtein(a, b) / max(len(a), len(b))``, 1 for two empty texts."""
    longest = max(len(a), len(b))
    return 1.0 - levenshtein(a, b) / longest if longest else 1.0


def levenshtein(a: str, b: str) -> int:
    """Count the insertions, deletions and substitutions between two texts.

    A column of the distance matrix is kept as two integers of one bit per character, so that a step costs a
    few operations on integers. Source: G. Myers, A fast bit-vector algorithm for approximate string matching
    (J. ACM 46, 1999), with H. Hyyrö's horizontal deltas for the distance of whole texts (2003).
    """
    a, b = _without_common_ends(*sorted((a, b), key=len))
    if not a:
        return len(b)
    places = _places(a)
    ones = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    rising, falling, distance = ones, 0, len(a)
    for char in b:
        match = places.get(char, 0)
        diagonal = (((match & rising) + rising) ^ rising) | match | falling
        up = falling | ~(diagonal | rising) & ones
        down = rising & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & ones, down << 1 & ones
        rising, falling = down | ~(diagonal | up) & ones, up & diagonal
    return distance


def _places(text: str) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << index
    return places


def _without_common_ends(a: str, b: str) -> tuple[str, str]:
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    end = 0
    while end < len(a) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return a[start : len(a) - end], b[start : len(b) - end]
