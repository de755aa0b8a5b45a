"""How sure a response is of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .interface import IGNORED_JOBS, Interface


def confidence_of(json_response: Mapping[str, Any], interface: Interface | None = None) -> float | None:
    """Return the confidence, 0-1, of a response's weakest element; None when none is given.

    Elements are the chosen categories (``confidence``) and the objects (``score``) of all jobs, children
    and frames. With an interface, only its jobs count.
    """
    found = [value for jobs in _levels(json_response, interface) for value in _in_jobs(jobs, interface)]
    return min(1.0, max(0.0, min(found) / 100.0)) if found else None


def _levels(response: Mapping[str, Any], interface: Interface | None) -> Iterator[Mapping[str, Any]]:
    """Split a video's response into its frames and what is asked about the whole asset."""
    keys = [key for key in response if key == "assetLevel" or (key.isascii() and key.isdigit())]
    by_frame = interface.is_video if interface else bool(keys)
    yield from (response[key] for key in keys) if by_frame else (response,)


def _in_jobs(jobs: Mapping[str, Any], interface: Interface | None) -> Iterator[float]:
    for name, payload in jobs.items():
        known = name not in IGNORED_JOBS if interface is None else name in interface.jobs
        if known and isinstance(payload, Mapping):
            yield from _in_element(payload, interface)


def _in_element(element: Mapping[str, Any], interface: Interface | None) -> Iterator[float]:
    """Walk a payload, an annotation, a pose's point or a chosen category: they nest in the same ways."""
    for key in ("confidence", "score"):
        value = element.get(key)
        if isinstance(value, int | float):
            yield float(value)
    for key in ("categories", "annotations", "points"):
        for item in element.get(key) or ():
            yield from _in_element(item, interface)
    yield from _in_jobs(element.get("children") or {}, interface)
