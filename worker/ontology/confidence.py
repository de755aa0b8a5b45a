"""How sure a response is of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.ontology.interface import IGNORED_JOBS, Interface
from worker.ontology.validate_context import is_percent


def confidence_of(json_response: object, interface: Interface | None = None) -> float | None:
    """Return the confidence, 0-1, of a response's weakest element; None when none is given.

    Elements are the chosen categories (``confidence``) and the objects (``score``) of all jobs, children
    and frames. With an interface, only its jobs count. Whatever is no response, or no percentage, is
    passed over: to refuse it is the task of ``validate``.
    """
    weakest = min(_percents(json_response, interface), default=None)
    return None if weakest is None else weakest / 100.0


def _percents(response: object, interface: Interface | None) -> Iterator[float]:
    """Walk payloads, annotations, poses' points and chosen categories: they nest in the same ways."""
    waiting = [payload for jobs in _levels(response, interface) for payload in _payloads(jobs, interface)]
    while waiting:
        element = waiting.pop()
        yield from (element[key] for key in ("confidence", "score") if is_percent(element.get(key)))
        for key in ("categories", "annotations", "points"):
            items = element.get(key)
            waiting += [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
        waiting += _payloads(element.get("children"), interface)


def _levels(response: object, interface: Interface | None) -> list[object]:
    """Split a video's response into its frames and what is asked about the whole asset."""
    if not isinstance(response, Mapping):
        return []
    levels = [value for key, value in response.items() if key == "assetLevel" or _is_frame(key)]
    by_frame = interface.is_video if interface else bool(levels)
    return levels if by_frame else [response]


def _is_frame(key: object) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdigit()


def _payloads(jobs: object, interface: Interface | None) -> list[Mapping[str, Any]]:
    if not isinstance(jobs, Mapping):
        return []
    return [
        payload
        for name, payload in jobs.items()
        if isinstance(payload, Mapping) and (name not in IGNORED_JOBS if interface is None else name in interface.jobs)
    ]
