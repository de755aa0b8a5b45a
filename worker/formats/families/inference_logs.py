"""What inference loggers write: CloudEvents of KServe, and the monitor lines of BentoML.

CloudEvents come structured, binary as fields, or as blob log records; the logged request and response of one inference
are brought together by their id. BentoML's ``bentoml.monitor`` writes free columns beside ``timestamp`` and
``request_id``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.contract.output import ModelOutput
from worker.environment import clock
from worker.formats.checks import (
    ROOT,
    Path,
    array,
    fail,
    is_object,
    mapping,
    member,
    parse_base64_json,
    parse_json_or_text,
    string,
)
from worker.formats.families.rows import read_row
from worker.formats.meaning import texts_of, unused_keys, with_evidence, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.structure import (
    LABEL,
    TEXT,
    Envelope,
    Family,
    Keys,
    Match,
    Miss,
    Unwrapped,
    detect_items,
    near_items,
    needed,
    refuse_foreign,
)

_STRUCTURED = Keys({"specversion": TEXT, "id": TEXT, "type": TEXT, "source": TEXT}, open=True)
_RECORD = Keys({"bytes": TEXT, "reqType": TEXT, "id": TEXT}, open=True)
_PREFIXES = ("ce-", "ce_")
_BODY_KEYS = ("data", "body", "payload")

ATTRIBUTES = (
    *("id", "type", "source", "time", "subject", "traceparent"),
    *("inferenceservicename", "namespace", "component", "endpoint", "metadata", "annotations"),
)
"""What is kept of an event as evidence: CloudEvents attributes, then KServe's extensions."""

Side = Literal["request", "response", "other"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its attributes, which side of an inference it logs, and its data."""

    id: str
    type: str
    data: Any
    at: Path
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def side(self) -> Side:
        """Whether the event logs a request, a response, or neither."""
        if self.type.endswith("inference.request"):
            return "request"
        return "response" if self.type.endswith("inference.response") else "other"

    @property
    def key(self) -> tuple[str, str, str]:
        """What a request and its response have in common: namespace, service and id."""
        return self.attributes.get("namespace", ""), self.attributes.get("inferenceservicename", ""), self.id


def read_event(payload: Any, at: Path = ROOT) -> Event:
    """Read an event in any of the three forms.

    Raises OutputError when an attribute or the data is missing or cannot be decoded.
    """
    event = mapping(payload, *at)
    if _RECORD.fits(event):
        return _read_record(event, at)
    attributes, holder, place = _structured(event, at) if "specversion" in event else _binary(event, at)
    _require_content(attributes.get("datacontenttype"), at)
    data, place = _data(holder, place)
    return Event(
        string(member(attributes, "id", at), *at, "id"),
        string(member(attributes, "type", at), *at, "type"),
        data,
        place,
        texts_of(attributes, {name: name for name in ATTRIBUTES}),
    )


def unwrap(payload: Any, at: Path = ROOT) -> Unwrapped:
    """Return a response's data; raises OutputError for a logged request, which holds no prediction."""
    event = read_event(payload, at)
    if event.side == "request":
        fail(
            (*at, "type"),
            f"{event.type} logs a request, not a prediction",
            "send response events (log mode response)",
        )
    return Unwrapped(event.data, event.at, {"cloudevent": dict(event.attributes)})


def _structured(event: Mapping[str, Any], at: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], Path]:
    return event, event, at


def _binary(event: Mapping[str, Any], at: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], Path]:
    """Headers beside the body, or in an object of their own."""
    headers = event.get("headers")
    fields = headers if isinstance(headers, Mapping) else event
    attributes = {key[3:].lower(): value for key, value in fields.items() if key[:3].lower() in _PREFIXES}
    if not attributes:
        fail(at, "no CloudEvents attributes", "send specversion, or headers that begin with ce-")
    return attributes, event, at


def _data(event: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if isinstance(event.get("data_base64"), str):
        place = (*at, "data_base64")
        return parse_base64_json(event["data_base64"], place), place
    key = next((key for key in _BODY_KEYS if event.get(key) is not None), None)
    if key is None:
        fail((*at, "data"), "missing: the event carries nothing", "send data or data_base64")
    value, place = event[key], (*at, key)
    return (parse_json_or_text(value, place) if isinstance(value, str) else value), place


def _require_content(kind: Any, at: Path) -> None:
    """Refuse data of which the event itself says that they are neither JSON nor a text."""
    if isinstance(kind, str) and ("xml" in kind.lower() or not kind.lower().startswith(("application/", "text/"))):
        fail((*at, "datacontenttype"), f"{kind[:60]!r}: only JSON and texts are read", "send JSON")


def _read_record(record: Mapping[str, Any], at: Path) -> Event:
    names = {"inferenceService": "inferenceservicename", "sourceUri": "source", "reqType": "type", "id": "id"}
    names |= {name: name for name in ("namespace", "component", "endpoint", "metadata", "annotations")}
    data = parse_base64_json(record["bytes"], (*at, "bytes"))
    event_id, kind = string(record["id"], *at, "id"), string(record["reqType"], *at, "reqType")
    return Event(event_id, kind, data, (*at, "bytes"), texts_of(record, names))


def _has_ce_headers(fields: Any) -> bool:
    if not is_object(fields):
        return False
    names = {key[3:].lower() for key in fields if key[:3].lower() in _PREFIXES}
    return {"id", "type"} <= names


def _detect(payload: Any) -> Match | None:
    if not is_object(payload):
        return None
    if _STRUCTURED.fits(payload):
        return Match("an event with specversion, id, type and source")
    if _has_ce_headers(payload) or _has_ce_headers(payload.get("headers")):
        return Match("ce- headers beside a body")
    return Match("a log record with bytes, reqType and id") if _RECORD.fits(payload) else None


def _near(payload: Any) -> Miss | None:
    if not isinstance(payload, Mapping) or "specversion" not in payload:
        return None
    return _STRUCTURED.miss(payload, ROOT)


CLOUDEVENTS = Envelope(
    name="cloudevents",
    title="CloudEvents of KServe's inference logger",
    rule=(
        "an object with `specversion`, `id`, `type` and `source`; or `ce-` headers beside a `body` (`data`, "
        "`payload`); or a log record with `bytes`, `reqType` and `id`"
    ),
    detect=_detect,
    near=_near,
    takes=("object",),
    unwrap=unwrap,
    batches=True,
    limits="What is inside is read by its own family; a list of events is read event by event. Request events hold no "
    "prediction and are refused.",
    sources=(
        "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md",
        "https://github.com/kserve/kserve/blob/master/docs/samples/logger/basic/README.md",
    ),
)


_MONITOR_KEYS = Keys({"timestamp": TEXT, "request_id": LABEL}, open=True)


def read_monitor_lines(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the prediction's column of one line, or of a list of lines."""
    if isinstance(payload, Mapping):
        return (_read_line(payload, options, at),)
    return tuple(_read_line(line, options, (*at, i)) for i, line in enumerate(array(payload, *at)))


def _read_line(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    line = mapping(value, *at)
    refuse_foreign(line, (), at)
    column = _column(line, options, at)
    evidence = texts_of(line, {"request_id": "request_id", "timestamp": "timestamp"})
    output = with_evidence(read_row(line[column], options, (*at, column)), evidence)
    return with_ignored(output, unused_keys([line], (column, *_MONITOR_KEYS.required)))


def _column(line: Mapping[str, Any], options: ReadOptions, at: Path) -> str:
    columns = [key for key in line if key not in _MONITOR_KEYS.required]
    if options.field is not None:
        if options.field not in columns:
            fail(at, f"no column is called {options.field!r}", f"set field to one of {', '.join(columns[:8])}")
        return options.field
    if len(columns) != 1:
        names = ", ".join(columns[:8]) or "none"
        fail(
            at,
            f"which column is the prediction? There are: {names}",
            "set field to the column of role prediction",
        )
    return columns[0]


BENTOML = Family(
    catch_all=True,
    name="bentoml-monitor",
    title="BentoML monitoring log lines",
    rule="an object (or a list of them) with `timestamp`, `request_id` and further columns",
    detect=detect_items(_MONITOR_KEYS, "an object with timestamp and request_id"),
    near=near_items(_MONITOR_KEYS),
    needs=needed(_MONITOR_KEYS),
    read=read_monitor_lines,
    options=("field", "classes", "score_kind", "exclusive", "strings"),
    limits="A line does not say which column is the prediction: with several columns `field` names it.",
    sources=(
        "https://docs.bentoml.com/en/latest/build-with-bentoml/observability/monitoring-and-data-collection.html",
    ),
)


_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """A request and the response to it."""

    request: Event
    response: Event


@dataclass(frozen=True, slots=True)
class JoinStep:
    """What one event brought about: a pair, and the events that will wait no longer for their other half."""

    pair: Joined | None = None
    orphans: tuple[Event, ...] = ()


@dataclass(slots=True)
class JoinCounts:
    """Events since the start: pairs joined, orphans by side, repeats of a waiting event."""

    joined: int = 0
    orphan_requests: int = 0
    orphan_responses: int = 0
    repeated: int = 0


@dataclass(slots=True)
class EventJoin:
    """Joins request and response events that arrive in either order.

    An event waits at most ``limit_seconds``, and at most ``capacity`` events wait: the oldest goes first. What
    goes unjoined is an orphan, counted and handed back. Not safe for several threads; holds nothing on disk.
    """

    limit_seconds: float = 60.0
    capacity: int = 10_000
    clock: Callable[[], float] = clock.monotonic
    counts: JoinCounts = field(default_factory=JoinCounts)
    _waiting: OrderedDict[_Key, tuple[float, Event]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if self.limit_seconds <= 0 or self.capacity < 1:
            raise ValueError("EventJoin needs limit_seconds above 0 and a capacity of at least 1")

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event) -> JoinStep:
        """Take one event; raises ValueError for one that is neither request nor response."""
        if event.side == "other":
            raise ValueError(f"{event.type} is neither an inference request nor a response")
        expired = self.expire()
        _, other = self._waiting.get(event.key, (0.0, None))
        if other is not None and other.side != event.side:
            del self._waiting[event.key]
            self.counts.joined += 1
            return JoinStep(_pair(event, other), expired)
        self.counts.repeated += other is not None
        if other is None:
            self._waiting[event.key] = (self.clock(), event)
        return JoinStep(None, (*expired, *self._drop(len(self._waiting) > self.capacity)))

    def expire(self) -> tuple[Event, ...]:
        """Hand back the events that have waited too long."""
        return tuple(self._late())

    def _late(self) -> Iterator[Event]:
        limit = self.clock() - self.limit_seconds
        while self._waiting and next(iter(self._waiting.values()))[0] <= limit:
            yield from self._drop(True)

    def _drop(self, oldest: bool) -> Iterator[Event]:
        if not oldest:
            return
        _, (_, event) = self._waiting.popitem(last=False)
        if event.side == "request":
            self.counts.orphan_requests += 1
        else:
            self.counts.orphan_responses += 1
        yield event


def _pair(event: Event, other: Event) -> Joined:
    return Joined(event, other) if event.side == "request" else Joined(other, event)
