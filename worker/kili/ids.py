"""Asset ids that follow from what the asset is, so that sending twice cannot create twice."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_THREES = [a + b + c for a in _DIGITS for b in _DIGITS for c in _DIGITS]
_ALL, _TWELVE, _SIX, _THREE = 36**24, 36**12, 36**6, 36**3


def derived_asset_id(project_id: str, external_id: str) -> str:
    """Return the asset id of an external id in a project: ``c`` and 24 base-36 characters.

    A BLAKE2b hash of (project id, external id), reduced modulo 36^24 (about 2^124: no collision to be expected among
    10^15 assets). The project id is hashed with its length, so different pairs never hash the same bytes.
    The ids of existing assets rest on this function: changing it would create every asset a second time.
    """
    hasher = _hasher(project_id).copy()
    hasher.update(external_id.encode("utf-8", "surrogatepass"))
    return "c" + _base36(int.from_bytes(hasher.digest(), "big") % _ALL)


@lru_cache(maxsize=256)
def _hasher(project_id: str) -> Any:
    project = project_id.encode("utf-8", "surrogatepass")
    hasher = hashlib.blake2b(len(project).to_bytes(4, "big"), digest_size=32, person=b"kili-asset")
    hasher.update(project)
    return hasher


def _base36(number: int) -> str:
    """24 digits: in halves of twelve, which are small numbers to Python, by a table of three."""
    high, low = divmod(number, _TWELVE)
    a, b = divmod(high, _SIX)
    c, d = divmod(low, _SIX)
    threes, three = _THREES, _THREE
    return (
        f"{threes[a // three]}{threes[a % three]}{threes[b // three]}{threes[b % three]}"
        f"{threes[c // three]}{threes[c % three]}{threes[d // three]}{threes[d % three]}"
    )
