"""The mappings that are known, and which of them a payload fits.

A payload whose keys no mapping names costs a look-up per key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

from worker.contract.output import Answer, Classification, Detection, Either, ModelOutput, OutputError
from worker.formats.checks import ROOT, Path, fail, show
from worker.formats.mappings.mapping import PRELUDE, FormatMapping, MappingError
from worker.formats.mappings.process import JqProcess, MappingJob, RunResult
from worker.formats.meaning import carries_geometry
from worker.formats.options import ReadOptions
from worker.formats.short_form import read_item, read_open_item
from worker.formats.structure import (
    ANY,
    Envelope,
    Family,
    Keys,
    Match,
    Miss,
    Reader,
    Unwrapped,
    Unwrapper,
    first_item,
    near_items,
)

_PROCESS = JqProcess()


class MappingFailed(OutputError):
    """A mapping's expression fails on a payload: names mapping, expression and place."""


@dataclass(frozen=True, slots=True)
class FoundMapping:
    """A mapping that recognises a payload, and what its reading expression gave."""

    mapping: FormatMapping
    given: list[Any]


class Catalogue:
    """Mappings by name.

    Args:
        mappings: of one name each.
        process: where their expressions run.
    """

    def __init__(self, mappings: Iterable[FormatMapping] = (), process: JqProcess = _PROCESS) -> None:
        self.mappings: Mapping[str, FormatMapping] = {one.name: one for one in mappings}
        self._process = process
        self._by_key: dict[str, list[tuple[frozenset[str], FormatMapping]]] = {}
        self._keyless = [one for one in self.mappings.values() if not one.keys]
        for one in self.mappings.values():
            for keys in one.keys:
                self._by_key.setdefault(keys[0], []).append((frozenset(keys), one))

    def __bool__(self) -> bool:
        return bool(self.mappings)

    @cached_property
    def families(self) -> Mapping[str, Family | Envelope]:
        """The mappings as formats of the registry."""
        return {name: self._format(one) for name, one in self.mappings.items()}

    @cached_property
    def _jobs(self) -> Mapping[str, MappingJob]:
        return {name: MappingJob(one.program, one.recognising) for name, one in self.mappings.items()}

    def with_mappings(self, mappings: Mapping[str, FormatMapping]) -> Catalogue:
        """These mappings and more; one of the same name takes the other's place."""
        return Catalogue({**self.mappings, **mappings}.values(), self._process)

    def check(self) -> None:
        """Have jq compile every expression; raises MappingError for the first that is wrong."""
        for one in self.mappings.values():
            for key in ("when", "read", "inside"):
                text = getattr(one, key)
                problem = self._process.compile_error(text, PRELUDE) if text else ""
                if problem:
                    raise MappingError(one.name, key, problem)

    def recognise(
        self, payload: Any, options: ReadOptions, at: Path = ROOT, envelopes_only: bool = False
    ) -> list[FoundMapping]:
        """The mappings, envelopes included, whose keys the payload has and whose ``when`` is true for it.

        Raises MappingFailed when the expression of one that recognises the payload fails.
        """
        candidates = [one for one in self.candidates(payload) if one.inside or not envelopes_only]
        if not isinstance(payload, Mapping):
            candidates = [one for one in candidates if not one.inside]
        if not candidates:
            return []
        outcomes = self._process.run([self._jobs[one.name] for one in candidates], mapping_input(payload, options))
        found = []
        for one, outcome in zip(candidates, outcomes, strict=True):
            if outcome.stage == "when":
                continue
            if outcome.stage:
                raise _failed(one, outcome, at)
            if outcome.value is not None:
                found.append(FoundMapping(one, outcome.value))
        return found

    def families_that_fit(
        self, payload: Any, options: ReadOptions, at: Path, envelopes_only: bool = False
    ) -> list[tuple[Family | Envelope, Match]]:
        """The formats whose mapping recognises a payload, with the reason; reading does not run the mapping again."""
        return [self._family_of(one) for one in self.recognise(payload, options, at, envelopes_only)]

    def answers_that_fit(self, payload: Any, options: ReadOptions, at: Path) -> list[tuple[Family, Match]]:
        """The same without envelopes."""
        fits = self.families_that_fit(payload, options, at)
        return [(family, match) for family, match in fits if isinstance(family, Family)]

    def candidates(self, payload: Any) -> list[FormatMapping]:
        """The mappings whose keys the payload's first object has."""
        item = first_item(payload)[0]
        if not isinstance(item, Mapping):
            return self._keyless
        present = item.keys()
        named = [pair for key in present & self._by_key.keys() for pair in self._by_key[key]]
        fitting = [one for keys, one in named if keys <= present and present.isdisjoint(one.without)]
        return [*self._keyless, *dict.fromkeys(fitting)] if fitting else self._keyless

    def apply(self, mapping: FormatMapping, payload: Any, options: ReadOptions, at: Path) -> FoundMapping:
        """Run a mapping on a payload that is said to be of its format.

        Raises MappingFailed for an expression that fails, OutputError for a payload that it does not recognise.
        """
        (outcome,) = self._process.run([self._jobs[mapping.name]], mapping_input(payload, options))
        if outcome.stage:
            raise _failed(mapping, outcome, at)
        if outcome.value is None:
            fail(
                at, f"not of the format {mapping.name}: its `when` is not true", f"{mapping.name} is {rule_of(mapping)}"
            )
        return FoundMapping(mapping, outcome.value)

    def _family_of(self, found: FoundMapping) -> tuple[Family | Envelope, Match]:
        """The format of a mapping that recognised a payload, which is not run again to read it."""
        family = self.families[found.mapping.name]
        match = Match(f"what the mapping {found.mapping.name} recognises: {rule_of(found.mapping)}")
        given = partial(_given, found)
        if isinstance(family, Envelope):
            return replace(family, unwrap=_unwrapper(given)), match
        return replace(family, read=_reader(found.mapping, given)), match

    def _format(self, mapping: FormatMapping) -> Family | Envelope:
        apply = partial(self.apply, mapping)
        return _envelope(mapping, apply) if mapping.inside else _family(mapping, apply)


_INPUT_OPTIONS = (
    *("units", "box_order", "image_size", "classes", "first_class", "exclusive", "score_kind", "field", "strings"),
    *("point_names", "in_reply"),
)


def mapping_input(payload: Any, options: ReadOptions) -> list[Any]:
    """What the expressions see: the payload, and the options that are set."""
    stated = {name: value for name in _INPUT_OPTIONS if (value := getattr(options, name)) is not None}
    return [payload, stated]


def _given(found: FoundMapping, _payload: Any, _options: ReadOptions, _at: Path) -> FoundMapping:
    return found


def _failed(mapping: FormatMapping, outcome: RunResult, at: Path) -> MappingFailed:
    key = "inside" if mapping.inside and outcome.stage == "read" else outcome.stage
    which = f"mapping {mapping.name}" + (f", expression `{key}`" if key != "limit" else "")
    if key == "limit":
        return MappingFailed(show(at), f"{which}: {outcome.error}", "send a smaller payload, or mend the mapping")
    if not mapping.rule:
        return MappingFailed(show(at), f"{which}: {outcome.error}", "send what the format says, or mend the mapping")
    problem = (
        f"has the keys of {mapping.name}, but a part of it is missing or of another kind ({which}: {outcome.error})"
    )
    return MappingFailed(
        show(at), problem, f"{mapping.name} is {mapping.rule}: send all of it, or the answer in the short form"
    )


def rule_of(mapping: FormatMapping) -> str:
    """How a mapping's payloads are recognised, for people."""
    if mapping.rule:
        return mapping.rule
    lists = " or ".join(", ".join(f"`{key}`" for key in keys) for keys in mapping.keys)
    keys = f"an object with {lists}" if mapping.keys else "a payload"
    return keys if mapping.when == "true" else f"{keys} where `{mapping.when.strip()}`"


Apply = Callable[[Any, ReadOptions, Path], FoundMapping]


def _reader(mapping: FormatMapping, apply: Apply) -> Reader:
    def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput | Unwrapped, ...]:
        outputs = read_found(apply(payload, options, at), options, at)
        _refuse_unused_geometry(mapping, payload, outputs, at)
        return outputs

    return read


def _family(mapping: FormatMapping, apply: Apply) -> Family:
    return Family(
        **_recognised(mapping, apply),
        read=_reader(mapping, apply),
        by_id=mapping.by_id,
        options=tuple(mapping.uses),
        limits=mapping.limits,
    )


def _unwrapper(apply: Apply) -> Unwrapper:
    def unwrap(payload: Any, at: Path = ROOT) -> Unwrapped:
        return _inside(apply(payload, ReadOptions(), at), payload, at)

    return unwrap


def _envelope(mapping: FormatMapping, apply: Apply) -> Envelope:
    return Envelope(**_recognised(mapping, apply), unwrap=_unwrapper(apply), limits=mapping.limits)


def _recognised(mapping: FormatMapping, apply: Apply) -> dict[str, Any]:
    alternatives = [Keys(dict.fromkeys(keys, ANY), open=True) for keys in mapping.keys]
    match = Match(f"what the mapping {mapping.name} recognises")

    def detect(payload: Any) -> Match | None:
        item = first_item(payload)[0]
        if alternatives and not any(keys.fits(item) for keys in alternatives):
            return None
        try:
            apply(payload, ReadOptions(), ROOT)
        except OutputError:
            return None
        return match

    def near(payload: Any) -> Miss | None:
        misses = [miss for keys in alternatives if (miss := near_items(keys)(payload))]
        return max(misses, key=lambda miss: miss.share) if misses else None

    return {
        "name": mapping.name,
        "title": mapping.title or mapping.name,
        "rule": rule_of(mapping),
        "sources": mapping.sources,
        "detect": detect,
        "near": near,
        "is_cheap": False,
    }


def read_found(found: FoundMapping, options: ReadOptions, at: Path) -> tuple[ModelOutput | Unwrapped, ...]:
    """Read what a mapping's expression gave: one output per item.

    Raises OutputError; paths continue ``at`` with the mapping's name, because they are those of the short form.
    """
    place = (*at, f"<{found.mapping.name}>")
    items = [(_only(results, found.mapping, at), i) for i, results in enumerate(found.given)]
    if found.mapping.each == "payload" and isinstance(items[0][0], list):
        items = [(one, i) for i, one in enumerate(items[0][0])]
    alone = len(items) == 1
    where = [(one, i, place if alone else (*place, i)) for one, i in items]
    return tuple([_read(one, found.mapping, _options(one, i, found.mapping, options), path) for one, i, path in where])


def _refuse_unused_geometry(
    mapping: FormatMapping, payload: Any, outputs: Iterable[ModelOutput | Unwrapped], at: Path
) -> None:
    """Raise OutputError for what is read as a class though it carries geometry that the mapping does not name."""
    if not any(isinstance(one, ModelOutput) and _is_class(one.answer) for one in outputs):
        return
    named = {key for keys in mapping.keys for key in keys}
    for item, place in _objects(payload, at):
        for key, value in item.items():
            is_used = key in named and not carries_geometry(key, [])
            if not is_used and carries_geometry(key, value):
                fix = "leave it out only if it says nothing about the answer"
                fail((*place, key), f"carries geometry, which the mapping {mapping.name} does not use", fix)


def _is_class(answer: Answer) -> bool:
    return isinstance(answer.answers[0] if isinstance(answer, Either) else answer, Classification)


def _objects(payload: Any, at: Path) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """The payload's object, or those of its list, or of the lists in it."""
    if isinstance(payload, Mapping):
        yield payload, at
    for i, one in enumerate(payload) if isinstance(payload, list) else ():
        if isinstance(one, Mapping | list):
            yield from _objects(one, (*at, i))


def _options(item: Any, index: int, mapping: FormatMapping, options: ReadOptions) -> ReadOptions:
    """The options of one item: of the asset that it names, or of its place in the batch."""
    name = item.get("external_id") if mapping.by_id and isinstance(item, dict) else None
    return options.of_asset(name) if isinstance(name, str) else options.of_item(index)


def _only(results: list[Any], mapping: FormatMapping, at: Path) -> Any:
    if len(results) != 1:
        amount = "nothing" if not results else f"{len(results)} results"
        fix = "an expression gives one result per item: put [ ] around what it lists"
        key = "inside" if mapping.inside else "read"
        raise MappingFailed(show(at), f"mapping {mapping.name}, expression `{key}`: gives {amount}", fix)
    return results[0]


def _read(value: Any, mapping: FormatMapping, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    if isinstance(value, dict) and "refuse" in value:
        fail(at[:-1], str(value["refuse"]), str(value.get("fix", "")))
    if isinstance(value, dict) and isinstance(value.get("either"), list):
        return _either(value, mapping, options, at)
    return read_open_item(_with_options(value, mapping), options, at)


def _with_options(value: Any, mapping: FormatMapping) -> Any:
    return {**mapping.options, **value} if isinstance(value, dict) else value


def _either(value: dict[str, Any], mapping: FormatMapping, options: ReadOptions, at: Path) -> ModelOutput:
    """One answer that reads in several ways: the first that the project has a job for."""
    rest = {key: inner for key, inner in value.items() if key != "either"}
    items = [_with_options({**rest, **one}, mapping) for one in value["either"]]
    outputs = [read_item(item, options, (*at, "either", i)) for i, item in enumerate(items)]
    if len(outputs) == 1:
        return outputs[0]
    choices = tuple(output.answer for output in outputs)
    return replace(outputs[0], answer=Either(cast("tuple[Classification | Detection, ...]", choices)))


def _inside(found: FoundMapping, payload: Any, at: Path) -> Unwrapped:
    """What lies at the path that the expression gave, as it came: jq has not touched it."""
    steps = _only(found.given[0], found.mapping, at)
    for step in steps:
        try:
            payload = payload[step]
        except (LookupError, TypeError):
            fail((*at, str(step)), "missing", f"{found.mapping.name} is {rule_of(found.mapping)}")
        at = (*at, step)
    return Unwrapped(payload, at)
