"""What all who look into a response share: its project and identities, the types of its values, its confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from worker.ontology.errors import Cause, OntologyError
from worker.ontology.interface import IGNORED_JOBS, Interface, Job

NUMBERS = (float, int)
"""The types of JSON numbers; asking for the type itself leaves out true and false."""


@dataclass(slots=True)
class Known:
    """What an identity stands for: something of a kind of job, and its categories by job.

    ``pose`` is the pose that an identity is a point of.
    """

    ml_task: str
    categories: dict[str, tuple[str, ...]]
    pose: object = None


@dataclass(slots=True)
class Context:
    """The state of one validation.

    ``mids`` holds the identities of one response (of one frame, in a video). ``check_payload`` checks the payload of
    any job, so that nested jobs need no import of their parents. ``georeferenced`` says that the asset is an image
    with a place on the map. ``parts`` are the texts of a rich text by id, in their order.
    """

    interface: Interface
    text: str | None
    partial: bool
    check_payload: Callable[[object, Job, str, Context], None]
    georeferenced: bool = False
    parts: Mapping[str, str] | None = None
    mids: dict[str, Known] = field(default_factory=dict)

    @property
    def in_degrees(self) -> bool:
        """Whether coordinates may be longitude and latitude."""
        return self.interface.in_degrees or (self.georeferenced and self.interface.input_type == "IMAGE")

    def register(self, mid: object, job: Job, categories: tuple[str, ...], where: str, *, is_part: bool) -> None:
        """Remember an identity; raise when it is empty, not a text, or taken by something else.

        Annotations that may be parts and share one are the parts of one object, in several jobs and with several
        tools; the parts in one job have one class.
        """
        known = self._known(mid, where)
        if known is None:
            self.mids[str(mid)] = Known(job.ml_task, {job.name: categories})
            return
        if known.pose is not None or not is_part or known.ml_task != job.ml_task:
            refuse(where, f"{mid!r} is taken by another annotation", "make every mid unique", "duplicate_mid")
        others = known.categories.setdefault(job.name, categories)
        if set(others) != set(categories):
            problem = f"{mid!r} is {', '.join(others)} already, and the parts of one object have one class"
            refuse(where, problem, "give every object a mid of its own", "duplicate_mid")

    def register_point(self, mid: object, job: Job, category: str, pose: Mapping[str, Any], where: str) -> None:
        """Remember the identity of a pose's point, which may be that of its pose."""
        known = self._known(mid, where)
        if known is None:
            self.mids[str(mid)] = Known(job.ml_task, {job.name: (category,)}, pose)
        elif mid != pose.get("mid") and known.pose is not pose:
            fix = "give the point its pose's mid, or one of its own"
            refuse(where, f"{mid!r} is taken by another annotation", fix, "duplicate_mid")

    def _known(self, mid: object, where: str) -> Known | None:
        if not isinstance(mid, str):
            refuse(where, f"must be a text, found {mid!r}", "send a text", "malformed")
        if not mid:
            refuse(where, "is empty", "send a text that no other annotation has", "empty_mid")
        return self.mids.get(mid)


def refuse(where: str, problem: str, fix: str, cause: Cause) -> NoReturn:
    """Raise the :class:`OntologyError` for one finding."""
    raise OntologyError(where, problem, fix, cause)


def as_object(value: object, where: str) -> Mapping[str, Any]:
    """Return a JSON object, refuse anything else and names that are not texts."""
    if type(value) is not dict and not isinstance(value, Mapping):
        refuse(where, f"must be an object, found {_kind(value)}", "send an object", "malformed")
    for key in value:
        if not isinstance(key, str):
            refuse(where, f"has the key {key!r}, which is not a text", "send texts as keys", "malformed")
    return value


def as_list(value: object, where: str) -> list[Any]:
    """Return a JSON list, refuse anything else."""
    if not isinstance(value, list):
        refuse(where, f"must be a list, found {_kind(value)}", "send a list", "malformed")
    return value


def as_text(value: object, where: str) -> str:
    """Return a text, refuse anything else."""
    if not isinstance(value, str):
        refuse(where, f"must be a text, found {_kind(value)}", "send a text", "malformed")
    return value


def is_int(value: object) -> bool:
    """Tell a whole number from everything else, including true and false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_percent(value: object) -> bool:
    """Tell a number in 0-100 from everything else, including true and false, and probabilities between 0 and 1."""
    return type(value) in NUMBERS and (1 <= value <= 100 or value == 0)  # type: ignore[operator]


def check_percent(value: object, where: str) -> None:
    """Refuse a confidence or score that is no number in 0-100; ``null`` is none."""
    if value is not None and not is_percent(value):
        refuse(where, f"must be a percentage: 0, or 1 to 100; found {value!r}", "send percents", "bad_confidence")


def check_score(value: object, where: str) -> None:
    """Refuse the score of an object that is no percentage, or a fraction of one: Kili keeps whole numbers."""
    check_percent(value, where)
    if isinstance(value, float) and not value.is_integer():
        refuse(where, f"must be a whole number of percents, found {value!r}", f"send {round(value)}", "bad_confidence")


def check_key_frame(payload: Mapping[str, Any], where: str) -> None:
    """Refuse a key-frame mark that is neither true nor false."""
    mark = payload.get("isKeyFrame", False)
    if mark is not True and mark is not False:
        refuse(f"{where}.isKeyFrame", f"must be true or false, found {mark!r}", "send a boolean", "malformed")


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


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
