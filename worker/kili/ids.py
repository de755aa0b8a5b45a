"""Asset ids that follow from what the asset is, so that sending twice cannot create twice."""

from __future__ import annotations

import hashlib

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_LENGTH = 24


def derived_asset_id(project_id: str, external_id: str) -> str:
    """Return the asset id of an external id in a project: ``c`` and 24 base-36 characters.

    A BLAKE2b hash of (project id, external id), reduced modulo 36^24 (about 2^124: no collision to be expected among
    10^15 assets). The project id is hashed with its length, so different pairs never hash the same bytes.
    The ids of existing assets rest on this function: changing it would create every asset a second time.
    """
    project = project_id.encode("utf-8", "surrogatepass")
    external = external_id.encode("utf-8", "surrogatepass")
    hasher = hashlib.blake2b(len(project).to_bytes(4, "big"), digest_size=32, person=b"kili-asset")
    hasher.update(project)
    hasher.update(external)
    return "c" + _base36(int.from_bytes(hasher.digest(), "big"))


def _base36(number: int) -> str:
    pairs = []
    for _ in range(_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))
