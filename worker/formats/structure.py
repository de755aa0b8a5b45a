"""How a family recognises its payloads by structure alone, and walks those that list objects.

Such a payload is one object, a list of objects for one item, or a list of lists for several items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail, is_number, is_object, show
from worker.formats.meaning import carries_span, foreign_key, unused_keys, with_ignored
from worker.formats.options import ReadOptions


@dataclass(frozen=True, slots=True)
class Match:
    """The payload has the family's structure, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Miss:
    """The payload lacks the family's structure at ``field``; ``share`` (0 to 1) is how much of it is there."""

    field: str
    problem: str
    share: float


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What an envelope holds: the payload inside, its path, and what the envelope said."""

    payload: Any
    at: Path
    evidence: dict[str, Any] = field(default_factory=dict)


PayloadKind = Literal["object", "objects", "list", "text", "other"]
"""``objects`` are a list of them, or a list of such lists."""

MISSPELT = 0.8
"""How alike (difflib's ratio) a key must be to one of a format of which no other key is there."""

Reader = Callable[[Any, ReadOptions, Path], tuple["ModelOutput | Unwrapped", ...]]
"""Reads one output per item; an item that only wraps data of another format is given back unwrapped."""

Unwrapper = Callable[[Any, Path], Unwrapped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What is told of every format: how its structure is recognised, which options it uses, where it ends."""

    name: str
    title: str
    rule: str
    sources: tuple[str, ...]
    detect: Callable[[Any], Match | None]
    near: Callable[[Any], Miss | None] = lambda _: None
    """How a payload misses the format by a little, for the refusal; by default none is said to."""
    options: tuple[str, ...] = ()
    limits: str = ""
    needs: tuple[tuple[str, ...], ...] = ()
    """Alternatives of keys that the payload's first object must have: on others the format is not tried."""
    takes: tuple[PayloadKind, ...] = ("object", "objects", "list", "text", "other")
    """Without ``needs``: on payloads of which kind the format is tried."""
    is_cheap: bool = True
    """Whether detecting costs much less than reading; a mapping's does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Recognised):
    """A family of payloads that hold answers.

    With ``by_id`` every output names its item (``external_id``), and an item without results is absent. A
    ``catch_all`` takes many forms of payload and yields to any mapping that recognises one.
    """

    read: Reader
    by_id: bool = False
    catch_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope(Recognised):
    """A wrapper around a payload of any family. With ``batches`` a list of them is read one by one."""

    unwrap: Unwrapper
    batches: bool = False


@dataclass(frozen=True, slots=True)
class ValueKind:
    """A kind of JSON value, for the structure of an object."""

    name: str
    test: Callable[[Any], bool]


ANY = ValueKind("present", lambda _: True)
TEXT = ValueKind("a string", lambda value: isinstance(value, str))
NUMBER = ValueKind("a number", is_number)
NUMBER_OR_NULL = ValueKind("a number or null", lambda value: value is None or is_number(value))
INDEX = ValueKind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
LIST = ValueKind("a list", lambda value: isinstance(value, list))
OBJECT = ValueKind("an object", is_object)
LABEL = ValueKind("a class name or index", lambda value: isinstance(value, str) or INDEX.test(value))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an object: required ones, optional ones, and whether any further key may be there.

    An optional key that is null is as good as absent. Without ``open``, further keys may be there unless they carry
    geometry or a place in a text (see ``worker.formats.meaning``): such an object says more than is read of it. With
    ``closed`` none may be there that holds anything.
    """

    required: Mapping[str, ValueKind]
    optional: Mapping[str, ValueKind] = field(default_factory=dict)
    open: bool = False
    closed: bool = False
    known: frozenset[str] = field(init=False)
    """Every key that has a meaning in this format."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset((*self.required, *self.optional)))

    def fits(self, value: Any) -> bool:
        """Tell whether ``value`` is such an object."""
        if not is_object(value) or not self.required.keys() <= value.keys():
            return False
        if not all(kind.test(value[key]) for key, kind in self.required.items()):
            return False
        return self.open or len(value) == len(self.required) or self.stranger(value) is None

    def stranger(self, value: Mapping[str, Any]) -> str | None:
        """The first key that says something else: an optional one of another kind, or a foreign one."""
        for key, kind in self.optional.items():
            if key in value and value[key] is not None and not kind.test(value[key]):
                return key
        if self.closed:
            return next((key for key in value if key not in self.known and value[key] not in (None, "", [], {})), None)
        return None if self.known.issuperset(value) else foreign_key(value, self.known)

    def refuse_stranger(self, value: Mapping[str, Any], at: Path) -> None:
        """Raise OutputError for an object that says more than is read of it."""
        if len(value) > len(self.required):
            key = self.stranger(value)
            if key is not None:
                what = "says something else" if self.closed else f"carries {describe_key(value, key)}"
                fail((*at, key), f"{what}, which this format does not use", _OTHER_FORMAT)

    def miss(self, value: Any, at: Path) -> Miss | None:
        """Name the first key that does not fit; None when nothing of the structure is there."""
        if not isinstance(value, Mapping):
            return None
        present = self.required.keys() & value.keys()
        if not present:
            return self._misspelt(value, at)
        wrong = [key for key in self.required if key in present and not self.required[key].test(value[key])]
        share = (len(present) - 0.5 * len(wrong)) / len(self.required)
        if wrong:
            kind = self.required[wrong[0]].name
            problem = f"{describe(value[wrong[0]])} is not {kind}"
            return Miss(show((*at, wrong[0])), problem, share * self._crowding(value))
        missing = next((key for key in self.required if key not in present), None)
        if missing is None:
            return self._stranger_miss(value, at, share)
        return self._missing(missing, value, at, share)

    def _crowding(self, value: Mapping[str, Any]) -> float:
        """How much less it says that one key is nearly right, the more other keys there are."""
        return 1.0 if len(value) <= len(self.required) + 1 else 0.8

    def _missing(self, key: str, value: Mapping[str, Any], at: Path, share: float) -> Miss:
        others = [other for other in value if isinstance(other, str) and other not in self.required]
        close = get_close_matches(key, others, n=1)
        if close:
            return Miss(show((*at, key)), f"missing (is it {close[0]!r}?)", share + 0.5 / len(self.required))
        carries_more = not self.open and self.stranger(value) is not None
        weight = 0.5 if carries_more else 0.9 if self.open else 1.0
        return Miss(show((*at, key)), "missing", share * weight)

    def _misspelt(self, value: Mapping[str, Any], at: Path) -> Miss | None:
        names = [key for key in value if isinstance(key, str)]
        for key in self.required:
            close = get_close_matches(key, names, n=1, cutoff=MISSPELT)
            if close:
                share = 0.5 / len(self.required) * self._crowding(value)
                return Miss(show((*at, key)), f"missing (is it {close[0]!r}?)", share)
        return None

    def _stranger_miss(self, value: Mapping[str, Any], at: Path, share: float) -> Miss | None:
        key = None if self.open else self.stranger(value)
        if key is None:
            return None
        problem = (
            "does not belong to this format" if self.closed else f"carries {describe_key(value, key)}, unused there"
        )
        known = len(self.known & value.keys()) / len(value) if self.closed else 1.0
        return Miss(show((*at, key)), problem, share * known * 0.8)


_OTHER_FORMAT = "leave it out only if it says nothing about the answer"


def describe_key(value: Mapping[str, Any], key: str) -> str:
    """What a foreign key carries, for a refusal."""
    last = key.rsplit(".", 1)[-1]
    return f"a place in a text ({last})" if carries_span(last, value.get(key, 0)) else f"geometry ({last})"


def refuse_foreign(value: Mapping[str, Any], known: Collection[str], at: Path) -> None:
    """Raise OutputError for an object with geometry, or a place in a text, that its reader does not use."""
    key = foreign_key(value, known)
    if key is not None:
        fail((*at, key), f"carries {describe_key(value, key)}, which this format does not use", _OTHER_FORMAT)


def first_item(payload: Any) -> tuple[Any, Path]:
    """Return the first object of an object, a list of objects or a list of such lists, and its path."""
    if type(payload) is dict:
        return payload, ROOT
    if isinstance(payload, list):
        for i, row in enumerate(payload):
            if isinstance(row, list):
                for j, item in enumerate(row):
                    return item, (*ROOT, i, j)
            else:
                return row, (*ROOT, i)
    return payload, ROOT


def holds_no_answer(payload: Any) -> bool:
    """Tell whether a payload has places for an answer and nothing in them: empty lists and objects."""
    if not isinstance(payload, list | Mapping):
        return payload is None or payload == ""
    if not payload:
        return True
    inner = list(payload.values()) if isinstance(payload, Mapping) else payload
    held = [value for value in inner if isinstance(value, list | Mapping)]
    return bool(held) and all(map(holds_no_answer, held)) and (isinstance(payload, Mapping) or len(held) == len(inner))


def needed(*alternatives: Keys) -> tuple[tuple[str, ...], ...]:
    """What a format needs that is recognised by one of these structures."""
    return tuple(tuple(keys.required) for keys in alternatives)


def detect_object(keys: Keys, reason: str) -> Callable[[Any], Match | None]:
    """Recognise an object by its keys."""
    match = Match(reason)
    return lambda payload: match if keys.fits(payload) else None


def near_object(keys: Keys) -> Callable[[Any], Miss | None]:
    """Say what an object lacks."""
    return lambda payload: keys.miss(payload, ROOT)


def detect_items(keys: Keys, reason: str) -> Callable[[Any], Match | None]:
    """Recognise an object, a list of objects or a list of lists by the keys of the first object."""
    match = Match(reason)
    return lambda payload: match if keys.fits(first_item(payload)[0]) else None


def near_items(keys: Keys) -> Callable[[Any], Miss | None]:
    """Say what the first object lacks."""
    return lambda payload: keys.miss(*first_item(payload))


Row = list[tuple[Mapping[str, Any], Path]]
"""The objects of one item, each with its path."""

RowReader = Callable[[Row, ReadOptions, Path], ModelOutput]


def rows_of(payload: Any, at: Path) -> list[tuple[Row, Path]]:
    """Return the objects of every row, with the row's path.

    An object or a list of objects is one row; a list of lists is one row per inner list.
    """
    if isinstance(payload, Mapping):
        return [([(without_nulls(payload), at)], at)]
    lists = array(payload, *at)
    if lists and isinstance(lists[0], list):
        return [(_objects(row, (*at, i)), (*at, i)) for i, row in enumerate(lists)]
    return [(_objects(lists, at), at)]


def without_nulls(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without its keys that are null: they are as good as absent."""
    if None not in item.values():
        return item
    return {key: value for key, value in item.items() if value is not None}


def row_reader(read_row: RowReader, keys: Keys, used: Collection[str] | None = None) -> Reader:
    """Make a family's reader out of a reader of one row; one output per row, in order.

    Every object is held to ``keys``; what else it has is told as ignored, and so are keys that are not ``used``.
    """
    known = keys.known if used is None else used
    required = len(keys.required)

    def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
        rows = rows_of(payload, at)
        return tuple([_read(row, options.of_item(i), path) for i, (row, path) in enumerate(rows)])

    def _read(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
        for item, place in row:
            if len(item) > required:
                keys.refuse_stranger(item, place)
        ignored = unused_keys([item for item, _ in row], known)
        output = read_row(row, options, at)
        return with_ignored(output, ignored) if ignored else output

    return read


def _objects(row: Any, at: Path) -> Row:
    objects = []
    for i, item in enumerate(array(row, *at)):
        if type(item) is not dict and not isinstance(item, Mapping):
            fail((*at, i), f"{describe(item)} is not an object")
        objects.append((without_nulls(item) if None in item.values() else item, (*at, i)))
    return objects
