"""docs/reference/settings.md, from the tree of settings."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from worker.settings.tree import Settings

HEAD = """# Settings

<!-- Written by `python -m scripts.write_reference`. Do not edit. -->

Every setting is an environment variable. `prediction-worker check --explain` prints the same list, with the defaults of
the release that is installed.

- `KILI_API_KEY`, `KILI_API_ENDPOINT`, `REDIS_URL` and `CELERY_BROKER_URL` may come from files:
  `KILI_API_KEY_FILE=/run/secrets/kili`. If one of the four is empty, it counts as not set. So does an empty setting
  that has no default.
- A list is written with commas, or as a JSON list.
- A whole group may be set as one JSON object: `WORKER_LOG='{"level": "DEBUG", "format": "text"}'`.
- Times may be at most a hundred years, other numbers at most 10¹².
- `check` and `start` reject a `WORKER_…` variable that is no setting, and name the nearest one. If no name is near,
  they warn.
"""

UNITS = {
    "seconds": "s",
    "hours": "h",
    "days": "days",
    "bytes": "bytes",
    "share": "share, 0 to 1",
    "calls_per_minute": "calls a minute",
    "burst": "calls",
    "attempts": "attempts",
    "batch": "inbox entries",
    "max_depth": "levels",
    "max_waiting": "predictions",
    "max_inbox": "inbox entries",
    "max_dead_letters": "dead letters",
    "wave_items": "predictions",
    "batch_items": "items",
    "parallel_batches": "batches",
    "delivery.concurrency": "waves",
    "serve.concurrency": "requests",
    "max_halves": "events",
    "capacity": "share, 0 to 1",
    "audit_rate": "share, 0 to 1",
    "threshold": "confidence, 0 to 1",
    "drift_run_length": "predictions",
    "max_projects": "projects",
    "port": "port",
    "replay_rate": "dead letters a second",
}
"""By what a setting's name ends with, or by the whole of it where that says more."""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_general(), *(line for name in _groups() for line in _group(name))])


def unit_of(group: str, name: str) -> str:
    """The unit of a number's setting; empty where none is known."""
    endings = (f"{group}.{name}", name, name.rpartition("_")[2])
    return next((UNITS[one] for one in endings if one in UNITS), "")


def numbers() -> Iterator[tuple[str, str]]:
    """(group, name) of every setting that is a number."""
    for group in _groups():
        for name, field in _model(group).model_fields.items():
            if set(_members(field.annotation)) & {int, float}:
                yield group, name


def _groups() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if _is_group(field)]


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _model(group: str) -> type[BaseModel]:
    model = Settings.model_fields[group].annotation
    assert isinstance(model, type)
    return model


def _general() -> Iterator[str]:
    yield from _table("General", "")
    for name, field in Settings.model_fields.items():
        if not _is_group(field):
            yield _row(str(field.validation_alias or f"WORKER_{name.upper()}"), "", name, field)
    yield ""


def _group(name: str) -> Iterator[str]:
    prefix = f"WORKER_{name}__".upper()
    yield from _table(prefix.rstrip("_"), inspect.getdoc(_model(name)) or "")
    for child, field in _model(name).model_fields.items():
        yield _row(f"{prefix}{child}".upper(), name, child, field)
    yield ""


def _table(title: str, meaning: str) -> Iterator[str]:
    yield f"## {title}\n"
    if meaning:
        yield f"{meaning}\n"
    yield "| variable | type | default | unit | meaning |\n|---|---|---|---|---|"


def _row(variable: str, group: str, name: str, field: FieldInfo) -> str:
    default = _shown(field.get_default(call_default_factory=True, validated_data={}))
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{variable}` | {_type(field)} | {default} | {unit_of(group, name)} | {meaning} |"


def _type(field: FieldInfo) -> str:
    noun = " or ".join(_noun(one) for one in _members(field.annotation))
    bounds = [words for one in field.metadata if (words := _bound(one))]
    return ", ".join([noun, *bounds])


def _members(annotation: Any) -> list[Any]:
    """The types that a value may have, but for None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for one in get_args(annotation) if one is not type(None) for member in _members(one)]
    return [annotation]


def _noun(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(kind))
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return "list of secrets" if item is SecretStr else "list of paths" if item is Path else "list"
    nouns = {bool: "`true`, `false`", int: "whole number", float: "number", Path: "path", SecretStr: "secret"}
    return nouns.get(kind, "text")


def _bound(one: Any) -> str:
    match one:
        case Ge(ge=least):
            return f"at least {least}"
        case Gt(gt=below):
            return f"more than {below}"
        case Le(le=most):
            return f"at most {most}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = str(value).lower()
    return "" if value in (None, "") else f"`{value}`"
