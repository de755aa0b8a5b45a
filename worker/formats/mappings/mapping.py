"""A format as data: how a payload is recognised, and the jq expression that gives its short form.

docs/how-to/new-format.md is the guide; ``parse_mappings`` reads the ``[formats.NAME]`` tables of a TOML file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Each = Literal["object", "list", "payload"]

OPTIONS = ("units", "box_order", "image_size", "classes", "first_class", "exclusive", "score_kind", "point_names")
"""What a mapping may say of all its payloads; it goes before what the message and the projects file say."""


class MappingError(ValueError):
    """A mapping that cannot be used: names the mapping, its key and what is wrong."""

    def __init__(self, name: str, key: str, problem: str) -> None:
        super().__init__(f"formats.{name}{'.' if key else ''}{key}: {problem}")
        self.name, self.key, self.problem = name, key, problem


@dataclass(frozen=True, slots=True)
class MappingExample:
    """A payload with what must be read from it, or the text that its refusal must hold."""

    payload: Any
    expect: Any = None
    refused: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FormatMapping:
    """One mapping.

    - ``keys``: keys that the payload's first object has, all of one alternative; others are not looked at.
    - ``without``: keys that it has not; with one of them it is not looked at either.
    - ``when``: a jq expression that is true for payloads of this format.
    - ``read``: a jq expression that gives the short form; of an envelope ``inside``, the path of what it holds.
    - ``each``: what the expressions see. ``object``: every object of a list (one item each), or the only one.
      ``list``: every item's list of objects. ``payload``: everything, and ``read`` may give a list of items.
    - ``options``: what is known of every payload (``OPTIONS``).
    - ``by_id``: the items name their assets in ``external_id``, and an asset without an item has nothing on it.
    """

    name: str
    keys: tuple[tuple[str, ...], ...] = ()
    without: tuple[str, ...] = ()
    when: str = "true"
    read: str = ""
    inside: str = ""
    each: Each = "object"
    by_id: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    rule: str = ""
    limits: str = ""
    uses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    tests: tuple[MappingExample, ...] = ()

    @property
    def program(self) -> str:
        """The whole program: null for another format, or what ``read`` gives for each item, as a list of results."""
        return _program(self.when, f"(\n{self._reading}\n)", self.each)

    @property
    def recognising(self) -> str:
        """The recognising part alone, to tell which of the two fails."""
        return _program(self.when, "[]", self.each)

    @property
    def _reading(self) -> str:
        return f"path(\n{self.inside}\n)" if self.inside else self.read


def _program(when: str, read: str, each: Each) -> str:
    """The payload comes with the options beside it, which the expressions know as ``$options``."""
    expressions = f"def mapped_when: (\n{when}\n); def mapped_read: {read};"
    return f".[1] as $options | .[0] |\n{PRELUDE}\n{expressions}\n{_PROGRAMS[each]}"


PRELUDE = """
def mapped_alike: if map(type) - ["null"] | unique | length > 1
  then error("values of several types are compared: \\(map(type) | unique | join(", "))") else . end;
def mapped_min: min; def min: mapped_alike | mapped_min;
def mapped_max: max; def max: mapped_alike | mapped_max;
def mapped_min_by(f): min_by(f); def min_by(f): (map(f) | mapped_alike) as $alike | mapped_min_by(f);
def mapped_max_by(f): max_by(f); def max_by(f): (map(f) | mapped_alike) as $alike | mapped_max_by(f);
def mapped_sort_by(f): sort_by(f); def sort_by(f): (map(f) | mapped_alike) as $alike | mapped_sort_by(f);
def mapped_join(f): join(f);
def join(f): if any(.[]; . == null) then error("a text is missing among those that are joined") else mapped_join(f) end;
def class_names(f): [f | strings | select(test("^[0-9]+$") | not)] | unique;
"""
"""What every expression may use.

jq orders every text after every number: of 0.95 and "0.9" it would call 0.95 the least. Here that is an error. So is
joining what is not there, which jq passes over.
``class_names`` gives the different names among the values of several keys; the numbers of classes are none.
"""

_PROGRAMS: Mapping[Each, str] = {
    "object": '(if type == "array" then . else [.] end) | '
    'if length > 0 and all(.[]; type == "object" and mapped_when) then map([mapped_read]) else null end',
    "list": '(if type != "array" then [[.]] elif length > 0 and (.[0] | type) == "array" then . else [.] end) | '
    "if any(.[]; length > 0) and all(.[] | select(length > 0); mapped_when) then map([mapped_read]) else null end",
    "payload": "if mapped_when then [[mapped_read]] else null end",
}


def mapping_tables(path: Path) -> Any:
    """The tables under ``formats`` of a file that holds nothing else; raises MappingError and OSError."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError("*", "", f"{path.name}: {error}") from None
    if tables.keys() != {"formats"}:
        raise MappingError("*", "", f"{path.name} must hold [formats.NAME] tables and nothing else")
    return tables["formats"]


def parse_mappings(tables: Any) -> dict[str, FormatMapping]:
    """Make mappings of the tables under ``formats``; raises MappingError. The expressions are not compiled."""
    if not isinstance(tables, Mapping):
        raise MappingError("*", "", "formats must hold tables: [formats.NAME]")
    return {name: _mapping(name, table) for name, table in tables.items()}


def _mapping(name: str, table: Any) -> FormatMapping:
    if not name or "/" in name or name == "auto":
        raise MappingError(name, "", "a name has no / and is not auto")
    if not isinstance(table, Mapping):
        raise MappingError(name, "", f"must be a table: [formats.{name}]")
    values = {key: _value(name, key, value) for key, value in table.items() if key not in OPTIONS}
    mapping = FormatMapping(name=name, options={key: table[key] for key in OPTIONS if key in table}, **values)
    if bool(mapping.read) == bool(mapping.inside):
        raise MappingError(
            name, "read", "needs read (a jq expression that gives the short form), or inside of an envelope"
        )
    if not mapping.keys and "when" not in table:
        raise MappingError(name, "keys", "needs keys, when or both: without them every payload would fit")
    if mapping.inside and (mapping.options or mapping.by_id or "each" in table):
        raise MappingError(
            name, "inside", "an envelope has no options, by_id or each: what is inside has its own format"
        )
    return mapping


def _value(name: str, key: str, value: Any) -> Any:
    reader = _READERS.get(key)
    if reader is None:
        raise MappingError(name, key, f"is no key of a mapping; its keys are {', '.join((*_READERS, *OPTIONS))}")
    return reader(name, key, value)


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise MappingError(name, key, "must be a text that is not empty")
    return value


def _texts(name: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise MappingError(name, key, "must be a list of texts")
    return tuple(value)


def _each(name: str, key: str, value: Any) -> Any:
    if value not in get_args(Each):
        raise MappingError(name, key, f"must be one of {', '.join(get_args(Each))}")
    return value


def _flag(name: str, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise MappingError(name, key, "must be true or false")
    return value


def _keys(name: str, _key: str, value: Any) -> tuple[tuple[str, ...], ...]:
    """Alternatives of keys; a plain list is the only alternative."""
    lists = value if isinstance(value, list) and value and all(isinstance(one, list) for one in value) else [value]
    for one in lists:
        if not isinstance(one, list) or not one or not all(isinstance(key, str) for key in one):
            raise MappingError(name, "keys", "must be a list of keys, or a list of such lists")
    return tuple(tuple(one) for one in lists)


def parse_examples(name: str, value: Any) -> tuple[MappingExample, ...]:
    """Make examples of a list of ``[[formats.NAME.tests]]`` tables."""
    if not isinstance(value, list):
        raise MappingError(name, "tests", f"must be a list of tables: [[formats.{name}.tests]]")
    return tuple(_example(name, f"tests[{i}]", one) for i, one in enumerate(value))


def _example(name: str, key: str, value: Any) -> MappingExample:
    if not isinstance(value, Mapping) or "payload" not in value or ("expect" in value) == ("refused" in value):
        raise MappingError(name, key, "needs payload, and either expect or refused")
    unknown = value.keys() - set(MappingExample.__slots__)
    if unknown:
        raise MappingError(
            name, f"{key}.{min(unknown)}", f"is no key of a test; its keys are {', '.join(MappingExample.__slots__)}"
        )
    texts = {part: _json(name, f"{key}.{part}", value[part]) for part in ("payload", "expect") if part in value}
    return MappingExample(**{**value, **texts})


def _json(name: str, key: str, value: Any) -> Any:
    """A value written in TOML, or as a JSON text (which can hold null)."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise MappingError(name, key, f"is no JSON: {error}") from None


_READERS: Mapping[str, Callable[[str, str, Any], Any]] = {
    **dict.fromkeys(("when", "read", "inside", "title", "rule", "limits"), _text),
    **dict.fromkeys(("without", "uses", "sources"), _texts),
    "keys": _keys,
    "each": _each,
    "by_id": _flag,
    "tests": lambda name, _key, value: parse_examples(name, value),
}
