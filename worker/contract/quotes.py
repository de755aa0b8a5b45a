"""Whether a model's word can be the characters of a text: tokenizers change case, accents and spacing, not letters."""

from __future__ import annotations

import unicodedata


def same_text(word: str, found: str) -> bool:
    """Whether letters and digits are the same, and the text has no more punctuation at its ends than the word."""
    return letters(word) == letters(found) and not has_more_at_ends(word, found)


def letters(text: str) -> str:
    """The letters and digits of a text, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


def has_more_at_ends(word: str, found: str) -> bool:
    """Whether the text begins or ends with punctuation where the word has a letter or a digit: offsets that are off."""
    ours, theirs = word.strip(), found.strip()
    if not ours or not theirs:
        return False
    return any(_is_mark(text) and one.isalnum() for one, text in ((ours[0], theirs[0]), (ours[-1], theirs[-1])))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
