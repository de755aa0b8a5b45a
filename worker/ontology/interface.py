"""A project's ``jsonInterface``: its jobs, what each may be answered with, and what changed between readings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from worker.ontology.errors import InterfaceError

SINGLE_CHOICE = frozenset({"radio", "singleDropdown"})

IGNORED_JOBS = frozenset({"ANNOTATION_JOB_COUNTER", "ANNOTATION_NAMES_JOB", "ROTATION_JOB"})
"""Entries of a json_response that are no jobs: Kili's interface writes them, its parser skips them."""

RELATION_ENDS = {
    "NAMED_ENTITIES_RELATION": ("startEntities", "endEntities"),
    "OBJECT_RELATION": ("startObjects", "endObjects"),
}
"""The two ends of a relation, by ``mlTask``: the same keys in the interface and in the response."""

RELATED = {"NAMED_ENTITIES_RELATION": "NAMED_ENTITIES_RECOGNITION", "OBJECT_RELATION": "OBJECT_DETECTION"}
"""What a relation connects, by ``mlTask``."""

ANY_CATEGORY = "ANY"
"""Stands, as an end of a relation, for every category."""

PIXEL_CRS = "PIXEL"
"""The ``geospatialSettings.labelingCRSCode`` of a project that is labelled in its image's own pixels."""


@dataclass(frozen=True, slots=True)
class KeyPoint:
    """One point of a pose: its code is what responses use."""

    code: str
    name: str
    mandatory: bool
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """One category of a job: ``name`` is the key responses use, ``display_name`` is what people see.

    ``starts`` and ``ends`` are the categories that a relation of this kind may connect (empty, or with ``ANY`` among
    them: every category).
    """

    name: str
    display_name: str
    children: tuple[str, ...]
    points: tuple[KeyPoint, ...]
    starts: tuple[str, ...]
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One question of a project. ``categories`` keeps the interface's order, which breaks ties."""

    name: str
    ml_task: str
    categories: Mapping[str, Category]
    tools: tuple[str, ...]
    input: str | None
    required: bool
    is_child: bool
    models: Mapping[str, Any]

    @property
    def single_choice(self) -> bool:
        """Whether at most one category may be given (radio, singleDropdown)."""
        return self.input in SINGLE_CHOICE

    @cached_property
    def spellings(self) -> tuple[Mapping[str, tuple[str, ...]], ...]:
        """Tables from a looser spelling than the exact name to category names, strictest first.

        Name in any case, display name, display name in any case; the tables for any case are keyed
        by ``str.casefold``.
        """
        return (
            self._table(lambda category: category.name.casefold()),
            self._table(lambda category: category.display_name),
            self._table(lambda category: category.display_name.casefold()),
        )

    def children_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Name the child jobs that the given categories ask, in the interface's order."""
        found = {child: None for name in names if name in self.categories for child in self.categories[name].children}
        return tuple(found)

    def _table(self, spell: Callable[[Category], str]) -> Mapping[str, tuple[str, ...]]:
        table: dict[str, tuple[str, ...]] = {}
        for category in self.categories.values():
            key = spell(category)
            table[key] = (*table.get(key, ()), category.name)
        return table


@dataclass(frozen=True)
class Interface:
    """The jobs of one project by name, the kind of asset they are asked about, and what coordinates are (``PIXEL``)."""

    jobs: Mapping[str, Job]
    input_type: str
    labeling_crs: str | None = None

    @classmethod
    def parse(
        cls, json_interface: Mapping[str, Any] | str, input_type: str = "IMAGE", labeling_crs: str | None = None
    ) -> Self:
        """Read a project's ``jsonInterface``, given as an object or as its JSON text.

        ``labeling_crs`` is the project's ``geospatialSettings.labelingCRSCode``. Unknown values of ``mlTask`` are kept
        and later passed through unvalidated. Raises :class:`InterfaceError` when a part that decides what is valid has
        the wrong type.
        """
        jobs = _mapping(_mapping(_loaded(json_interface), "jsonInterface").get("jobs"), "jobs")
        return cls({name: _job(name, body) for name, body in jobs.items()}, input_type, labeling_crs)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything that decides what is valid or what is composed."""
        facts = [self.input_type, [_facts(self.jobs[name]) for name in sorted(self.jobs)]]
        facts += [self.labeling_crs] if self.labeling_crs else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    @cached_property
    def proven(self) -> set[tuple[object, ...]]:
        """Kinds of composed annotations that were valid: the next of such a kind is valid, too."""
        return set()

    @cached_property
    def compiled(self) -> dict[object, Any]:
        """What was compiled for this interface, by whoever did."""
        return {}

    @cached_property
    def root_jobs(self) -> tuple[Job, ...]:
        """The jobs that a response answers at its top level."""
        return tuple(job for job in self.jobs.values() if not job.is_child)

    @property
    def is_video(self) -> bool:
        """Whether responses are keyed by frame."""
        return "VIDEO" in self.input_type

    @property
    def is_pdf(self) -> bool:
        """Whether geometry sits on pages, one level deeper."""
        return self.input_type == "PDF"

    @property
    def is_geospatial(self) -> bool:
        """Whether the assets are maps or scenes: one annotation holds all parts of an area."""
        return self.input_type == "GEOSPATIAL"

    @property
    def in_degrees(self) -> bool:
        """Whether coordinates are longitude and latitude; a scene labelled in its pixels has shares of its size."""
        return self.is_geospatial and self.labeling_crs != PIXEL_CRS


def _loaded(json_interface: Mapping[str, Any] | str) -> Any:
    if not isinstance(json_interface, str):
        return json_interface
    try:
        return json.loads(json_interface)
    except json.JSONDecodeError as error:
        raise InterfaceError("jsonInterface", f"is not JSON: {error}") from error


def _job(name: str, raw: object) -> Job:
    where = f"jobs.{name}"
    body = _mapping(raw, where)
    task = body.get("mlTask")
    if not isinstance(task, str) or not task:
        raise InterfaceError(f"{where}.mlTask", f"must be a non-empty text, found {task!r}")
    content = _mapping(body.get("content") or {}, f"{where}.content")
    kind = "options" if task == "COMPARISON" else "categories"
    place = f"{where}.content.{kind}"
    categories = _mapping(content.get(kind) or {}, place)
    return Job(
        name=name,
        ml_task=task,
        categories={key: _category(key, value, task, f"{place}.{key}") for key, value in categories.items()},
        tools=_texts(body.get("tools"), f"{where}.tools"),
        input=_text(content.get("input"), f"{where}.content.input"),
        required=bool(body.get("required")),
        is_child=bool(body.get("isChild")),
        models=_mapping(body.get("models") or {}, f"{where}.models"),
    )


def _category(name: str, raw: object, task: str, where: str) -> Category:
    body = _mapping(raw, where)
    start, end = RELATION_ENDS.get(task, ("startObjects", "endObjects"))
    return Category(
        name=name,
        display_name=_text(body.get("name"), f"{where}.name") or name,
        children=_texts(body.get("children"), f"{where}.children"),
        points=_points(body.get("points"), f"{where}.points"),
        starts=_texts(body.get(start), f"{where}.{start}"),
        ends=_texts(body.get(end), f"{where}.{end}"),
    )


def _points(raw: object, where: str) -> tuple[KeyPoint, ...]:
    return tuple(_point(point, f"{where}[{index}]") for index, point in enumerate(_list(raw, where)))


def _point(raw: object, where: str) -> KeyPoint:
    body = _mapping(raw, where)
    code = body.get("code")
    if not isinstance(code, str) or not code:
        raise InterfaceError(f"{where}.code", f"must be a non-empty text, found {code!r}")
    name = _text(body.get("name"), f"{where}.name") or code
    children = _texts(body.get("children"), f"{where}.children")
    return KeyPoint(code, name, bool(body.get("mandatory")), children)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InterfaceError(where, f"must be an object, found {type(value).__name__}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not value:
        return []
    if not isinstance(value, list):
        raise InterfaceError(where, f"must be a list, found {type(value).__name__}")
    return value


def _text(value: object, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InterfaceError(where, f"must be a text, found {value!r}")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    items = _list(value, where)
    if any(not isinstance(item, str) for item in items):
        raise InterfaceError(where, f"must be a list of texts, found {items!r}")
    return tuple(items)


def _facts(job: Job) -> list[Any]:
    categories = [asdict(category) for category in job.categories.values()]
    return [job.name, job.ml_task, categories, job.tools, job.input, job.required, job.is_child]


@dataclass(frozen=True, slots=True)
class InterfaceDrift:
    """Jobs (``JOB``) and categories (``JOB.CATEGORY``) that are gone, new, or are asked in another way."""

    gone: tuple[str, ...]
    new: tuple[str, ...]
    altered: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything has changed that decides what is valid."""
        return bool(self.gone or self.new or self.altered)

    def __str__(self) -> str:
        """Write what has changed in words."""
        parts = {"gone": self.gone, "new": self.new, "altered": self.altered}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def drift(before: Interface, after: Interface) -> InterfaceDrift:
    """Compare two interfaces; what lies within a job that is gone or new is not listed."""
    old, new = _parts(before), _parts(after)
    return InterfaceDrift(
        gone=_outermost(old, new),
        new=_outermost(new, old),
        altered=tuple(name for name in old if name in new and old[name] != new[name]),
    )


def _outermost(these: Mapping[str, Any], those: Mapping[str, Any]) -> tuple[str, ...]:
    missing = [name for name in these if name not in those]
    return tuple(name for name in missing if name.rpartition(".")[0] not in missing)


def _parts(interface: Interface) -> dict[str, Any]:
    """The facts of jobs and categories that are not themselves categories or jobs."""
    parts: dict[str, Any] = {}
    for job in interface.jobs.values():
        parts[job.name] = _facts_of_interface(job, interface)
        for category in job.categories.values():
            parts[f"{job.name}.{category.name}"] = category
    return parts


def _facts_of_interface(job: Job, interface: Interface) -> tuple[Any, ...]:
    return (interface.input_type, interface.labeling_crs, job.ml_task, job.tools, job.input, job.required, job.is_child)
