"""What is wrong with the settings, under the names by which they were set, and variables that are no setting."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from worker.settings.tree import Settings, aliased_names, environment_names, is_group

NEAR = 0.7
"""How alike (difflib's ratio) a known name must be to be offered for an unknown one."""

_OTHERS = re.compile(r"WORKER_(SERVICE_(HOST|PORT\w*)|PORT(_\w+)?|NAME|ENV_\w+)")
"""What Docker and Kubernetes put into the environment for a service that is called worker."""


def mistakes(error: ValidationError | SettingsError) -> list[str]:
    """What is wrong with the settings, each under the name of its environment variable, without their values."""
    if isinstance(error, SettingsError):
        return [f"{name}: no JSON; set its parts one by one, such as {name}__…" for name in _groups_that_are_no_json()]
    return [_mistake(one) for one in error.errors()]


def unknown_names() -> Iterator[tuple[str, str | None]]:
    """Variables ``WORKER_…`` that are no setting, each with the setting whose name is nearest, if one is near."""
    known = environment_names()
    for name in sorted(os.environ):
        folded = name.upper()
        if folded.startswith("WORKER_") and folded not in known and not _OTHERS.fullmatch(folded):
            yield name, nearest_name(folded)


def nearest_name(name: str) -> str | None:
    """The setting whose name is most like this one, None when none is near."""
    plain = {_spelling(known): known for known in sorted(environment_names())}
    found = difflib.get_close_matches(_spelling(name), plain, n=1, cutoff=NEAR)
    return plain[found[0]] if found else None


def _spelling(name: str) -> str:
    return name.removeprefix("WORKER_").replace("__", "_")


def _mistake(error: ErrorDetails) -> str:
    name = _variable(error["loc"])
    if error["type"] == "extra_forbidden":
        near = nearest_name(name)
        return f"{name}: no such setting" + (f"; did you mean {near}?" if near else "")
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _variable(loc: Sequence[int | str]) -> str:
    first, *rest = map(str, loc)
    if first in aliased_names():
        return first
    group = first in Settings.model_fields and is_group(first)
    return "__".join([f"WORKER_{first}", *(rest[:1] if group else ())]).upper()


def _groups_that_are_no_json() -> Iterator[str]:
    for name in filter(is_group, Settings.model_fields):
        variable = f"WORKER_{name}".upper()
        try:
            json.loads(os.environ.get(variable) or "{}")
        except ValueError:
            yield variable
